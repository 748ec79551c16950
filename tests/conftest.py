"""Fixtures that any test may ask for."""

from collections.abc import Callable, Iterator

import pytest
from temporalio.client import Client

from tests.support.stack import Stack, running

pytest_plugins = ["tests.support.dockerd", "tests.support.offline", "tests.support.postgres", "tests.support.served"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A dev server and one worker, shared by all tests that kill neither."""
    one = Stack(tmp_path_factory.mktemp("holdfast ä"))
    with running(one):
        yield one


@pytest.fixture
async def client(stack: Stack) -> Client:
    return await stack.client()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a figure into the test run's own output: these are the numbers that the docs quote."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def speak(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {request.node.name}: {text}")

    return speak
