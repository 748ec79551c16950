"""WebSockets: what changes among a tenant's tasks, and what happens to one of them. `ping` is answered with `pong`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from api.changes import Changes, Listener
from api.cursor import Cursor
from api.feed import Feed, Streams, Told
from api.house import OurHouse, OurTaskId, OurTenant

router = APIRouter()

TOO_SLOW = 1013
_CLOSING_SECONDS = 1.0
LastEventId = Annotated[str | None, Query(description="go on behind this event")]


@router.websocket("/ws")
async def watch_all(socket: WebSocket, house: OurHouse, tenant: OurTenant) -> None:
    """A message whenever a task of the tenant is made, goes on or ends: `TaskChanged`, as text."""
    changes = cast(Changes, socket.app.state.changes)
    with changes.counted():
        async with changes.heard(house, tenant) as listener:
            await socket.accept()
            await _talk(socket, _all(socket, listener), _end(listener))


@router.websocket("/ws/tasks/{task_id}")
async def watch_one(
    socket: WebSocket, task_id: OurTaskId, house: OurHouse, tenant: OurTenant, last_event_id: LastEventId = None
) -> None:
    """What `GET /tasks/{id}/events` tells, each event one text: its data, with `event` and `id`. Closed at the end."""
    row = await house.records.get(tenant, task_id)
    feed = Feed(house, row, Cursor.parse(last_event_id) if last_event_id else None)
    streams = cast(Streams, socket.app.state.streams)
    streams.add(feed)
    try:
        with cast(Changes, socket.app.state.changes).counted():
            await socket.accept()
            await _talk(socket, _one(socket, feed.told()))
    finally:
        streams.remove(feed)
        feed.close()


async def _all(socket: WebSocket, listener: Listener) -> None:
    while True:
        await socket.send_text((await listener.next()).model_dump_json())


async def _one(socket: WebSocket, told: AsyncIterator[Told]) -> None:
    async for each in told:
        if each.what is not None:
            data = each.what.model_dump(mode="json", by_alias=True)
            await socket.send_text(json.dumps({"event": each.what.event, "id": each.id, **data}, ensure_ascii=False))


async def _end(listener: Listener) -> int:
    await listener.is_lost.wait()
    return TOO_SLOW


async def _hear(socket: WebSocket) -> None:
    """Answer what the client says, until it goes."""
    while True:
        if await socket.receive_text() == "ping":
            await socket.send_text("pong")


async def _talk(socket: WebSocket, *others: Coroutine[Any, Any, int | None]) -> None:
    """Speak and listen until one of both is over. What is told decides the code that the socket is closed with."""
    parts = [asyncio.create_task(one) for one in (*others, _hear(socket))]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in parts:
            part.cancel()
        await asyncio.wait(parts)
    codes = [part.result() for part in done if not isinstance(part.exception(), WebSocketDisconnect)]
    await _close(socket, next((code for code in codes if code), 1000))


async def _close(socket: WebSocket, code: int) -> None:
    """A client that does not read does not hear of this either, and is not waited for."""
    if socket.application_state == WebSocketState.CONNECTED == socket.client_state:
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await socket.close(code)
