"""What the figures are held to. A ratio meets its goal with the upper end of its interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.growth import Growth
from bench.measure import Measured
from bench.recovery import Recovery

NOISE = 0.03
"""Half-width of `raw_again`'s interval at which a run at 200 ms can be judged."""
_RSS_MB = 130
_CALL_BYTES = 1800


@dataclass(frozen=True)
class Goal:
    text: str
    measured: str
    is_met: bool


def of_walls(tables: Sequence[Measured]) -> Iterator[Goal]:
    """Goals for one workload each; those whose engines or workloads were not measured are left out."""
    for table in tables:
        yield from _of_loops(table)
        where = (table.workload.name, table.workload.n, table.workload.latency_ms)
        for ours in [name for name in table.rows if name.startswith("holdfast")]:
            match where:
                case ("W1", _, 0):
                    yield from _at_most(table, ours, "raw", 1.3)
                case ("W1", _, 200):
                    yield from _beside_the_noise(table, ours)
                case ("W4", 10, 200):
                    yield from _at_most(table, ours, "raw", 0.33)
                case ("W4", 10, 0):
                    yield from _at_most(table, ours, "raw_ptc", 1.15)
                    yield from _at_most(table, ours, "pydantic_codemode", 1.0)
    if rows := [table.rows["holdfast"] for table in tables if "holdfast" in table.rows]:
        peak = max(row.peak_mb for row in rows)
        yield Goal(f"worker of holdfast <= {_RSS_MB} MB", f"{peak:.0f} MB", peak <= _RSS_MB)


def _of_loops(table: Measured) -> Iterator[Goal]:
    """Of the default alone: the skill of the other one is not light, it is there to compare."""
    if table.workload.name not in ("W2", "W3", "W5") or "holdfast" not in table.rows:
        return
    if table.workload.latency_ms:
        yield from _beside_the_noise(table, "holdfast")
    else:
        yield from _at_most(table, "holdfast", "raw", 1.15)


def _at_most(table: Measured, ours: str, base: str, limit: float) -> Iterator[Goal]:
    if base not in table.rows:
        return
    found = table.ratio(ours, base)
    yield Goal(f"{_place(table)}: {ours} <= {limit} x {base}", str(found), found.upper <= limit)


def _beside_the_noise(table: Measured, ours: str) -> Iterator[Goal]:
    again, found = table.ratio("raw_again"), table.ratio(ours)
    limit = 1.05 * again.upper
    noise = f"half-width of raw_again {again.half_width:.1%}, {len(table.rows['raw'].times_ms)} rounds"
    is_met = found.upper <= limit and again.half_width <= NOISE
    yield Goal(f"{_place(table)}: {ours} <= 1.05 x raw_again's upper end", f"{found}; {limit:.2f} ({noise})", is_met)


def _place(table: Measured) -> str:
    workload = table.workload
    size = f" n={workload.n}" if workload.n > 1 else ""
    return f"{workload.name}{size} at {workload.latency_ms} ms"


def of_growth(grown: Sequence[Growth]) -> Iterator[Goal]:
    for one in grown:
        if not one.name.startswith("holdfast"):
            continue
        limit = 7 if "gathers" in one.name else 11
        events, size = one.added("records"), one.added("size_bytes")
        yield Goal(f"{one.name}: <= {limit} events a call", f"{events:.1f}", events <= limit)
        yield Goal(f"{one.name}: <= {_CALL_BYTES} bytes a call", f"{size:.0f}", size <= _CALL_BYTES)
        yield Goal(
            f"{one.name}: bytes grow with exponent <= 1.1", f"{one.bytes_exponent:.2f}", one.bytes_exponent <= 1.1
        )


def of_recovery(found: Sequence[Recovery]) -> Iterator[Goal]:
    for one in found:
        if not one.name.startswith("holdfast"):
            continue
        all_, done = len(one.kills), len(one.complete)
        yield Goal(f"kills of the worker, {one.name}: all complete", f"{done} of {all_}", done == all_)
        if not done:
            continue
        lost, worst = one.median_lost_s, one.worst_lost_s
        yield Goal(f"{one.name}: lost less boot <= 4 s, median", f"{lost:.1f} s", lost <= 4)
        yield Goal(f"{one.name}: lost less boot <= 7 s, worst", f"{worst:.1f} s", worst <= 7)
        again = max(kill.lookups_repeated for kill in one.complete)
        asked = max(kill.requests_repeated for kill in one.complete)
        yield Goal(f"{one.name}: at most 1 call repeated a kill", str(again), again <= 1)
        yield Goal(f"{one.name}: at most 1 LLM request repeated a kill", str(asked), asked <= 1)
