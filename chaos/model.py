"""A stub model over real HTTP, in the wire format of OpenAI: it says what the scenarios want, and fails on purpose.

It counts for itself what it was asked, so that what holdfast pays for can be judged from outside.
"""

import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from chaos.loopback import Door, Loopback

Step = str
"""`plan`, `program`, `repair`, `phrase`, `answer`, `delegate`, `merge`; of a loop `turn 1`, `turn 2`, …"""
Reply = str | Callable[[str], str]
"""What is replied; or what makes it of the whole text of the request."""
Fault = Literal["", "hang", "cut", "busy", "broken"]

FAULTS: tuple[Fault, ...] = ("hang", "cut", "busy", "broken")
_STEPS: dict[str, Step] = {
    "did not run through": "repair",
    "Planning step": "plan",
    "Implementation step": "program",
    "The program is done": "phrase",
    "Delegation step": "delegate",
    "Merging step": "merge",
}
"""First words of the prompts in `activities/prompts/`."""
_LOOP = "Call tools as often as it needs"
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

    def __init__(self, script: Mapping[str, Mapping[str, Reply]], seed: int, rate: float, delay_s: float = 0.3) -> None:
        self.script, self.rate, self.delay_s = script, rate, delay_s
        self.asked: list[Asked] = []
        self._random = random.Random(seed)  # noqa: S311 - a seed makes a run replayable
        self._faulted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}/v1"

    @property
    def faults(self) -> Counter[str]:
        """How often it failed, by kind."""
        return Counter(one.fault for one in self.asked if one.fault)

    def __enter__(self) -> Self:
        self._server.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.end()
        if self._server.errors:
            raise self._server.errors[0]

    def take(self, raw: bytes) -> Asked:
        """Record a request, and decide how it goes."""
        body = json.loads(raw)
        found = _KEY.findall(_text(body))
        step = _step(body)
        digest = hashlib.sha256(raw).hexdigest()
        with self._lock:
            fails = self._faulted[digest] < _MOST and self._random.random() < self.rate
            fault: Fault = self._random.choice(FAULTS) if fails else ""
            self._faulted[digest] += fails
            asked = Asked(found[-1] if found else "", step, digest, time.time(), fault)
            self.asked.append(asked)
        return asked

    def reply(self, asked: Asked, text: str) -> str:
        scenario = asked.key.rpartition("-")[0].partition(".")[2]
        reply = self.script.get(scenario, {}).get(asked.step, "OK")
        return reply if isinstance(reply, str) else reply(text)


def _step(body: dict[str, Any]) -> Step:
    if _LOOP in _text(body):
        return f"turn {1 + sum(message['role'] == 'assistant' for message in body['messages'])}"
    return next((name for words, name in _STEPS.items() if words in _last(body)), "answer")


def _text(body: dict[str, Any]) -> str:
    return "\n".join(str(message["content"]) for message in body.get("messages", []))


def _last(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]) if body.get("messages") else ""


class _Server(Loopback):
    def __init__(self, model: Model) -> None:
        self.model = model
        super().__init__(_Door)


class _Door(Door):
    server: _Server

    def get(self) -> None:
        self.send(200, {"object": "list", "data": [{"id": "stub", "object": "model", "created": 1, "owned_by": "us"}]})

    def post(self) -> None:
        raw = self.body()
        asked = self.server.model.take(raw)
        try:
            self._answer(asked, json.loads(raw))
        finally:
            asked.until = time.time()

    def _answer(self, asked: Asked, body: dict[str, Any]) -> None:
        self.server.stopping.wait(_HANG_S if asked.fault == "hang" else self.server.model.delay_s)
        match asked.fault:
            case "busy":
                self.send(429, {"error": {"message": "busy", "type": "rate_limit_error"}}, {"retry-after": "1"})
            case "broken":
                self.send(500, {"error": {"message": "broken", "type": "api_error"}})
            case "hang":
                self.close_connection = True
            case _:
                self._say(asked, self.server.model.reply(asked, _text(body)), bool(body.get("stream")))

    def _say(self, asked: Asked, text: str, stream: bool) -> None:
        if stream:
            self._stream(text, cut=asked.fault == "cut")
        elif asked.fault == "cut":
            self.close_connection = True
        else:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.send(200, {"object": "chat.completion", **_HEAD, "choices": [choice], "usage": _usage(text)})

    def _stream(self, text: str, cut: bool) -> None:
        self.begin_stream("text/event-stream")
        pieces = list(_pieces(text))
        for data in pieces[: len(pieces) // 2] if cut else [*pieces, b""]:
            self.piece(data)
        self.close_connection = cut


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
