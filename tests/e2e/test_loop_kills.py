"""SIGKILL of the worker while a loop asks its model and while its calls run: what is finished is not done again."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.support.agents import Handle, begin, models, task_spec
from tests.support.stack import Stack, result_of, until
from tests.support.stub_llm import Reply, Request, StubLlm, calling
from tests.support.stub_wires import Use

DELAY_S = 0.4
SETTLED_S = 0.5
"""What ended or came is in the history by then; a kill before that may cost it again."""
TURNS, PARALLEL = 4, 3
MOMENTS = ("turn 1", "calls of 1", "turn 3", "calls of 4")


def next_turn(request: Request) -> Reply:
    made = len(request.results)
    if made == TURNS * PARALLEL:
        return f"{made} calls"
    return calling(*(Use("echo", {"i": made + number, "ms": 150 * number}) for number in range(PARALLEL)))


class Run:
    """One task that is struck once."""

    def __init__(self, stack: Stack, client: Client, stub: StubLlm) -> None:
        self.stack, self.client, self.stub = stack, client, stub

    async def struck(self, moment: str) -> None:
        asked = models(self.stub)
        spec = task_spec(self.stack, f"Task of {moment}.", asked, strategy="loop", tuning={"bound_events": 40})
        handle = await begin(self.client, spec)
        await until(self._has_come(moment, handle), every=0.01)
        self.stack.workers[-1].kill()
        killed_at, killed_at_clock = asyncio.get_running_loop().time(), time.time()
        await asyncio.to_thread(self.stack.start_worker().wait_up)
        assert self.stack.value(await result_of(handle)) == "12 calls"
        self._check_calls(moment, handle, killed_at_clock)
        mine = [one for one in self.stub.requests if f"Task of {moment}." in one.text]
        flying = sum(one.at <= killed_at <= one.at + DELAY_S + SETTLED_S for one in mine)
        assert TURNS + 1 <= len(mine) <= TURNS + 1 + flying, (moment, len(mine), flying)

    def _check_calls(self, moment: str, handle: Handle, killed_at: float) -> None:
        begins = self.stack.begins(handle)
        assert len(begins) == TURNS * PARALLEL, (moment, begins)
        lines = self.stack.effects(handle.id.partition("/")[2])
        finished = {call for what, _, call, _, at in lines if what == "end" and at < killed_at - SETTLED_S}
        assert {begins[call] for call in finished} <= {1}, (moment, begins)
        assert sum(begins.values()) <= TURNS * PARALLEL + PARALLEL, (moment, begins)

    def _has_come(self, moment: str, handle: Handle) -> Callable[[], bool]:
        what, number = moment.rsplit(" ", 1)
        if what == "turn":
            made = (int(number) - 1) * PARALLEL
            return lambda: any(
                f"Task of {moment}." in one.text and len(one.results) == made for one in self.stub.requests
            )
        return lambda: len(self.stack.begins(handle)) > (int(number) - 1) * PARALLEL


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_worker_repeats_no_finished_turn_and_no_finished_call_of_a_loop(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home")
    with StubLlm() as stub:
        try:
            await asyncio.to_thread(stack.start_server)
            await asyncio.to_thread(stack.start_worker().wait_up)
            stub.rule(".", next_turn, delay_s=DELAY_S)
            run = Run(stack, await stack.client(), stub)
            for moment in MOMENTS:
                await run.struck(moment)
        finally:
            stack.close()
