"""SIGKILL of the worker while a task plans, writes, mends and calls: what the model has answered is not asked again."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.support.agents import Handle, begin, models, task_spec
from tests.support.authors import PLAN, PROGRAM, REPAIR, plans
from tests.support.stack import Stack, result_of, until
from tests.support.stub_llm import StubLlm

DELAY_S = 0.5
SETTLED_S = 0.5
"""A reply that came is in the history by then; a kill before that may cost the same request again."""
ROUNDS = {"a": 3, "b": 2}
"""Of four kills each, in two houses at once: most of the time is waiting for a worker that was lost."""

FIVE = "import asyncio\nfor k in range(5):\n    await skills.echo(i=k, ms=100)\n"


class Run:
    """One task that is struck once."""

    def __init__(self, stack: Stack, client: Client, stub: StubLlm) -> None:
        self.stack, self.client, self.stub = stack, client, stub

    async def struck(self, phase: str, name: str) -> tuple[int, int]:
        """LLM requests of the task, and those that were in flight at the kill."""
        spec = task_spec(self.stack, f"task {name}", models(self.stub))
        handle = await begin(self.client, spec)
        await until(self._has_come(phase, name, handle), every=0.01)
        worker = self.stack.workers[-1]
        worker.kill()
        killed_at = asyncio.get_running_loop().time()
        await asyncio.to_thread(self.stack.start_worker().wait_up)
        assert self.stack.value(await result_of(handle)) == "whole"
        scheduled = self.stack.begins(handle)
        assert len(scheduled) == 5, scheduled
        assert sum(scheduled.values()) <= 6, f"{phase}: more than the call in flight was begun again: {scheduled}"
        mine = [one for one in self.stub.requests if f"task {name}" in one.text]
        return len(mine), sum(one.at <= killed_at <= one.at + DELAY_S + SETTLED_S for one in mine)

    def _has_come(self, phase: str, name: str, handle: Handle) -> Callable[[], bool]:
        if phase == "call":
            return lambda: len(self.stack.begins(handle)) >= 3
        words = {"plan": PLAN, "program": PROGRAM, "repair": REPAIR}[phase]
        return lambda: any(words in one.last and f"task {name}" in one.text for one in self.stub.requests)


async def rounds(home: Path, count: int) -> list[tuple[int, int]]:
    """What `struck` says of each kill, in a house of its own."""
    stack = Stack(home)
    with StubLlm() as stub:
        try:
            await asyncio.to_thread(stack.start_server)
            await asyncio.to_thread(stack.start_worker().wait_up)
            plans(stub, f"{FIVE}raise ValueError('not yet')", f"{FIVE}result = 'whole'", delay_s=DELAY_S)
            run = Run(stack, await stack.client(), stub)
            return [
                await run.struck(phase, f"{phase}-{number}")
                for number in range(count)
                for phase in ("plan", "program", "repair", "call")
            ]
        finally:
            stack.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_twenty_kills_ask_the_model_nothing_again_that_it_had_answered(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    houses = await asyncio.gather(*(rounds(tmp_path / name, count) for name, count in ROUNDS.items()))
    counts = [kill for house in houses for kill in house]
    asked, in_flight = sum(count for count, _ in counts), sum(flying for _, flying in counts)
    say(f"{len(counts)} kills: {asked} LLM requests, 3 a task without kills; {in_flight} were in flight at a kill")
    assert len(counts) == 20
    for count, flying in counts:
        assert 3 <= count <= 3 + flying, counts
