"""What every request passes: trace id, the guard, the size of its body, security headers, one log line."""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders

from api import problems
from api.guard import KEY_PARAMETER, Guard
from holdfast import log
from holdfast.config import Settings
from holdfast.errors import Forbidden, HoldfastError, TooLarge
from holdfast.ids import new_trace_id

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 10 << 20
_TOO_LARGE = "the body is larger than 10 MiB; send large data with POST /files, and name it in the task's `files`"
_OWN_LIMIT = "/files"
"""Its route reads the body piece by piece, and counts."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_TRACE = re.compile(r"[0-9a-f]{32}")
_DOCS = ("/docs", "/redoc")
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

_log = log.get_logger(__name__)


class Door:
    """ASGI middleware. Outermost, so that nothing that happens inside escapes the log line and the error body."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.app = app
        self._guard = Guard(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await _Visit(scope, receive, send).through(self.app, self._guard)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is wrong is told before the socket is accepted, as the answer to an HTTP request would tell it."""
        scope.setdefault("state", {}).update(trace_id=given_trace(Headers(scope=scope)) or new_trace_id())
        within: App = self.app
        try:
            self._guard.check(scope)
        except Forbidden as exc:
            within = problems.of(scope, exc)
        scope["query_string"] = _without_key(scope["query_string"])
        await within(scope, receive, send)


def _without_key(query: bytes) -> bytes:
    """uvicorn writes addresses of sockets to the log."""
    return b"&".join(part for part in query.split(b"&") if _name(part) != KEY_PARAMETER.encode())


def _name(part: bytes) -> bytes:
    return unquote_to_bytes(part.partition(b"=")[0])


class _Visit:
    """One HTTP request from its first header to its log line."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self._send = scope, receive, send
        self.status: int | None = None
        self.began = time.perf_counter()
        given = given_trace(Headers(scope=scope))
        scope.setdefault("state", {}).update(trace_id=given or new_trace_id(), trace_given=given is not None)

    async def through(self, app: App, guard: Guard) -> None:
        log.clear()
        log.bind(trace_id=self.scope["state"]["trace_id"])
        try:
            guard.check(self.scope)
            await app(self.scope, await limited(self.scope, self.receive), self.send)
        except HoldfastError as exc:
            await problems.of(self.scope, exc)(self.scope, self.receive, self.send)
        except Exception:  # noqa: BLE001  # the edge of the process
            _log.exception("http.fault", method=self.scope["method"], path=self.scope["path"])
            # A response that has begun cannot be taken back; uvicorn closes its connection.
            if self.status is None:
                await problems.unexpected(self.scope)(self.scope, self.receive, self.send)
        finally:
            self._tell()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Trace-Id"] = self.scope["state"]["trace_id"]
            # The pages of /docs are FastAPI's own, with scripts from a CDN.
            safe = {} if self.scope["path"].startswith(_DOCS) else _SAFE
            for name, value in safe.items():
                headers.setdefault(name, value)
        await self._send(message)

    def _tell(self) -> None:
        _log.info(
            "http.request",
            method=self.scope["method"],
            path=self.scope["path"],
            status=self.status,
            ms=round((time.perf_counter() - self.began) * 1000, 1),
        )


async def limited(scope: Scope, receive: Receive) -> Receive:
    """A way to read the body, of at most 10 MiB but for files. One whose length is not told is read here first.

    Raises:
        TooLarge: there is more of it.
    """
    if scope["path"] == _OWN_LIMIT:
        return receive
    headers = Headers(scope=scope)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise TooLarge(_TOO_LARGE)
    if "transfer-encoding" not in headers:
        return receive
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(_TOO_LARGE)
    return _replayed(bytes(body), receive)


def _replayed(body: bytes, receive: Receive) -> Receive:
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again


def given_trace(headers: Headers) -> str | None:
    """The caller's trace id: of a W3C `traceparent`, else `X-Trace-Id`. What is not 32 hex digits is not one."""
    parent = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    found = parent[1] if parent else headers.get("x-trace-id", "").lower().replace("-", "")
    return found if _TRACE.fullmatch(found) and found.strip("0") else None
