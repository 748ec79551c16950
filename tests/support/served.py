"""Fixtures of tests over HTTP: a stub model, and an API over the file's own `stack`."""

from collections.abc import Iterator

import pytest

from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.stub_llm import StubLlm


@pytest.fixture(scope="module")
def model() -> Iterator[StubLlm]:
    with StubLlm() as one:
        yield one


@pytest.fixture
def stub(model: StubLlm) -> StubLlm:
    """The model without what the last test taught it."""
    model.reset()
    return model


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    api = Api(stack.home, stack.project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    yield api
    api.close()
