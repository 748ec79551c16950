"""A small real HTTP server that says what a test tells it to: for what the CLI prints, not for what holdfast does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TASK_ID = "0197a3c2-1111-7222-8333-444455556666"

Answer = tuple[int, Any]
Event = tuple[str, str, Any]
"""Id (empty: none), name and data of an event."""


class FakeApi:
    """`says` scripts the answers of one endpoint, in order; the last one is repeated.

    `links` are Link headers by path, each sent once. `asked` is what came in, `headers` what came with it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.links: dict[str, list[str]] = {}
        self._script: dict[tuple[str, str], list[Answer]] = {}
        self._streams: dict[str, list[list[Event]]] = {}
        self._drops: dict[tuple[str, str], int] = {}

    def says(self, method: str, path: str, *bodies: Any, status: int = 200) -> None:
        self._script[method, path] = [(status, body) for body in bodies]

    def refuses(self, method: str, path: str, status: int, code: str, message: str) -> None:
        self.says(method, path, problem(status, code, message), status=status)

    def refuses_first(self, method: str, path: str, times: int, status: int, code: str, message: str) -> None:
        """So often, before it says what it was told to."""
        self._script[method, path][:0] = [(status, problem(status, code, message))] * times

    def streams(self, path: str, *connections: list["Event"]) -> None:
        """The events of each connection to a path, after which it is cut."""
        self._streams[path] = list(connections)

    def drops(self, method: str, path: str, times: int) -> None:
        """So often a request is read, and its connection closed without an answer."""
        self._drops[method, path] = times

    def dropped(self, method: str, path: str) -> bool:
        left = self._drops.get((method, path), 0)
        self._drops[method, path] = left - 1
        return left > 0

    def stream(self, path: str) -> "list[Event] | None":
        connections = self._streams.get(path)
        return connections.pop(0) if connections else None

    def sent(self, name: str) -> list[str | None]:
        """A header of all that came in."""
        return [headers.get(name) for headers in self.headers]

    def bodies(self, method: str, path: str) -> list[Any]:
        return [body for found, at, body in self.asked if (found, at) == (method, path)]

    def answer(self, method: str, path: str, body: Any) -> Answer:
        self.asked.append((method, path, body))
        answers = self._script.get((method, path))
        if not answers:
            return 404, problem(404, "NOT_FOUND", f"the test has no answer for {method} {path}")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def problem(status: int, code: str, message: str) -> dict[str, Any]:
    error = {"code": code, "message": message, "details": {}, "timestamp": "", "trace_id": "ab" * 16}
    return {"status": status, "detail": message, "message": message, "error": error}


def task(state: str = "DONE", **fields: Any) -> dict[str, Any]:
    """A task's JSON, two seconds long."""
    base = {
        "id": TASK_ID,
        "type": "program",
        "status": state.lower(),
        "state": state,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:07Z",
        "trace_id": "ab" * 16,
    }
    return base | fields


def step(
    name: str, state: str = "answered", start: float = 100.0, end: float | None = 101.0, **fields: Any
) -> dict[str, Any]:
    return {"kind": "call", "name": name, "state": state, "started_at": start, "ended_at": end} | fields


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            path = urlsplit(self.path).path
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            if api.dropped(self.command, path):
                api.asked.append((self.command, path, body))
                self.close_connection = True
                return
            if (events := api.stream(path)) is not None:
                self.stream(path, events)
                return
            status, said = api.answer(self.command, path, body)
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            if links := api.links.get(urlsplit(self.path).path):
                self.send_header("link", links.pop(0))
            self.end_headers()
            self.wfile.write(data)

        def stream(self, path: str, events: list[Event]) -> None:
            """Without an end: the connection is cut in the middle of a chunk."""
            api.asked.append(("GET", path, None))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for number, name, data in events:
                text = f"id: {number}\n" if number else ""
                chunk = f"{text}event: {name}\ndata: {json.dumps(data)}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
            self.close_connection = True

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  # the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        api = FakeApi(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
