"""Sessions: conversations that remember. Each message is a task, the next turn."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, cast
from urllib.parse import quote, urlencode
from uuid import uuid4

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.sse import format_sse_event

from api import conversations, intake
from api.feed import Streams
from api.house import House, OurHouse, OurTenant
from api.routes.events import EventStream, LastEventId, LastEventIdQuery
from api.sessionfeed import BEGINNING, Heard, SessionCursor, SessionFeed
from api.sessions import closed, rows_of
from api.view import Seen, as_task
from holdfast.contracts.base import Json
from holdfast.contracts.chat import (
    MessageTaken,
    Said,
    SessionLine,
    SessionMessage,
    SessionRequest,
    SessionShown,
)
from holdfast.contracts.principal import SessionId
from holdfast.contracts.session import SessionState
from holdfast.contracts.task import TaskRequest
from holdfast.conversing import settings_of
from holdfast.errors import Conflict, InvalidRequest
from holdfast.ids import user_hash
from store.cursors import MAX_PAGE

router = APIRouter(prefix="/sessions", tags=["sessions"])

Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
OurSessionId = Annotated[SessionId, Path()]
_STREAM: dict[int | str, dict[str, object]] = {
    200: {"description": "The stream; docs/sessions.md lists its events", "content": {"text/event-stream": {}}},
}


@router.post("", status_code=201, operation_id="create_session")
async def create(body: SessionRequest, response: Response, house: OurHouse, tenant: OurTenant) -> SessionShown:
    """Make a conversation with an agent or a model of its own. Without these its first message makes it."""
    session_id = body.id or str(uuid4())
    agent = None
    if body.agent is not None:
        agent = house.library.current()[0].find_agent(body.agent)
    settings = settings_of(house.settings, agent, body.model)
    asker = user_hash(body.user_id) if body.user_id and body.user_id.strip() else None
    if not await rows_of(house).make(tenant, session_id, settings.model_dump(mode="json"), asker):
        raise Conflict(f"session {session_id!r} is there already; send messages to it, or take another id")
    response.headers["Location"] = f"/sessions/{quote(session_id, safe='')}"
    return await conversations.shown(house, await rows_of(house).get(tenant, session_id))


@router.get("", operation_id="list_sessions")
async def find(
    request: Request,
    response: Response,
    house: OurHouse,
    tenant: OurTenant,
    state: SessionState | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    cursor: str | None = None,
) -> list[SessionLine]:
    """Conversations, the one with the latest message first. `Link` leads to the next page."""
    page = await rows_of(house).list(tenant, state=state, limit=limit, cursor=cursor)
    _paged(request, response, page.total, page.next_cursor)
    return [conversations.line(row) for row in page.rows]


@router.get("/{session_id}", operation_id="get_session")
async def look(session_id: OurSessionId, house: OurHouse, tenant: OurTenant) -> SessionShown:
    """A conversation as it stands: its latest turns, the one that runs, those that wait, what is asked."""
    return await conversations.shown(house, await rows_of(house).get(tenant, session_id))


@router.delete("/{session_id}", status_code=202, operation_id="close_session")
async def close(session_id: OurSessionId, house: OurHouse, tenant: OurTenant) -> SessionLine:
    """Close a conversation for good: its running turn is cancelled, no other begins; what was said stays."""
    row = await rows_of(house).get(tenant, session_id)
    return conversations.line(await conversations.close(house, row))


@router.get("/{session_id}/variables", operation_id="session_variables")
async def variables(session_id: OurSessionId, house: OurHouse, tenant: OurTenant) -> dict[str, Json]:
    """What programs of its turns saved for later ones."""
    return await conversations.variables(house, await rows_of(house).get(tenant, session_id))


@router.post("/{session_id}/messages", status_code=202, operation_id="send_message")
async def send(
    session_id: OurSessionId,
    body: SessionMessage,
    request: Request,
    response: Response,
    house: OurHouse,
    tenant: OurTenant,
    key: Key = None,
) -> MessageTaken:
    """Say something: the next turn, in order of arrival; or, if the turn that runs asks one question in words, the
    answer to that. The conversation begins with its first message, and wakes with any."""
    body = body.model_copy(update={"idempotency_key": body.idempotency_key or key})
    if answered := await _answered(session_id, body, house, tenant):
        return answered
    asked = TaskRequest(
        type=f"agent:{body.agent}" if body.agent else "agent",
        input=body.text or ", ".join(f"[{part.name or part.media_type}]" for part in body.parts),
        parts=body.parts,
        model=body.model,
        strategy=body.strategy,
        skills=body.skills,
        budget=body.budget,
        session_id=session_id,
        idempotency_key=body.idempotency_key,
        user_id=body.user_id,
    )
    taken = await intake.taken(house, asked, tenant, request.state.trace_id)
    response.headers["Location"] = f"/tasks/{taken.row.id}"
    sent = taken.sent
    return MessageTaken(
        session_id=session_id,
        task_id=taken.row.id,
        turn=sent.turn if sent else 0,
        ahead=sent.ahead if sent else 0,
        task=await as_task(house, Seen(taken.row)),
    )


async def _answered(session_id: str, body: SessionMessage, house: House, tenant: str) -> MessageTaken | None:
    """What became of a message that answers a question; None: it is a turn of its own."""
    row = await rows_of(house).find(tenant, session_id)
    if row is None:
        return None
    if row.state == "closed":
        raise closed(session_id)
    if not body.text or body.parts:
        return None
    answer = await conversations.answer(house, row, body)
    if answer is None:
        return None
    return MessageTaken(
        session_id=session_id,
        task_id=answer.task.id,
        turn=answer.turn,
        answered=answer.question_id,
        task=await as_task(house, Seen(answer.task)),
    )


@router.get("/{session_id}/messages", operation_id="list_messages")
async def said(
    session_id: OurSessionId,
    request: Request,
    response: Response,
    house: OurHouse,
    tenant: OurTenant,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> list[Said]:
    """The turns of a conversation, whole, the newest first. `Link` leads to older ones."""
    await rows_of(house).get(tenant, session_id)
    page = await house.records.list(tenant, session_id=session_id, limit=limit, cursor=cursor)
    _paged(request, response, page.total, page.next_cursor)
    return [await conversations.said(house, row) for row in page.rows]


# FastAPI reads a default status off the class, and this one has none.
@router.get(
    "/{session_id}/events", status_code=200, operation_id="watch_session", response_class=EventStream, responses=_STREAM
)
async def watch(
    session_id: OurSessionId,
    request: Request,
    house: OurHouse,
    tenant: OurTenant,
    after: LastEventId = None,
    last_event_id: LastEventIdQuery = None,
) -> Response:
    """What happens in a conversation, until it is closed: turns that begin and end, and what happens in between.

    It begins with the turns that are not over, or behind `Last-Event-ID`; with `0` it begins with the first turn.
    """
    text = after or last_event_id
    cursor = SessionCursor.parse(text) if text else None
    await rows_of(house).get(tenant, session_id)
    if cursor is not None and (await house.records.get(tenant, cursor.task_id)).session_id != session_id:
        raise InvalidRequest(f"Last-Event-ID: task {cursor.task_id} is no turn of this session")
    feed = SessionFeed(house, tenant, session_id, cursor, from_start=text == BEGINNING)
    return EventStream(_written(feed), feed, cast(Streams, request.app.state.streams))


async def _written(feed: SessionFeed) -> AsyncIterator[bytes]:
    async for heard in feed.told():
        yield _event(heard)


def _event(heard: Heard) -> bytes:
    match heard.what:
        case None:
            return format_sse_event(comment="ping")
        case Said() as turn:
            return format_sse_event(event="turn", data_str=turn.model_dump_json(), id=heard.id)
        case what:
            data = {"task_id": heard.task_id, **what.model_dump(mode="json", by_alias=True)}
            return format_sse_event(event=what.event, data_str=json.dumps(data, ensure_ascii=False), id=heard.id)


def _paged(request: Request, response: Response, total: int, cursor: str | None) -> None:
    response.headers["X-Total-Count"] = str(total)
    if cursor:
        # Not from `request.url`: what stands in a session's id would be taken for a part of that.
        query = urlencode({**request.query_params, "cursor": cursor})
        response.headers["Link"] = f'<{quote(request.scope["path"])}?{query}>; rel="next"'
