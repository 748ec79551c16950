"""A schedule that is due every two seconds: each time begins one task, whatever dies meanwhile."""

from chaos.scenario import Hands, Scenario
from holdfast.contracts.base import Json
from holdfast.contracts.schedule import run_id

_DUE = 3
_SOURCE = "result = [skills.note(i=i, ms=60)['i'] for i in range(3)]"


async def _wait(hands: Hands) -> Json:
    """What the first tasks gave that it began; then it is deleted."""
    name = f"chaos-{hands.key}"
    request: Json = {"type": "program", "program": _SOURCE, "limits": {"task_seconds": 600}}
    body: Json = {"name": name, "interval_seconds": 2, "catchup_seconds": 3600, "request": request}
    await hands.made("/schedules", body)
    found: dict[str, str] = {}
    while len(found) < _DUE:
        await hands.pause(0.5, 1.5)
        shown = await hands.ask("GET", f"/schedules/{name}")
        found |= {run["task_id"]: f"{run_id('default', name)}-{run['due_at']}" for run in shown["runs"]}
    await hands.gone(f"/schedules/{name}")
    hands.workflows.extend(found.values())
    outputs = [(await hands.over(task)).output for task in found]
    return outputs[0] if all(output == outputs[0] for output in outputs) else outputs


SCENARIO = Scenario(
    name="schedule",
    about="a schedule of two seconds, until three of its tasks began",
    output=[0, 1, 2],
    calls=None,
    play=_wait,
)
