"""The tasks that a task started, as people see them: its steps in their order, also those that have not begun."""

import asyncio
from collections.abc import Sequence
from typing import Any

from api.house import House
from api.view import STATUS, Seen, as_task, current, temporal_url, value
from holdfast.contracts.flow import OVER, FlowState, StepRun, StepState
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import Subtask, Task
from store.records import TaskRow
from store.results import took

SKIPPED = "SKIPPED"
_STATES: dict[StepState, str] = {
    "pending": "PENDING",
    "running": "RUNNING",
    "waiting": "WAITING",
    "done": "DONE",
    "failed": "ERROR",
    "skipped": SKIPPED,
    "cancelled": "CANCELLED",
}
_STATUS = dict[str, str](STATUS.items()) | {SKIPPED: "done"}
_KINDS = {"workflow": "flow", "tool": "skill"}


async def whole_task(house: House, seen: Seen) -> Task:
    """A task with all that it started."""
    task, found = await asyncio.gather(as_task(house, seen), subtasks(house, seen))
    return task.model_copy(update={"subtasks": found, "workflow_state": flow_state(seen)})


async def subtasks(house: House, seen: Seen) -> list[Subtask]:
    """By rounds and steps. A step that was tried again is there once for each attempt that began."""
    row = seen.row
    if row.state == "PENDING" or row.type.startswith(("skill:", "tool:")):
        return []
    rows = {one.id: one for one in await _rows(house, row)}
    found: list[Subtask] = []
    for run in steps(seen):
        own = rows.pop(f"{row.id}/{run.child}", None) if run.child else None
        alike = [one for one in rows.values() if (one.step, one.iteration) == (run.name, run.iteration)]
        found += [await _child(house, rows.pop(one.id)) for one in alike]
        found.append(await _step(house, row, run, own))
    return [*found, *[await _child(house, one) for one in rows.values()]]


async def _rows(house: House, parent: TaskRow) -> Sequence[TaskRow]:
    """The children's records. Of a task that was ended from outside they may not know that they are over."""
    rows = await house.records.children(parent.tenant, parent.id)
    if parent.state not in FINAL:
        return rows
    return [one if one.state in FINAL else (await current(house, one)).row for one in rows]


def steps(seen: Seen) -> Sequence[StepRun]:
    """How the steps of a task stand, or stood at its end."""
    if seen.progress:
        return seen.progress.steps
    return [StepRun.model_validate(run) for run in (seen.row.workflow_state or {}).get("steps", [])]


def flow_state(seen: Seen) -> FlowState | None:
    if seen.progress:
        return seen.progress.flow
    kept = (seen.row.workflow_state or {}).get("flow")
    return FlowState.model_validate(kept) if kept else None


async def _step(house: House, parent: TaskRow, run: StepRun, row: TaskRow | None) -> Subtask:
    """A step as its task sees it; what it was given, gave and took, its record knows best once it is over."""
    state = _state(run, row)
    own: dict[str, Any] = {
        "name": run.name,
        "agent_type": run.who or run.kind,
        "kind": run.kind,
        "iteration": run.iteration,
        "state": state,
        "status": _STATUS[state],
        "reason": run.reason,
    }
    if row is not None:
        told = (await _child(house, row)).model_dump()
        return Subtask.model_validate({**told, **own, **({} if row.state in FINAL else _spent(run))})
    output = await value(house, run.output.inline, run.output.ref) if run.output else None
    error = run.error.message if run.error else None
    return Subtask(id=f"{parent.id}/{run.child or _part(run)}", output=output, error=error, **own, **_spent(run))


async def _child(house: House, row: TaskRow) -> Subtask:
    """A child by its record alone."""
    kind, _, who = row.type.partition(":")
    return Subtask(
        id=row.id,
        name=row.step or row.name or row.id.rpartition("/")[2],
        agent_type=who or kind,
        kind=_KINDS.get(kind, kind),
        iteration=row.iteration or 1,
        status=_STATUS[row.state],
        state=row.state,
        input=await value(house, row.input, row.input_ref),
        output=await value(house, row.output, row.output_ref),
        error=row.failure["message"] if row.failure else None,
        model_used=row.model,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        total_cost=None if row.cost is None else float(row.cost),
        created_at=row.created_at,
        updated_at=row.updated_at,
        url=temporal_url(house, row),
    )


def _state(run: StepRun, row: TaskRow | None) -> str:
    """The record tells more of an end (TIMED_OUT), the parent of all else."""
    return row.state if row is not None and row.state in FINAL and run.state in OVER else _STATES[run.state]


def _spent(run: StepRun) -> dict[str, Any]:
    taken = took(run.spent)
    return {
        "model_used": taken["model"],
        "input_tokens": taken["input_tokens"],
        "output_tokens": taken["output_tokens"],
        "total_cost": None if taken["cost"] is None else float(taken["cost"]),
    }


def _part(run: StepRun) -> str:
    return run.name if run.iteration == 1 else f"{run.name}.{run.iteration}"
