"""Which engines there are, in the order of the tables."""

from collections.abc import Sequence

from bench.engines import Engine
from bench.inprocess import AtOnce
from bench.ours import EVERY, Holdfast, Shared
from bench.peers import InProcess, OnTemporal

TUNED = {"BENCH_TUNED": "1"}
W4 = ("W4",)
NO_LOOP = ("W1", "W4")
LOOPS = ("W2", "W3", "W4")
ALL = (*EVERY, "W5")


def every(quick: bool = False) -> Sequence[Engine]:
    """All of them; `quick`: those that need no environment of their own."""
    shared = Shared()
    ours: list[Engine] = [
        Holdfast("holdfast", shared, workloads=ALL),
        Holdfast("holdfast, fused", shared, agent="fused", workloads=NO_LOOP),
    ]
    yardsticks: list[Engine] = [
        OnTemporal("raw", "raw", workloads=ALL),
        OnTemporal("raw_again", "raw", workloads=ALL),
    ]
    if quick:
        return [*yardsticks, *ours[:1]]
    return [
        *yardsticks,
        OnTemporal("raw_ptc", "raw", dialect="plain", workloads=W4, env=TUNED, task_timeout_s=2),
        OnTemporal("pydantic_ai", "pydantic_ai", "peers"),
        OnTemporal("pydantic_codemode", "pydantic_ai", "harness", "monty", W4, {"BENCH_CODE_MODE": "1"}),
        OnTemporal("openai_agents", "openai_agents", "peers"),
        InProcess("langgraph", "langgraph", "peers"),
        InProcess("dbos", "dbos", "peers"),
        InProcess("smolagents", "smolagents", "peers", "smol", NO_LOOP),
        *ours,
        Holdfast("holdfast, activities", shared, agent="activity", tool="lookup_activity", workloads=LOOPS),
        AtOnce("holdfast, in process", shared),
    ]
