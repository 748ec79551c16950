"""Six ways for a program's call to reach its workflow and for the answer to come back, each as small as can be.

The program is a loop of calls in an activity, `host`. Ways whose answer does not come from the server (`hand over`)
need the call's worker to be the program's own; a call that was handed over too early for the history is not lost, as
the next call is begun by the workflow only, once it has recorded this one.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import WorkflowHandle
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from bench.workers import temporal

LISTEN_S = 0.005
OPTIONS: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=60),
    "heartbeat_timeout": timedelta(seconds=1),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200)),
}
LOCAL: dict[str, Any] = {"start_to_close_timeout": timedelta(seconds=60)}


@dataclass(frozen=True)
class Job:
    channel: str
    run: str
    n: int
    sleep_ms: int = 0


@dataclass(frozen=True)
class Call:
    job: Job
    number: int


class Desk:
    """Where an activity hands its answer to the program in the same process, and hears of the next call."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], asyncio.Future[int]] = {}
        self._listeners: dict[str, asyncio.Future[int]] = {}

    def answer(self, run: str, number: int) -> "asyncio.Future[int]":
        return self._answers.setdefault((run, number), asyncio.get_running_loop().create_future())

    def hand_over(self, call: Call) -> None:
        future = self.answer(call.job.run, call.number)
        if not future.done():
            future.set_result(call.number)

    def offer(self, run: str, number: int) -> bool:
        """Whether an activity that has just answered took the next call along."""
        listener = self._listeners.pop(run, None)
        if listener is None or listener.done():
            return False
        listener.set_result(number)
        return True

    async def listen(self, run: str) -> int | None:
        listener = self._listeners[run] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(listener, LISTEN_S)
        except TimeoutError:
            return None


DESK = Desk()
Handle = WorkflowHandle[Any, Any]


async def by_update(handle: Handle, job: Job, number: int) -> None:
    await handle.execute_update(Channels.call, number, id=f"{number}-{activity.info().attempt}")


async def by_signal(handle: Handle, job: Job, number: int) -> None:
    await handle.signal(Channels.ask, number)
    await DESK.answer(job.run, number)


async def carried(handle: Handle, job: Job, number: int) -> None:
    if not DESK.offer(job.run, number):
        await handle.signal(Channels.ask, number)
    await DESK.answer(job.run, number)


WAYS: dict[str, Callable[[Handle, Job, int], Awaitable[None]]] = {
    "update, activity": by_update,
    "update, local activity": by_update,
    "signal, activity, hand over": by_signal,
    "signal, local activity, hand over": by_signal,
    "activity carries the next call": carried,
    "local activity carries the next call": carried,
}


@activity.defn
async def host(job: Job) -> float:
    """The program: milliseconds a call."""
    info = activity.info()
    assert info.workflow_id is not None
    handle = activity.client().get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
    beats = asyncio.create_task(_beat())
    try:
        first = await handle.execute_update(Channels.hello, id=f"hello-{info.attempt}")
        began = time.perf_counter()
        for number in range(first, job.n):
            await WAYS[job.channel](handle, job, number)
        return (time.perf_counter() - began) * 1000 / max(1, job.n - first)
    finally:
        beats.cancel()


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.3)


@activity.defn
async def work(call: Call) -> int | None:
    """The call itself. Its result is the number of the next one, where it carries that."""
    _note("begin", call)
    await asyncio.sleep(call.job.sleep_ms / 1000)
    _note("end", call)
    DESK.hand_over(call)
    return await DESK.listen(call.job.run) if "carries" in call.job.channel else None


def _note(what: str, call: Call) -> None:
    with Path(os.environ["BENCH_DIR"], "tools", f"{call.job.run}.log").open("ab", buffering=0) as log:
        log.write(f"{what} {call.number} {time.time():.6f} {os.getpid()}\n".encode())


@workflow.defn(name="channels")
class Channels:
    @workflow.init
    def __init__(self, job: Job) -> None:
        self.job = job
        self.begun: set[int] = set()
        self.done: set[int] = set()

    @workflow.run
    async def run(self, job: Job) -> float:
        return await workflow.execute_activity(host, job, **OPTIONS)

    @workflow.update
    async def hello(self) -> int:
        """The first call that has no recorded answer."""
        return len(self.done)

    @workflow.update
    async def call(self, number: int) -> int:
        await self.ask(number)
        await workflow.wait_condition(lambda: number in self.done)
        return number

    @workflow.signal
    async def ask(self, number: int) -> None:
        following: int | None = number
        while following is not None and following not in self.begun:
            number = following
            self.begun.add(number)
            call = Call(self.job, number)
            if "local" in self.job.channel:
                following = await workflow.execute_local_activity(work, call, **LOCAL)
            else:
                following = await workflow.execute_activity(work, call, **OPTIONS)
            self.done.add(number)


if __name__ == "__main__":
    asyncio.run(temporal.serve([Channels], [host, work]))
