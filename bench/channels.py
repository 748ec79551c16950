"""Other channels for a lone call, bare: what each costs, stores, and loses when its worker is killed."""

import asyncio
import random
import statistics
import sys
import time
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from bench.processes import Process
from bench.site import Site
from bench.stats import ratio
from bench.tables import table
from bench.workers.channels import WAYS, Job

ROUNDS, CALLS, FEW = 10, 40, 10
KILLED_CALLS, SLEEP_MS = 40, 20
_BASE = "update, activity"
_WAIT_S = 120


@dataclass
class Channel:
    """`missed_s`: from the kill to the end of the next call; `repeated`: calls begun again, each a kill."""

    times_ms: dict[int, float] = field(default_factory=dict)
    events: float = 0
    size_bytes: float = 0
    missed_s: list[float] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    lost: int = 0


async def measured(site: Site, kills: int = 20) -> str:
    """The table, one row a channel."""
    found = {name: Channel() for name in WAYS}
    worker = Process(
        "channels",
        [sys.executable, "-m", "bench.workers.channels"],
        site.scratch / "path",
        site.environment(BENCH_QUEUE="channels", BENCH_TUNED="1"),
        site.scratch / "channels.log",
        b"ready",
    )
    await worker.start()
    try:
        for number in range(-1, ROUNDS):
            for name, channel in found.items():
                _, ms = await _run(site, Job(name, _new(), CALLS))
                channel.times_ms |= {number: ms} if number >= 0 else {}
        for name, channel in found.items():
            channel.events, channel.size_bytes = await _added(site, name)
        await _kill(site, worker, found, kills)
    finally:
        await worker.stop()
    return table(_HEAD, [_row(name, channel, found[_BASE]) for name, channel in found.items()])


def _new() -> str:
    return uuid.uuid4().hex[:12]


async def _start(site: Site, job: Job) -> Any:
    second = timedelta(seconds=1)
    return await site.client.start_workflow(
        "channels", asdict(job), id=job.run, task_queue="channels", task_timeout=2 * second, result_type=float
    )


async def _run(site: Site, job: Job) -> tuple[Any, float]:
    handle = await _start(site, job)
    async with asyncio.timeout(_WAIT_S):
        return handle, await handle.result()


async def _added(site: Site, name: str) -> tuple[float, float]:
    """Events and bytes that a call adds."""
    sizes = []
    for calls in (FEW, CALLS):
        handle, _ = await _run(site, Job(name, _new(), calls))
        info = (await handle.describe()).raw_description.workflow_execution_info
        sizes.append((info.history_length, info.history_size_bytes))
    (few_events, few_bytes), (events, size_bytes) = sizes
    return (events - few_events) / (CALLS - FEW), (size_bytes - few_bytes) / (CALLS - FEW)


async def _kill(site: Site, worker: Process, found: dict[str, Channel], kills: int) -> None:
    """One worker with a run of every channel in it, killed at another moment each time and started again at once."""
    chance = random.Random(1)  # noqa: S311 (the same moments each time)
    for _ in range(kills):
        jobs = {name: Job(name, _new(), KILLED_CALLS, SLEEP_MS) for name in found}
        handles = {name: await _start(site, job) for name, job in jobs.items()}
        await asyncio.sleep(chance.uniform(0.2, 1.0))
        killed_at = time.time()
        await worker.kill()
        await worker.start()
        for name, job in jobs.items():
            await _judged(site, found[name], job, handles[name], killed_at)


async def _judged(site: Site, channel: Channel, job: Job, handle: Any, killed_at: float) -> None:
    try:
        async with asyncio.timeout(_WAIT_S):
            await handle.result()
    except TimeoutError:
        channel.lost += 1
        return
    lines = [line.split() for line in (site.scratch / "tools" / f"{job.run}.log").read_text().splitlines()]
    begun = Counter(number for what, number, _, _ in lines if what == "begin")
    after = [float(at) for what, _, at, _ in lines if what == "end" and float(at) > killed_at]
    if after:
        channel.missed_s.append(min(after) - killed_at)
        channel.repeated.append(sum(begun.values()) - len(begun))


_HEAD = ["channel", "ms a call", "x the first", "events a call", "bytes a call"]
_HEAD += ["s from kill to next end: median / worst", "calls repeated: all / worst", "complete"]


def _row(name: str, channel: Channel, base: Channel) -> list[str]:
    kills = len(channel.missed_s)
    return [
        name,
        f"{statistics.median(channel.times_ms.values()):.1f}",
        str(ratio(channel.times_ms, base.times_ms)),
        f"{channel.events:.1f}",
        f"{channel.size_bytes:.0f}",
        f"{statistics.median(channel.missed_s):.1f} / {max(channel.missed_s):.1f}" if kills else "-",
        f"{sum(channel.repeated)} / {max(channel.repeated, default=0)}",
        f"{kills} of {kills + channel.lost}",
    ]
