"""The tasks that a task starts, as its history tells of them: child workflows, and steps that came to nothing."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter

from api.performed import at, read
from holdfast.contracts.flow import PREPARE, Prepared, PrepareStep
from holdfast.contracts.milestone import StepMade
from holdfast.contracts.principal import PROGRAM
from holdfast.temporal.markers import local_activity

_PART = re.compile(r"(?P<name>[^.]+)(?:\.(?P<iteration>\d+))?(?:\.a\d+)?")
"""What a flow calls the child of a step: `name`, in round 2 `name.2`, at attempt 2 `name.a2`, or both."""
_CALL = re.compile(r"[0-9a-f]{24}\.\d+")
"""What a program or a loop calls an agent that it uses as a skill: the id of the call."""
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
        self._preparing: dict[int, str] = {}
        self._ends: dict[int, tuple[str, End]] = {
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: ("completed", "done"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: ("failed", "failed"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: ("canceled", "cancelled"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: ("timed_out", "failed"),
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: ("terminated", "failed"),
        }

    async def marked(self, event: HistoryEvent) -> list[StepMade]:
        """What became of a step that was made ready, if it has no child: it is skipped, or cannot be started."""
        ran, marker = local_activity(event), event.marker_recorded_event_attributes
        if ran is None or ran.kind != PREPARE.name or marker.HasField("failure"):
            return []
        [summary] = await self._converter.decode([event.user_metadata.summary], [str])
        return await self._prepared(ran.ended, str(summary).rpartition(" ")[2], marker.details["result"])

    async def scheduled(self, event: HistoryEvent) -> None:
        """The same by an activity: a local one failed."""
        attributes = event.activity_task_scheduled_event_attributes
        if attributes.activity_type.name == PREPARE.name:
            self._preparing[event.event_id] = (await read(self._converter, attributes.input, PrepareStep)).child

    async def completed(self, event: HistoryEvent) -> list[StepMade]:
        attributes = event.activity_task_completed_event_attributes
        part = self._preparing.pop(attributes.scheduled_event_id, None)
        return [] if part is None else await self._prepared(at(event), part, attributes.result)

    async def _prepared(self, when: float, part: str, result: Payloads) -> list[StepMade]:
        prepared = await read(self._converter, result, Prepared)
        name, iteration = _named(part)
        if prepared.skipped:
            return [StepMade(at=when, name=name, iteration=iteration, state="skipped", reason=prepared.skipped)]
        if prepared.refused is None:
            return []
        return [StepMade(at=when, name=name, iteration=iteration, state="failed", error=prepared.refused.message)]

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
        name, iteration = (who or kind, 1) if _CALL.fullmatch(part) else _named(part)
        told = StepMade(at=at(event), name=name, kind=kind, who=who, state="started", iteration=iteration, child=part)
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


def _named(part: str) -> tuple[str, int]:
    """The name of a step, and its round."""
    found = _PART.fullmatch(part)
    return (found["name"], int(found["iteration"] or 1)) if found else (part, 1)


def _kind(spec: dict[str, Any]) -> tuple[str, str]:
    """What a child is, by the type of its task: `agent:code-reviewer` is the agent `code-reviewer`."""
    kind, _, who = str(spec.get("type") or PROGRAM).partition(":")
    return _KINDS.get(kind, kind), who


def _why(failure: Failure) -> str:
    """The innermost words: those around it only say that a child failed."""
    while failure.HasField("cause"):
        failure = failure.cause
    return failure.message
