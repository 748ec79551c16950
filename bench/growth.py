"""How a run of ours grows with its calls: events, bytes, time; one after the other, and in gathers of ten."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.engines import Engine, Stored, checked
from bench.stats import exponent

CALLS = (10, 100, 1000)
_RUN_S = 600


@dataclass(frozen=True)
class Growth:
    """One engine: number of calls -> what a run of so many stored, and took."""

    name: str
    stored: dict[int, Stored]
    times_ms: dict[int, float]

    @property
    def bytes_exponent(self) -> float:
        return exponent({n: one.size_bytes for n, one in self.stored.items()})

    def added(self, what: str) -> float:
        """Events (`records`) or bytes (`size_bytes`) that a call adds, between the two largest runs."""
        few, many = sorted(self.stored)[-2:]
        more = getattr(self.stored[many], what) - getattr(self.stored[few], what)
        return float(more / (many - few))

    @property
    def ms_a_call(self) -> float:
        few, many = sorted(self.times_ms)[-2:]
        return (self.times_ms[many] - self.times_ms[few]) / (many - few)


async def grow(engine: Engine, calls: Sequence[int] = CALLS) -> Growth:
    """The shorter runs twice, the longest once."""
    stored: dict[int, Stored] = {}
    times: dict[int, float] = {}
    for n in calls:
        taken = []
        for _ in range(1 if n == max(calls) else 2):
            task = engine.task("W4", n)
            began = time.perf_counter()
            async with asyncio.timeout(_RUN_S):
                await checked(engine, task)
            taken.append((time.perf_counter() - began) * 1000)
        found = await engine.stored(task)
        assert found is not None
        stored[n], times[n] = found, statistics.median(taken)
    return Growth(engine.name, stored, times)
