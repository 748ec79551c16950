"""Events from outside, and what became of those that came."""

import asyncio
import json
import time
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.house import House, OurHouse, OurTenant
from api.problems import WrongMediaType
from api.temporal import answering
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.event import Event, EventPriority, Routed
from holdfast.envelopes import BATCH, MAX_BATCH, STRUCTURED, binary, is_binary, many, one
from holdfast.errors import InvalidRequest, NoTemporal, shown
from store.cursors import MAX_PAGE
from store.events import EventRow

router = APIRouter(prefix="/events", tags=["events"])

_PRINTED = r"^[^\x00-\x1f\x7f]*$"
_AT_ONCE = 8
_JSON = ("application/json", STRUCTURED, BATCH)


class Accepted(Contract):
    """An event that was recorded. `event_id` finds it again; a `duplicate` was known, and starts nothing once more."""

    event_id: str
    topic: str
    duplicate: bool


class AcceptedBatch(Contract):
    events: list[Accepted]


class Posted(Contract):
    """An address that an event goes to. `outcome` is null until that is known."""

    url: str
    outcome: str | None


class EventSeen(Contract):
    """An event, and what it started: `<kind>:<name>` to the id of the task; `refused` says why one was not. `state` is
    `accepted` until it was routed; `stopped`: it started nothing, and `reason` says why. `at` is when it came."""

    event_id: str
    topic: str
    source: str
    at: datetime
    depth: int
    state: str
    reason: str = ""
    started: dict[str, str] = {}
    refused: dict[str, str] = {}
    posted: list[Posted] = []


class EventPage(EventSeen):
    """The event in full."""

    subject: str
    data: Json
    occurred_at: datetime
    expires_at: datetime | None
    priority: EventPriority
    parent_event_id: str | None
    execution_id: str | None
    trace_id: str


class EventList(Contract):
    events: list[EventSeen]
    next_cursor: str | None


_TOPIC = {"type": "string", "maxLength": 255, "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 180}
_SHARED: dict[str, Any] = {
    "event_id": _TEXT,
    "timestamp": {"type": "string", "format": "date-time"},
    "trace_id": {"type": "string"},
    "parent_event_id": _TEXT,
    "priority": {"enum": ["low", "normal", "high", "critical"]},
    "ttl_seconds": {"type": "number", "exclusiveMinimum": 0},
    "payload": {},
}
_SHORT = {
    "title": "ShortEvent",
    "type": "object",
    "properties": {"topic": _TOPIC, **_SHARED},
    "required": ["topic"],
    "additionalProperties": False,
}
_OLDER = {
    "title": "AgentrunnerEvent",
    "type": "object",
    "properties": {
        "event_type": _TOPIC,
        "execution_id": _TEXT,
        "retry_count": {"type": "integer"},
        "source": _TEXT,
        **_SHARED,
    },
    "required": ["event_type"],
    "additionalProperties": False,
}
_CLOUD = {
    "title": "CloudEvent",
    "type": "object",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {"type": "string", "minLength": 1},
        "type": _TOPIC,
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
        "data": {},
        "data_base64": {"type": "string"},
        "depth": {"type": "integer", "minimum": 0},
    },
    "required": ["specversion", "id", "source", "type"],
}
_LIST = {"type": "array", "items": _CLOUD, "maxItems": MAX_BATCH}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_SHORT, _OLDER, _CLOUD]},
                "example": {"topic": "slack.command.ask", "payload": {"prompt": "How are we?"}},
            },
            STRUCTURED: {"schema": _CLOUD},
            BATCH: {"schema": _LIST},
        },
    }
}


@router.post("", status_code=202, operation_id="send_event", openapi_extra=_BODY)
async def send(request: Request, response: Response, house: OurHouse, tenant: OurTenant) -> Accepted | AcceptedBatch:
    """Say what happened: agents and flows that subscribed to its topic are started, webhooks are posted to.

    CloudEvents 1.0 (structured, a batch, or binary with `ce-` headers), agentrunner's envelope, or `{topic, payload}`.
    One whose id is known changes nothing, and is answered as a duplicate: repeating is always safe.
    """
    events = await _events(request, tenant)
    if isinstance(events, Event):
        found = await _taken(house, events)
        response.headers["Location"] = f"/events/{found.event_id}" if found.event_id.isalnum() else "/events"
        return found
    return AcceptedBatch(events=await _all_taken(house, events))


@router.get("", operation_id="list_events")
async def find(
    house: OurHouse,
    tenant: OurTenant,
    topic: Annotated[str | None, Query(pattern=_PRINTED, max_length=255, description="exactly this one")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    cursor: str | None = None,
) -> EventList:
    """Events, the newest first, and what each started."""
    page = await house.publisher.events.list(tenant, topic=topic, limit=limit, cursor=cursor)
    return EventList(events=[_seen(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/{event_id:path}", operation_id="get_event")
async def look(
    event_id: Annotated[str, Path(max_length=200, pattern=_PRINTED)], house: OurHouse, tenant: OurTenant
) -> EventPage:
    """An event in full, by the id that it was accepted with, or that its source gave it."""
    row = await house.publisher.events.get(tenant, event_id)
    event = Event.model_validate(house.blobs.get_json(row.body_ref or ""))
    whole: dict[str, Any] = event.model_dump() | _seen(row).model_dump()
    return EventPage.model_validate({**whole, "occurred_at": event.at, "expires_at": event.expires_at})


async def _events(request: Request, tenant: str) -> Event | list[Event]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    now, trace = time.time(), request.state.trace_id
    body = await request.body()
    if is_binary(request.headers):
        return binary(request.headers, body, tenant, now, trace)
    if kind not in _JSON:
        raise WrongMediaType(f"Content-Type is {shown(kind)}; allowed: {', '.join(_JSON)}, or `ce-` headers")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"body: not JSON in UTF-8: {str(exc)[:200]}") from None
    is_batch = kind == BATCH or isinstance(given, list)
    return many(given, tenant, now, trace) if is_batch else one(given, tenant, now, trace)


async def _all_taken(house: House, events: list[Event]) -> list[Accepted]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one_by_one(event: Event) -> Accepted:
        async with places:
            return await _taken(house, event)

    return list(await asyncio.gather(*map(one_by_one, events)))


async def _taken(house: House, event: Event) -> Accepted:
    try:
        async with answering():
            known = await house.publisher.take(event)
    except NoTemporal as exc:
        advice = f"Send it again with event_id {event.id!r}: then it is taken once"
        raise NoTemporal(f"{exc}. {advice}", event_id=event.id) from exc
    return Accepted(event_id=event.id, topic=event.topic, duplicate=known)


def _seen(row: EventRow) -> EventSeen:
    routed = Routed.model_validate(row.routed or {})
    urls = dict.fromkeys([*(sink.url for sink in routed.sinks), *routed.posted])
    return EventSeen(
        event_id=row.id,
        topic=row.topic,
        source=row.source,
        at=row.at,
        depth=row.depth,
        state="accepted" if row.routed is None else "stopped" if routed.stopped else "routed",
        reason=routed.stopped,
        started=routed.started,
        refused=routed.refused,
        posted=[Posted(url=url, outcome=routed.posted.get(url)) for url in urls],
    )
