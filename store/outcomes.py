"""What is published of tasks: that one was asked for, and how it ended."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json
from holdfast.contracts.begin import Cause
from holdfast.contracts.event import Event
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import FINAL
from holdfast.contracts.question import Question
from holdfast.ids import canonical
from store.tables import TaskRow

ASKED, COMPLETED, FAILED, CANCELLED = (
    "agent.task.execute",
    "agent.task.completed",
    "agent.task.failed",
    "task.cancelled",
)
OUTPUT, COLLABORATION = "agent.output", "collaboration.completed"
ESCALATED = "question.escalated"
MAX_DATA_BYTES = 64 << 10
"""A larger input or output is left out; `url` leads to it."""

_ENDS = {"DONE": COMPLETED, "ERROR": FAILED, "TIMED_OUT": FAILED, "CANCELLED": CANCELLED}
_NO_WORD = re.compile(r"[^A-Za-z0-9_-]+")


def topics_of_end(row: TaskRow, is_collaborative: bool) -> dict[str, str]:
    """Topic by the last part of the event's id. The first one is what a `callback_url` is told."""
    found = {_ENDS[row.state].rpartition(".")[2]: _ENDS[row.state]}
    if row.state == "DONE" and row.type.partition(":")[0] == "agent" and row.name:
        found["output"] = f"{OUTPUT}.{_NO_WORD.sub('-', row.name)}"
        if is_collaborative:
            found["collaboration"] = f"{COLLABORATION}.{row.id}"
    return found


def asked(row: TaskRow, blobs: BlobStore) -> Event:
    data = _facts(row) | _sized("input", row.input, row.input_ref, blobs)
    return _event(row, "execute", ASKED, data, row.created_at)


def ended(row: TaskRow, what: str, topic: str, blobs: BlobStore) -> Event:
    assert row.state in FINAL
    data = _facts(row) | _sized("output", row.output, row.output_ref, blobs)
    data["error"] = row.failure["message"] if row.failure else None
    return _event(row, what, topic, data, row.finished_at or row.updated_at)


def escalated(task: TaskRef, question: Question, cause: Mapping[str, Any] | None) -> Event:
    """A question that nobody answered in time. `cause` is that of the task that people asked for."""
    data: dict[str, Json] = {"task_id": task.task_id, "question": question.model_dump(mode="json")}
    came = Cause.model_validate(cause or {})
    return Event(
        id=f"{task.task_id}.escalated.{question.id}"[:200],
        tenant=task.principal.tenant,
        topic=ESCALATED,
        source=f"holdfast/{task.principal.tenant}",
        subject=task.task_id,
        data=data,
        at=question.escalated_at or question.asked_at,
        priority="high",
        parent_event_id=came.event_id,
        execution_id=task.task_id,
        depth=_deeper(came),
        trace_id=task.trace_id,
    )


def _deeper(came: Cause) -> int:
    return came.depth + 1 if came.event_id else came.depth


def _event(row: TaskRow, what: str, topic: str, data: dict[str, Json], at: datetime) -> Event:
    came = Cause.model_validate(row.cause or {})
    return Event(
        id=f"{row.id}.{what}",
        tenant=row.tenant,
        topic=topic,
        source=f"holdfast/{row.tenant}",
        subject=row.id,
        data=data,
        at=at.timestamp(),
        parent_event_id=came.event_id,
        execution_id=row.id,
        depth=_deeper(came),
        trace_id=row.trace_id,
    )


def _facts(row: TaskRow) -> dict[str, Json]:
    return {
        "task_id": row.id,
        "type": row.type,
        "name": row.name,
        "session_id": row.session_id,
        "state": row.state,
        "url": f"/tasks/{row.id}",
    }


def _sized(key: str, inline: Json, ref: str | None, blobs: BlobStore) -> dict[str, Json]:
    value = blobs.get_json(ref) if ref else inline
    size = len(canonical(value))
    return {key: value} if size <= MAX_DATA_BYTES else {key: None, f"{key}_bytes": size}
