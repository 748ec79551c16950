"""A stub model over real HTTP, in the wire format of OpenAI: it says what the scenarios want, and fails on purpose.

It counts for itself what it was asked, so that what holdfast pays for can be judged from outside.
"""

import hashlib
import json
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

Step = Literal["plan", "program", "repair", "phrase", "answer"]
Fault = Literal["", "hang", "cut", "busy", "broken"]

FAULTS: tuple[Fault, ...] = ("hang", "cut", "busy", "broken")
_STEPS: dict[str, Step] = {
    "did not run through": "repair",
    "Planning step": "plan",
    "Implementation step": "program",
    "The program is done": "phrase",
}
"""First words of the prompts in `activities/prompts/`."""
_KEY = re.compile(r"\[task ([\w.-]+)\]")
_HANG_S = 4.0
"""Longer than the agent of the project waits."""
_MOST = 2
"""Faults for one and the same request: the task must be able to end."""


def named(key: str) -> str:
    """How the words of a task say which it is, so that its requests can be told from those of others."""
    return f"[task {key}]"


@dataclass
class Asked:
    """One request. `digest` is the same for the same request; times are UTC seconds since 1970."""

    key: str
    step: Step
    digest: str
    at: float
    fault: Fault
    until: float = 0.0


class Model:
    """A server on loopback, in threads. `script` says what is replied to a step of a task, by the task's key."""

    def __init__(self, script: Mapping[str, Mapping[str, str]], seed: int, rate: float, delay_s: float = 0.3) -> None:
        self.script, self.rate, self.delay_s = script, rate, delay_s
        self.asked: list[Asked] = []
        self._random = random.Random(seed)  # noqa: S311 - a seed makes a run replayable
        self._faulted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Door, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="stub-model")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def faults(self) -> Counter[str]:
        """How often it failed, by kind."""
        return Counter(one.fault for one in self.asked if one.fault)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def take(self, raw: bytes) -> Asked:
        """Record a request, and decide how it goes."""
        text = _text(json.loads(raw))
        found = _KEY.findall(text)
        step: Step = next((name for words, name in _STEPS.items() if words in _last(json.loads(raw))), "answer")
        digest = hashlib.sha256(raw).hexdigest()
        with self._lock:
            fails = self._faulted[digest] < _MOST and self._random.random() < self.rate
            fault: Fault = self._random.choice(FAULTS) if fails else ""
            self._faulted[digest] += fails
            asked = Asked(found[-1] if found else "", step, digest, time.time(), fault)
            self.asked.append(asked)
        return asked

    def reply(self, asked: Asked) -> str:
        scenario = asked.key.rpartition("-")[0].partition(".")[2]
        return self.script.get(scenario, {}).get(asked.step, "OK")


def _text(body: dict[str, Any]) -> str:
    return "\n".join(str(message["content"]) for message in body.get("messages", []))


def _last(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]) if body.get("messages") else ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], door: type["_Door"], model: Model) -> None:
        self.model = model
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__(address, door)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what this is about."""


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "stub", "object": "model", "created": 1, "owned_by": "us"}]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = self.server.model.take(raw)
        try:
            self._answer(asked, json.loads(raw))
        finally:
            asked.until = time.time()

    def _answer(self, asked: Asked, body: dict[str, Any]) -> None:
        self.server.stopping.wait(_HANG_S if asked.fault == "hang" else self.server.model.delay_s)
        match asked.fault:
            case "busy":
                self._send(429, {"error": {"message": "busy", "type": "rate_limit_error"}}, {"retry-after": "1"})
            case "broken":
                self._send(500, {"error": {"message": "broken", "type": "api_error"}})
            case "hang":
                self.close_connection = True
            case _:
                self._say(asked, bool(body.get("stream")))

    def _say(self, asked: Asked, stream: bool) -> None:
        text = self.server.model.reply(asked)
        if stream:
            self._stream(text, cut=asked.fault == "cut")
        elif asked.fault == "cut":
            self.close_connection = True
        else:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(200, {"object": "chat.completion", **_HEAD, "choices": [choice], "usage": _usage(text)})

    def _stream(self, text: str, cut: bool) -> None:
        self.send_response(200)
        self._headers({"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        pieces = list(_pieces(text))
        for data in pieces[: len(pieces) // 2] if cut else pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.close_connection = cut
        if not cut:
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self._headers({"content-type": "application/json", "content-length": str(len(data)), **(headers or {})})
        self.wfile.write(data)

    def _headers(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet: `asked` is the log."""


_HEAD: dict[str, Any] = {"id": "chatcmpl-stub", "created": 1, "model": "stub"}


def _usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": len(text) // 4 + 1, "total_tokens": len(text) // 4 + 2}


def _pieces(text: str) -> Iterator[bytes]:
    """A streamed reply, event by event."""
    for at in range(0, len(text), 32):
        yield _event({"choices": [{"index": 0, "delta": {"content": text[at : at + 32]}, "finish_reason": None}]})
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({"choices": [], "usage": _usage(text)})
    yield b"data: [DONE]\n\n"


def _event(part: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **_HEAD, **part}).encode() + b"\n\n"
