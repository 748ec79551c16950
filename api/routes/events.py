"""What happens to a task, as it happens: a stream of server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from api.cursor import Cursor
from api.feed import Feed, Open, Streams, Told
from api.house import OurHouse, OurTaskId, OurTenant

router = APIRouter(prefix="/tasks/{task_id}", tags=["tasks"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="go on behind this event")]
LastEventIdQuery = Annotated[str | None, Query(description="the same, for those who cannot set headers")]
_DECLARED: dict[int | str, dict[str, object]] = {
    200: {"description": "The stream; docs/events.md lists its events", "content": {"text/event-stream": {}}},
    204: {"description": "The last event of the task was heard already"},
}


class EventStream(StreamingResponse):
    """Ends the feed with the response, however that ends. (FastAPI's own kind can answer nothing but 200.)"""

    media_type = "text/event-stream"

    def __init__(self, told: AsyncIterator[bytes], feed: Open, streams: Streams) -> None:
        super().__init__(told, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feed, self._streams = feed, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams.add(self._feed)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.remove(self._feed)
            self._feed.close()


# FastAPI reads a default status off the class, and this one has none.
@router.get("/events", status_code=200, operation_id="watch_task", response_class=EventStream, responses=_DECLARED)
async def watch(
    task_id: OurTaskId,
    request: Request,
    house: OurHouse,
    tenant: OurTenant,
    after: LastEventId = None,
    last_event_id: LastEventIdQuery = None,
) -> Response:
    """All that happened to a task and what happens yet, up to its end; behind `Last-Event-ID`, if that is given."""
    # A browser that reconnects sends the header, and the address with the older id once more.
    text = after or last_event_id
    cursor = Cursor.parse(text) if text else None
    row = await house.records.get(tenant, task_id)
    if cursor and cursor.is_end:
        return Response(status_code=204)
    feed = Feed(house, row, cursor)
    return EventStream(_written(feed), feed, cast(Streams, request.app.state.streams))


async def _written(feed: Feed) -> AsyncIterator[bytes]:
    async for told in feed.told():
        yield _event(told)


def _event(told: Told) -> bytes:
    if told.what is None:
        return format_sse_event(comment="ping")
    data = told.what.model_dump_json(by_alias=True)
    return format_sse_event(event=told.what.event, data_str=data, id=told.id)
