"""What a loop leaves behind: its histories grow with its turns, not with all that was said before."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.support.agents import begin, models, task_spec
from tests.support.stack import Stack
from tests.support.stub_llm import Reply, Request, StubLlm, calling
from tests.support.stub_wires import Use

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ANSWER_BYTES = 1000


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    one = Stack(tmp_path)
    try:
        one.start_server()
        one.start_worker().wait_up()
        yield one
    finally:
        one.close()


async def test_two_hundred_turns_store_less_than_a_megabyte_and_grow_linearly(
    stack: Stack, say: Callable[[str], None]
) -> None:
    client = await stack.client()
    few, many = [await stored(stack, client, turns) for turns in (100, 200)]
    exponent = math.log2(many / few)
    say(f"100 turns: {few / 1000:.0f} kB, 200: {many / 1000:.0f} kB; exponent {exponent:.2f}")
    assert exponent <= 1.1
    assert many <= 1_000_000


async def stored(stack: Stack, client: Client, turns: int) -> int:
    """Bytes of all runs of a task of so many turns, each with one call that answers 1 KB."""

    def reply(request: Request) -> Reply:
        made = len(request.results)
        return calling(Use("echo", {"i": made, "size": ANSWER_BYTES})) if made < turns - 1 else "Done."

    with StubLlm() as stub:
        stub.rule(".", reply)
        spec = task_spec(stack, "Count.", models(stub), strategy="loop", skills=["echo"], max_steps=10_000)
        handle = await begin(client, spec)
        assert stack.value(await handle.result()) == "Done."
        assert len(stub.requests) == turns
    total, run = 0, handle.first_execution_run_id
    while run:
        one = client.get_workflow_handle(handle.id, run_id=run)
        total += (await one.describe()).raw_description.workflow_execution_info.history_size_bytes
        events = [event async for event in one.fetch_history_events()]
        run = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return total
