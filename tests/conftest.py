"""Fixtures that any test may ask for."""

from collections.abc import Iterator

import pytest
from temporalio.client import Client

from tests.support.stack import Stack

pytest_plugins = ["tests.support.postgres"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A dev server and one worker, shared by all tests that kill neither."""
    one = Stack(tmp_path_factory.mktemp("holdfast ä"))
    try:
        one.start_server()
        one.start_worker().wait_up()
        yield one
    finally:
        one.close()


@pytest.fixture
async def client(stack: Stack) -> Client:
    return await stack.client()
