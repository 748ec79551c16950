"""A worker killed in the middle of a run and started again at once: what is lost, and what is done twice."""

import asyncio
import contextlib
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.engines import Engine, WrongAnswer, refuse_wrong
from bench.site import Site
from bench.task import Task, starts

N, LATENCY_MS, SLEEP_MS = 10, 50, 100
WAIT_S = 90


@dataclass(frozen=True)
class Kill:
    """One run with a kill. `lost_s`: longer than a run without one, less what the worker took to be ready again."""

    is_complete: bool
    boot_s: float = 0.0
    lost_s: float = 0.0
    lookups_repeated: int = 0
    requests_repeated: int = 0


@dataclass
class Recovery:
    name: str
    undisturbed_s: float
    kills: list[Kill] = field(default_factory=list)

    @property
    def complete(self) -> list[Kill]:
        return [one for one in self.kills if one.is_complete]

    @property
    def median_lost_s(self) -> float:
        return statistics.median(one.lost_s for one in self.complete)

    @property
    def worst_lost_s(self) -> float:
        return max(one.lost_s for one in self.complete)


async def recover(site: Site, engine: Engine, kills: int, seed: int = 1) -> Recovery:
    """`kills` runs of W4, ten lookups one after the other; each is hit once, in another part of its time."""
    usual = statistics.median([await _undisturbed(engine) for _ in range(5)])
    task = _task(engine)
    refuse_wrong(engine, task, await engine.run(task))
    requests = (await site.asked(task.run)).requests
    chance = random.Random(seed)  # noqa: S311 (the same moments each time)
    recovery = Recovery(engine.name, usual)
    for number in range(kills):
        at = usual * (0.03 + 0.94 * (number + chance.random()) / kills)
        recovery.kills.append(await _killed(site, engine, at, usual, requests))
    return recovery


def _task(engine: Engine) -> Task:
    return engine.task("W4", N, LATENCY_MS, SLEEP_MS)


async def _undisturbed(engine: Engine) -> float:
    task = _task(engine)
    began = time.perf_counter()
    refuse_wrong(engine, task, await engine.run(task))
    return time.perf_counter() - began


async def _killed(site: Site, engine: Engine, at: float, usual: float, requests: int) -> Kill:
    task = _task(engine)
    began = time.perf_counter()
    running = asyncio.create_task(engine.run(task))
    await asyncio.wait([running], timeout=at)
    if running.done():
        # It was quicker than usual, and a kill would hit nothing.
        refuse_wrong(engine, task, await running)
        return await _killed(site, engine, at * 0.9, usual, requests)
    await engine.kill()
    boot_s = await engine.restart()
    try:
        async with asyncio.timeout(WAIT_S):
            refuse_wrong(engine, task, await _answer(engine, task, running))
    except (TimeoutError, WrongAnswer):
        return Kill(is_complete=False, boot_s=boot_s)
    lost_s = time.perf_counter() - began - usual - boot_s
    begun = Counter(item for item, _ in starts(site.scratch, task.run))
    return Kill(
        is_complete=True,
        boot_s=boot_s,
        lost_s=lost_s,
        lookups_repeated=sum(begun.values()) - len(begun),
        requests_repeated=(await site.asked(task.run)).requests - requests,
    )


async def _answer(engine: Engine, task: Task, running: "asyncio.Task[str]") -> str:
    """That of the first request if it lives through the kill, else of the one that resumes."""
    with contextlib.suppress(ConnectionError):
        return await running
    return await engine.resume(task)
