"""The times that users of an older system were promised (M-50). They are absolute, and far from ours on any machine."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api import PROJECT, Api
from tests.support.stack import Stack
from tests.support.stub_llm import StubLlm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Api]:
    stack = Stack(tmp_path)
    with StubLlm() as stub:
        stub.rule(".", "Paris")
        model = {"DEFAULT_LLM_PROVIDER": "openai-compatible", "DEFAULT_LLM_MODEL": "stub", "LLM_BASE_URL": stub.url}
        api = Api(stack.home, PROJECT, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}", **model)
        try:
            stack.start_server()
            stack.start_worker(**model).wait_up()
            yield api.start()
        finally:
            api.close()
            stack.close()


def test_starts_and_looks_take_less_than_was_promised(house: Api, say: Callable[[str], None]) -> None:
    asked = {"task": "capital of France?", "availableSkills": []}
    times = {
        "agent start (500 ms)": milliseconds(lambda: house.http.post("/agent/execute", json=asked)),
        "agent info (50 ms)": milliseconds(lambda: house.http.get("/agents/assistant")),
        "simple program (1,500 ms)": milliseconds(
            lambda: house.http.post(
                "/tasks", params={"wait": 30}, json={"type": "program", "program": "result = sum(range(10))"}
            )
        ),
    }
    say(", ".join(f"{name}: {took:.0f} ms" for name, took in times.items()))
    start, info, program = times.values()
    assert (start < 500, info < 50, program < 1500) == (True, True, True)


def milliseconds(ask: Callable[[], object], rounds: int = 9) -> float:
    ask()
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer = ask()
        took.append((time.perf_counter() - began) * 1000)
        assert getattr(answer, "is_success", False), getattr(answer, "text", "")
    return statistics.median(took)
