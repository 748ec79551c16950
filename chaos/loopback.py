"""An HTTP server on loopback, in threads, that can go away in the middle of an answer: what stub models are made of."""

import json
import socket
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Loopback(ThreadingHTTPServer):
    """Serves from `begin` to `end`. `errors` are what a door raised, but for clients that went away.

    A door that waits does so by `stopping.wait(seconds)`: `end` waits for all doors.
    """

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, door: type["Door"], port: int = 0) -> None:
        self.stopping = threading.Event()
        self.errors: list[BaseException] = []
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), door)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=door.__module__)

    @property
    def port(self) -> int:
        return self.socket.getsockname()[1]  # type: ignore[no-any-return]

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Close the port and all connections, also those that wait for a reply."""
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self._hang_up()
        self.server_close()

    def _hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.errors.append(error)


class Door(BaseHTTPRequestHandler):
    """One connection. A stub's own door has `get` and `post`, and knows its stub by `server`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Loopback

    def get(self) -> None:
        raise NotImplementedError

    def post(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post()

    def body(self) -> bytes:
        """
        Raises:
            ConnectionError: the client went away in the middle of it.
        """
        size = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(size)
        if len(raw) < size:
            raise ConnectionAbortedError(f"{len(raw)} bytes of {size} came")
        return raw

    def send(self, status: int, body: bytes | dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        about = {"content-type": "application/json", "content-length": str(len(data))}
        self._head(status, {**about, **(headers or {})})
        self.wfile.write(data)
        self.wfile.flush()

    def begin_stream(self, media_type: str) -> None:
        self._head(200, {"content-type": media_type, "transfer-encoding": "chunked"})

    def piece(self, data: bytes) -> None:
        """Of a stream; none: its end. A stream without an end is one that was cut."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet: what a stub recorded is the log."""
