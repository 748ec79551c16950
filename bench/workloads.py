"""What is measured of every engine. A workload that is added here, and to `replies.py`, is in every table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One table. `rounds`: each engine once a round, in turns; more, up to `most`, until the noise is small enough.

    The noise is the half-width of the interval of `raw_again`, which is `raw` once more. Only engines that a goal
    speaks of are in the rounds beyond `rounds`.
    """

    name: str
    title: str
    n: int
    latency_ms: int
    rounds: int
    most: int = 0
    steady: float | None = None


ALL = (
    Workload("W1", "one answer", 1, 0, rounds=30),
    Workload("W1", "one answer", 1, 200, rounds=12, most=60, steady=0.03),
    Workload("W2", "ten tool calls, one after the other", 10, 0, rounds=20),
    Workload("W2", "ten tool calls, one after the other", 10, 200, rounds=6, most=24, steady=0.03),
    Workload("W3", "twenty tool calls in one reply", 20, 0, rounds=20),
    Workload("W3", "twenty tool calls in one reply", 20, 200, rounds=12, most=60, steady=0.03),
    Workload("W4", "ten lookups in the engine's best mode", 10, 0, rounds=20),
    Workload("W4", "ten lookups in the engine's best mode", 10, 200, rounds=6, most=24, steady=0.03),
    Workload("W4", "a hundred lookups in the engine's best mode", 100, 0, rounds=3),
    Workload("W5", "three agents, one lookup each", 3, 0, rounds=20),
    Workload("W5", "three agents, one lookup each", 3, 200, rounds=12, most=60, steady=0.03),
)
QUICK = (
    Workload("W1", "one answer", 1, 0, rounds=6),
    Workload("W2", "three tool calls, one after the other", 3, 0, rounds=5),
    Workload("W3", "three tool calls in one reply", 3, 0, rounds=5),
    Workload("W4", "three lookups", 3, 0, rounds=5),
    Workload("W5", "two agents, one lookup each", 2, 0, rounds=5),
)
SPOKEN_OF = frozenset(
    {"raw", "raw_again", "raw_ptc", "pydantic_codemode", "holdfast", "holdfast, fused", "holdfast, in process"}
)
