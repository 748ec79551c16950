"""The tasks that a task starts, as its history tells of them: child workflows, and steps that came to nothing."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter

from api.performed import at
from holdfast.contracts.milestone import StepMade
from holdfast.contracts.principal import PROGRAM

_PART = re.compile(r"(?P<name>[^.]+)(?:\.(?P<iteration>\d+))?(?:\.a\d+)?")
"""What a flow calls the child of a step: `name`, in round 2 `name.2`, at attempt 2 `name.a2`, or both."""
_KINDS = {"workflow": "flow", "tool": "skill"}
End = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True)
class _Open:
    told: StepMade
    began: float


class Stepped:
    """Children of one run that are not over, by the ids of their workflows."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter
        self._open: dict[str, _Open] = {}
        self._ends: dict[int, tuple[str, End]] = {
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: ("completed", "done"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: ("failed", "failed"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: ("canceled", "cancelled"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: ("timed_out", "failed"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: ("terminated", "failed"),
        }

    @property
    def ends(self) -> list[int]:
        """Types of the events that `ended` reads."""
        return list(self._ends)

    async def begun(self, event: HistoryEvent) -> list[StepMade]:
        """A child is on its way. A program is no step: its task tells of it."""
        attributes = event.start_child_workflow_execution_initiated_event_attributes
        part = attributes.workflow_id.rpartition("/")[2]
        if part == PROGRAM:
            return []
        [spec] = await self._converter.decode(attributes.input.payloads, [dict]) or [{}]
        kind, who = _kind(spec)
        found = _PART.fullmatch(part)
        told = StepMade(
            at=at(event),
            name=found["name"] if found else part,
            kind=kind,
            who=who,
            state="started",
            iteration=int(found["iteration"] or 1) if found else 1,
            child=part,
        )
        self._open[attributes.workflow_id] = _Open(told, told.at)
        return [told]

    def ended(self, event: HistoryEvent) -> list[StepMade]:
        name, state = self._ends[event.event_type]
        attributes = getattr(event, f"child_workflow_execution_{name}_event_attributes")
        error = _why(attributes.failure) if name == "failed" else "" if state == "done" else name.replace("_", " ")
        return self._end(event, attributes.workflow_execution, state, error)

    def _end(self, event: HistoryEvent, child: WorkflowExecution, state: End, error: str) -> list[StepMade]:
        was = self._open.pop(child.workflow_id, None)
        if was is None:
            return []
        change: dict[str, Any] = {"at": at(event), "state": state, "error": error or None}
        return [was.told.model_copy(update={**change, "ms": round((at(event) - was.began) * 1000)})]


def _kind(spec: dict[str, Any]) -> tuple[str, str]:
    """What a child is, by the type of its task: `agent:code-reviewer` is the agent `code-reviewer`."""
    kind, _, who = str(spec.get("type") or PROGRAM).partition(":")
    return _KINDS.get(kind, kind), who


def _why(failure: Failure) -> str:
    """The innermost words: those around it only say that a child failed."""
    while failure.HasField("cause"):
        failure = failure.cause
    return failure.message


def skipped(raw: bytes) -> str:
    """Why a step was not begun, as the result of `work.prepare` says; empty if it was."""
    return str(json.loads(raw).get("skipped") or "")
