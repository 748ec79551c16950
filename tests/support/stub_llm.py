"""A model server for tests: real HTTP on loopback, in a thread, in every wire format that `providers/` speaks.

    with StubLlm() as stub:
        stub.rule("which skills", '{"selected_skills": ["web-search"]}')
        stub.rule("busy", times=1, fault=Fault(status=429, headers={"retry-after": "3"}))
        ...
        assert len(stub.requests) == 2

OpenAI: `<url>/v1` (or `<url>`), Anthropic: `<url>`, Bedrock: `<url>`. What no rule matches is answered with "OK".
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from chaos.loopback import Door, Loopback
from tests.support import stub_wires
from tests.support.stub_wires import Result, Said, Stop, Use, Wire

_BEDROCK = re.compile(r"/model/(?P<model>.+)/(?P<way>converse|invoke)(?P<stream>-stream|-with-response-stream)?")


@dataclass(frozen=True)
class Request:
    """One request to a model. `text` is the system prompt and all messages; `last` the last message's text;
    `at` is `time.monotonic()` of its arrival; `headers` have lower-case names; `connection` is the client's port."""

    wire: Wire
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    size_bytes: int
    model: str
    stream: bool
    at: float
    connection: int

    @property
    def system(self) -> str:
        return stub_wires.system_of(self.wire, self.body)

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role and text of each, without the system prompt."""
        found = self.body.get("messages", [])
        return [(m["role"], stub_wires.texts(m["content"])) for m in found if m["role"] not in ("system", "developer")]

    @property
    def text(self) -> str:
        return "\n".join([self.system, *(text for _, text in self.messages)])

    @property
    def last(self) -> str:
        return self.messages[-1][1] if self.messages else ""

    @property
    def tools(self) -> dict[str, Any]:
        """The JSON Schema of each tool that is told natively."""
        return stub_wires.tools_of(self.wire, self.body)

    @property
    def calls(self) -> list[Use]:
        return stub_wires.calls_of(self.wire, self.body)

    @property
    def results(self) -> list[Result]:
        return stub_wires.results_of(self.wire, self.body)


@dataclass(frozen=True)
class Calling:
    """A reply with tool calls, beside its text."""

    uses: tuple[Use, ...]
    text: str = ""


def calling(*uses: Use, text: str = "") -> Calling:
    return Calling(uses, text)


Reply = str | Calling


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a reply. Fields can be combined: `status` with `cut_after` is an error within a stream.

    `drop`: the connection is closed before the reply. `cut_after`: it is lost behind so many pieces of a stream;
    with `politely` the stream just ends there. `hang_s`: silence before the reply, `slow_s` before each piece of a
    stream. `malformed`: half a JSON object.
    `length` and `refusal` are reasons why the reply stopped; `no_usage`: the reply tells no tokens; `one_place`: all calls
    of a stream have the same index, as Gemini's.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    drop: bool = False
    cut_after: int | None = None
    politely: bool = False
    hang_s: float = 0
    slow_s: float = 0
    empty: bool = False
    refusal: bool = False
    length: bool = False
    malformed: bool = False
    no_usage: bool = False
    one_place: bool = False

    @property
    def stop(self) -> Stop:
        return "refusal" if self.refusal else "length" if self.length else "end"


@dataclass
class Rule:
    """What is said to requests that `match`. `used` counts them."""

    match: str | Callable[[Request], bool]
    reply: Reply | Callable[[Request], Reply]
    times: int | None
    delay_s: float
    fault: Fault
    used: int = 0

    def fits(self, request: Request) -> bool:
        if self.times is not None and self.used >= self.times:
            return False
        if isinstance(self.match, str):
            return re.search(self.match, request.text, re.DOTALL) is not None
        return self.match(request)


_OK = Rule("", "OK", None, 0, Fault())


class StubLlm:
    """`requests` are those that asked a model, in the order of their arrival; a list of models is no such request.

    `cached` is how many prompt tokens the replies claim to have had from a cache. Prompt tokens are a quarter of the
    body's bytes, completion tokens a quarter of the reply's letters. `stop` and `start` make an outage: same port,
    same rules.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.cached = 0
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rule(
        self,
        match: str | Callable[[Request], bool],
        reply: Reply | Callable[[Request], Reply] = "OK",
        *,
        times: int | None = None,
        delay_s: float = 0,
        fault: Fault | None = None,
    ) -> Rule:
        """Say `reply` to requests whose text matches; the first rule that fits and is not used up wins."""
        made = Rule(match, reply, times, delay_s, fault or Fault())
        with self._lock:
            self._rules.append(made)
        return made

    def reset(self) -> None:
        with self._lock:
            self.requests, self._rules, self.cached = [], [], 0

    def start(self) -> None:
        self._server = _Server(self)
        self.port = self._server.port
        self._server.begin()

    def stop(self) -> None:
        """Close the port and all connections, also those that wait for a reply."""
        if self._server is not None:
            self._server.end()
            self.errors += self._server.errors
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.errors:
            raise self.errors[0]

    def take(self, request: Request) -> Rule:
        """Record a request, and find what is said to it."""
        with self._lock:
            self.requests.append(request)
            rule = next((rule for rule in self._rules if rule.fits(request)), _OK)
            rule.used += 1
            return rule


class _Server(Loopback):
    def __init__(self, stub: StubLlm) -> None:
        self.stub = stub
        super().__init__(_Door, stub.port)


class _Door(Door):
    server: _Server

    def get(self) -> None:
        if not urlsplit(self.path).path.endswith("/models"):
            return self.send(404, {"error": {"message": f"no {self.path} here"}})
        models = [{"id": "stub", "object": "model", "created": 1, "owned_by": "tests"}]
        return self.send(200, {"object": "list", "data": models})

    def post(self) -> None:
        raw = self.body()
        request = self._read(raw)
        if request is None:
            return self.send(404, {"error": {"message": f"no {self.path} here", "type": "not_found_error"}})
        rule = self.server.stub.take(request)
        if pause_s := rule.delay_s + rule.fault.hang_s:
            self.server.stopping.wait(pause_s)
        return self._answer(request, rule)

    def _read(self, raw: bytes) -> Request | None:
        path = urlsplit(self.path).path
        found = _wire(path)
        if found is None:
            return None
        wire, model, stream = found
        body = json.loads(raw)
        return Request(
            wire=wire,
            path=path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            size_bytes=len(raw),
            model=model or body.get("model", ""),
            stream=stream or bool(body.get("stream")),
            at=time.monotonic(),
            connection=self.client_address[1],
        )

    def _answer(self, request: Request, rule: Rule) -> None:
        fault = rule.fault
        if fault.drop:
            self.close_connection = True
            return None
        if fault.status and fault.cut_after is None:
            headers, body = stub_wires.problem(request.wire, fault.status, self._complaint(fault))
            return self.send(fault.status, body, {**headers, **fault.headers})
        said = self._said(request, rule)
        if request.stream:
            return self._stream(said, fault)
        data = stub_wires.whole(said)
        return self.send(200, data[: len(data) // 2] if fault.malformed else data, fault.headers)

    def _complaint(self, fault: Fault) -> str:
        """Some providers repeat the key that they refuse; so does this one, in full."""
        if fault.message or fault.status != 401:
            return fault.message or f"stub says {fault.status}"
        return f"Incorrect API key provided: {self.headers.get('authorization') or self.headers.get('x-api-key')}"

    def _said(self, request: Request, rule: Rule) -> Said:
        told = rule.reply(request) if callable(rule.reply) else rule.reply
        reply = told if isinstance(told, Calling) else Calling((), told)
        text = "" if rule.fault.empty else reply.text
        return Said(
            wire=request.wire,
            model=request.model,
            text=text,
            stop=rule.fault.stop,
            prompt_tokens=None if rule.fault.no_usage else request.size_bytes // 4,
            completion_tokens=max(1, len(text) // 4),
            cached=self.server.stub.cached,
            uses=reply.uses,
            one_place=rule.fault.one_place,
        )

    def _stream(self, said: Said, fault: Fault) -> None:
        self.begin_stream(stub_wires.media_type(said.wire, streamed=True))
        for data in self._pieces(said, fault):
            self.server.stopping.wait(fault.slow_s)
            self.piece(data)
        if fault.cut_after is not None and not fault.politely:
            self.close_connection = True
        else:
            self.piece(b"")

    def _pieces(self, said: Said, fault: Fault) -> Iterator[bytes]:
        before, texts, behind = stub_wires.pieces(said)
        if fault.malformed:
            yield b"data: {half\n\n" if said.wire in ("openai", "anthropic") else b"\x00" * 64
            return
        yield from before
        yield from texts[: fault.cut_after]
        if fault.cut_after is None:
            yield from behind
        elif fault.status:
            yield stub_wires.problem_event(said.wire, fault.status, self._complaint(fault))


def _wire(path: str) -> tuple[Wire, str, bool] | None:
    """Wire format, model and whether it streams, as far as the path says it."""
    if path.endswith("/chat/completions"):
        return "openai", "", False
    if path.endswith("/v1/messages"):
        return "anthropic", "", False
    if found := _BEDROCK.fullmatch(path):
        wire: Wire = "converse" if found["way"] == "converse" else "invoke"
        return wire, unquote(found["model"]), bool(found["stream"])
    return None
