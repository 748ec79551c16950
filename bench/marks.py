"""Moments of a run, read from a workflow's history: when what was asked for, begun and done."""

from collections.abc import Iterable, Iterator

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from holdfast.temporal.markers import local_activity

_PLAIN = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: "workflow starts",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "workflow ends",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "workflow fails",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "a signal arrives",
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: "hears that its child ended",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "an update is accepted",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: "an update is answered",
}


def moments(events: Iterable[HistoryEvent]) -> Iterator[tuple[str, float]]:
    """What happened, and when, in seconds since the epoch. A repeated kind keeps its name: see `first_and_last`."""
    kinds: dict[int, str] = {}
    for event in events:
        at = event.event_time.ToNanoseconds() / 1e9
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                kinds[event.event_id] = event.activity_task_scheduled_event_attributes.activity_type.name
                yield f"{kinds[event.event_id]} is scheduled", at
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                yield f"{kinds[event.activity_task_started_event_attributes.scheduled_event_id]} begins", at
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                yield f"{kinds[event.activity_task_completed_event_attributes.scheduled_event_id]} is done", at
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                yield from _local(event)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                yield "a workflow task begins", at
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                yield "a workflow task is done", at
            case kind if kind in _PLAIN:
                yield _PLAIN[kind], at


def _local(event: HistoryEvent) -> Iterator[tuple[str, float]]:
    """Two moments of a local activity: its end by the worker's clock, and when it stood in the history."""
    ran = local_activity(event)
    if ran is None:
        return
    kind = f"{ran.kind} (local)"
    yield f"{kind} has run", ran.ended
    yield f"{kind} is recorded", event.event_time.ToNanoseconds() / 1e9


def first_and_last(found: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The same with each name once: what happens more than once has its first, and its last and how often."""
    times: dict[str, list[float]] = {}
    for name, at in found:
        times.setdefault(name, []).append(at)
    marks: dict[str, float] = {}
    for name, all_ in times.items():
        if len(all_) == 1:
            marks[name] = all_[0]
        else:
            marks[f"{name}: first"], marks[f"{name}: last of {len(all_)}"] = min(all_), max(all_)
    return marks
