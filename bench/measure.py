"""Rounds: every engine once, in turns, so that what slows the machine down slows all of them."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.engines import Engine, Stored, checked
from bench.processes import cpu_s, forget_peak, peak_mb
from bench.site import Site
from bench.stats import Ratio, ratio
from bench.stub import Asked
from bench.task import starts
from bench.workloads import SPOKEN_OF, Workload

RUN_S = 300
_WARM = 3


@dataclass
class Row:
    """What one engine did in one workload. Times in ms by round; processor in ms a run."""

    times_ms: dict[int, float] = field(default_factory=dict)
    engine_cpu_ms: list[float] = field(default_factory=list)
    server_cpu_ms: list[float] = field(default_factory=list)
    asked: Asked = field(default_factory=Asked)
    stored: Stored | None = None
    lookups: int = 0
    peak_mb: float = 0.0

    @property
    def median_ms(self) -> float:
        return statistics.median(self.times_ms.values())


@dataclass
class Measured:
    """One table: engine -> row."""

    workload: Workload
    rows: dict[str, Row]

    def ratio(self, name: str, base: str = "raw") -> Ratio:
        return ratio(self.rows[name].times_ms, self.rows[base].times_ms)


async def measure(site: Site, engines: Sequence[Engine], workload: Workload) -> Measured:
    """Measure one workload.

    Raises:
        WrongAnswer: an engine was wrong.
        TimeoutError: a run took longer than 5 minutes.
    """
    engines = [engine for engine in engines if engine.takes(workload.name)]
    measured = Measured(workload, {engine.name: Row() for engine in engines})
    for engine in engines:
        for _ in range(_WARM):
            await _within(engine, workload)
        forget_peak(engine.worker_pid())
    for number in range(max(workload.rounds, workload.most)):
        if number >= workload.rounds:
            if _is_steady(measured):
                break
            engines = [engine for engine in engines if engine.name in SPOKEN_OF]
        # Turned by one each round: no engine always runs behind the same neighbour.
        turn = number % len(engines)
        for engine in [*engines[turn:], *engines[:turn]]:
            await _run(site, engine, measured, number)
    return measured


def _is_steady(measured: Measured) -> bool:
    limit = measured.workload.steady
    return limit is None or measured.ratio("raw_again").half_width <= limit


async def _within(engine: Engine, workload: Workload) -> None:
    async with asyncio.timeout(RUN_S):
        await checked(engine, engine.task(workload.name, workload.n))


async def _run(site: Site, engine: Engine, measured: Measured, number: int) -> None:
    workload, row = measured.workload, measured.rows[engine.name]
    task = engine.task(workload.name, workload.n, workload.latency_ms)
    cpu, server = sum(map(cpu_s, engine.pids())), cpu_s(site.server_pid)
    began = time.perf_counter()
    async with asyncio.timeout(RUN_S):
        await checked(engine, task)
    row.times_ms[number] = (time.perf_counter() - began) * 1000
    row.engine_cpu_ms.append((sum(map(cpu_s, engine.pids())) - cpu) * 1000)
    row.server_cpu_ms.append((cpu_s(site.server_pid) - server) * 1000)
    row.asked = await site.asked(task.run)
    row.stored = await engine.stored(task)
    row.lookups = len(starts(site.scratch, task.run))
    row.peak_mb = peak_mb(engine.worker_pid())
