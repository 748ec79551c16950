"""Where the time of a run of ours goes: moments of both histories and of the two HTTP requests, medians in order."""

import statistics
import time

from bench.engines import refuse_wrong
from bench.marks import first_and_last, moments
from bench.ours import Holdfast
from bench.tables import table
from bench.task import Task

_WARM = 5


async def profiled(engine: Holdfast, workload: str, n: int, runs: int, latency_ms: int = 0) -> str:
    """A Markdown table of moments, in milliseconds since the request left."""
    rows = [await _run(engine, engine.task(workload, n, latency_ms)) for _ in range(_WARM + runs)][_WARM:]
    kept = {name for name in set().union(*rows) if sum(name in row for row in rows) > len(rows) / 2}
    medians = {name: statistics.median(row[name] for row in rows if name in row) for name in kept}
    lines, before = [], 0.0
    for name in sorted(medians, key=lambda name: medians[name]):
        lines.append([f"{medians[name]:.1f}", f"{medians[name] - before:.1f}", name])
        before = medians[name]
    title = f"{engine.name}: {workload}, n={n}, the model takes {latency_ms} ms; medians of {runs}"
    return f"### {title}\n\n{table(['ms', 'since the line before', 'what'], lines)}"


async def _run(engine: Holdfast, task: Task) -> dict[str, float]:
    marks: dict[str, float] = {}
    began = time.time()
    await engine.ask(task)
    marks["HTTP: the task is accepted"] = time.time()
    said = await engine.resume(task)
    marks["HTTP: the answer is there"] = time.time()
    refuse_wrong(engine, task, said)
    own, *below = engine.workflow_ids(task)
    places = ["program"] if len(below) == 1 else [f"child {number}" for number in range(1, len(below) + 1)]
    for place, workflow_id in zip(["task", *places], [own, *below], strict=True):
        history = await engine.history(workflow_id)
        marks |= {f"{place}: {name}": at for name, at in first_and_last(moments(history)).items()}
    return {name: (at - began) * 1000 for name, at in marks.items()}
