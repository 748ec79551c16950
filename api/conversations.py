"""Conversations as people see them: sessions, their turns, and questions that the next message answers."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from temporalio.service import RPCError, RPCStatusCode

from api.answers import answered, was_answered
from api.house import House
from api.sessions import handle_of, rows_of, viewed
from api.temporal import answering
from api.view import STATUS, current, questions, value
from holdfast.contracts.base import Json
from holdfast.contracts.begin import Cause
from holdfast.contracts.chat import Said, SessionLine, SessionMessage, SessionShown
from holdfast.contracts.program import FINAL, TaskState
from holdfast.contracts.question import Question
from holdfast.contracts.session import SIGNAL_CLOSE, Memory, SessionSettings, SessionView
from holdfast.errors import NoTemporal, NotFound
from holdfast.ids import task_id_from_key
from holdfast.said import plain
from store.records import TaskRow
from store.sessions import SessionRow

_BEGUN: tuple[TaskState, ...] = ("RUNNING", "WAITING", "DONE", "ERROR", "CANCELLED", "TIMED_OUT")
_AGAIN = timedelta(minutes=10)
"""So long a message that answered a question may come again."""

# its turns


async def said(house: House, row: TaskRow) -> Said:
    """A turn, whole."""
    given = await value(house, row.input, row.input_ref)
    state = cast(TaskState, row.state)
    cause = Cause.model_validate(row.cause or {})
    return Said(
        task_id=row.id,
        type=row.type,
        said=plain(given),
        state=state,
        status=STATUS[state],
        answer=await value(house, row.output, row.output_ref),
        error=row.failure["message"] if row.failure else None,
        topic=cause.topic,
        created_at=row.created_at,
        finished_at=row.finished_at,
        total_cost=None if row.cost is None else float(row.cost),
    )


# how it stands


async def shown(house: House, row: SessionRow) -> SessionShown:
    """A session as its workflow tells it, or, if none runs, as it was saved."""
    view, note = None, ""
    if row.state == "active":
        try:
            view = await viewed(house, row.tenant, row.id)
        except NoTemporal as exc:
            note = str(exc)
        else:
            row = row if view else await _asleep(house, row)
    return await asyncio.to_thread(_shown, house, row, view, note)


async def _asleep(house: House, row: SessionRow) -> SessionRow:
    """Its workflow is over: it hibernates, or was terminated in Temporal, and wakes with what was saved last."""
    found = await rows_of(house).get(row.tenant, row.id)
    if found.state == "active":
        await rows_of(house).mark(row.tenant, row.id, "idle")
        found.state = "idle"
    return found


def line(row: SessionRow) -> SessionLine:
    return SessionLine.model_validate(_line(row))


def _line(row: SessionRow) -> dict[str, Any]:
    settings = SessionSettings.model_validate(row.settings or {})
    return {
        "id": row.id,
        "state": row.state,
        "mode": settings.mode,
        "agent": row.agent,
        "title": row.title,
        "turns": row.turns,
        "user_id_hash": row.user_hash,
        "tenant_id": row.tenant,
        "created_at": row.created_at,
        "seen_at": row.seen_at,
    }


def _shown(house: House, row: SessionRow, view: SessionView | None, note: str) -> SessionShown:
    settings = SessionSettings.model_validate(row.settings or {})
    memory = Memory.model_validate(row.memory or {})
    own: dict[str, Any] = {"model": settings.model, "idle_seconds": settings.idle_seconds, "note": note}
    if view is None or view.turns < memory.turns:
        told = {"tokens": memory.tokens, "recent": memory.recent, "variables": memory.names}
    else:
        told = view.model_dump(include={"turns", "tokens", "recent", "queued", "running", "questions"})
        told["variables"] = memory.names
    return SessionShown.model_validate(_line(row) | own | told)


async def variables(house: House, row: SessionRow) -> dict[str, Any]:
    """What programs of its turns saved."""
    value = Memory.model_validate(row.memory or {}).variables
    if value is None:
        return {}
    found = await asyncio.to_thread(house.blobs.get_json, value.ref) if value.ref else value.inline
    return found if isinstance(found, dict) else {}


async def close(house: House, row: SessionRow) -> SessionRow:
    """Close a session for good. Its running turn is cancelled; until that is over its workflow runs on."""
    try:
        handle = await handle_of(house, row.tenant, row.id)
        async with answering():
            await handle.signal(SIGNAL_CLOSE)
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
    await rows_of(house).mark(row.tenant, row.id, "closed")
    return await rows_of(house).get(row.tenant, row.id)


# questions that a message answers


@dataclass(frozen=True)
class Answer:
    """What a message answered, and the turn that asked."""

    task: TaskRow
    turn: int
    question_id: str


async def answer(house: House, row: SessionRow, message: SessionMessage) -> Answer | None:
    """Give a message to the turn that waits for it, if one asks one thing, in words; None: it answers nothing.

    Raises:
        InvalidRequest: it is none of the answers that the question allows.
    """
    update_id = None
    if message.idempotency_key is not None:
        update_id = task_id_from_key(row.tenant, message.idempotency_key)
        if await _is_turn(house, row.tenant, update_id):
            return None
        if given := await _given(house, row, update_id, message.text):
            return given
    found = await _asked(house, row)
    if found is None:
        return None
    task, question = found
    value = _as_form(message.text) if question.form else message.text
    await answered(house, await current(house, task), question.id, value, message.user_id, update_id)
    return Answer(task, row.turns + 1, question.id)


async def _asked(house: House, row: SessionRow) -> tuple[TaskRow, Question] | None:
    waiting = await house.records.list(row.tenant, state="WAITING", session_id=row.id, limit=1)
    for task in waiting.rows:
        with contextlib.suppress(NoTemporal):
            asks = [one for one in await questions(house, await current(house, task)) if one.state == "open"]
            if [one.kind for one in asks] == ["clarification"]:
                return task, asks[0]
    return None


async def _given(house: House, row: SessionRow, update_id: str, text: str) -> Answer | None:
    """What this very message answered before: its sender did not hear of it."""
    latest = await house.records.list(row.tenant, state=_BEGUN, session_id=row.id, limit=1)
    for task in latest.rows:
        if datetime.now(UTC) - task.updated_at < _AGAIN and await was_answered(house, task, update_id):
            closed = [one for one in await questions(house, await current(house, task)) if one.state == "answered"]
            same = [one.id for one in closed if one.answer in (text, _as_form(text))]
            return Answer(task, row.turns + (task.state not in FINAL), same[-1] if same else "")
    return None


async def _is_turn(house: House, tenant: str, task_id: str) -> bool:
    try:
        await house.records.get(tenant, task_id)
    except NotFound:
        return False
    return True


def _as_form(text: str) -> Json:
    """The answer to a question with a form: JSON, or text that may fit as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
