"""What the stub model server says, in the words of each wire format: whole, in pieces, and as an error."""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

Wire = Literal["openai", "anthropic", "converse", "invoke"]
Stop = Literal["end", "length", "refusal"]

_STOPS: dict[Wire, dict[Stop, str]] = {
    "openai": {"end": "stop", "length": "length", "refusal": "content_filter"},
    "anthropic": {"end": "end_turn", "length": "max_tokens", "refusal": "refusal"},
    "invoke": {"end": "end_turn", "length": "max_tokens", "refusal": "refusal"},
    "converse": {"end": "end_turn", "length": "max_tokens", "refusal": "guardrail_intervened"},
}
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "ValidationException"),
    401: ("authentication_error", "UnrecognizedClientException"),
    403: ("permission_error", "AccessDeniedException"),
    404: ("not_found_error", "ResourceNotFoundException"),
    413: ("request_too_large", "ValidationException"),
    429: ("rate_limit_error", "ThrottlingException"),
    500: ("api_error", "InternalServerException"),
    503: ("api_error", "ServiceUnavailableException"),
    529: ("overloaded_error", "ServiceUnavailableException"),
}
"""Status -> how Anthropic calls it, how Bedrock does."""


@dataclass(frozen=True)
class Use:
    """A tool call of a reply. `arguments` may be a text that is no JSON, where the wire format carries text."""

    name: str
    arguments: dict[str, Any] | str
    id: str = ""

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)

    @property
    def object(self) -> dict[str, Any]:
        return self.arguments if isinstance(self.arguments, dict) else {}


@dataclass(frozen=True)
class Result:
    """What a request tells of a call: the id that it answers, and the answer."""

    id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True)
class Said:
    """A reply before it has a wire format. `prompt_tokens` includes the cached ones; None: no usage is told."""

    wire: Wire
    model: str
    text: str
    stop: Stop
    prompt_tokens: int | None
    completion_tokens: int
    cached: int
    uses: tuple[Use, ...] = ()
    one_place: bool = False

    @property
    def stop_word(self) -> str:
        if self.uses and self.stop == "end":
            return "tool_calls" if self.wire == "openai" else "tool_use"
        return _STOPS[self.wire][self.stop]

    @property
    def calls(self) -> list[tuple[str, Use]]:
        """Each with its id."""
        return [(use.id or f"call_stub_{number}", use) for number, use in enumerate(self.uses, 1)]

    @property
    def cuts(self) -> list[str]:
        return [self.text[at : at + 16] for at in range(0, len(self.text), 16)]


def texts(content: Any) -> str:
    """All text of a message's content, whatever the wire format."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(found for part in parts if isinstance(found := _text_of(part), str))


def _text_of(part: dict[str, Any]) -> Any:
    inner = part.get("toolResult", part)
    return texts(inner["content"]) if "content" in inner else part.get("text")


def tools_of(wire: Wire, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of each tool that a request tells natively."""
    if wire == "converse":
        specs = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", [])]
        return {spec["name"]: spec["inputSchema"]["json"] for spec in specs}
    tools = body.get("tools", [])
    if wire == "openai":
        return {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    return {tool["name"]: tool["input_schema"] for tool in tools}


def calls_of(wire: Wire, body: dict[str, Any]) -> list[Use]:
    """The calls that a request tells natively, of all turns."""
    if wire == "openai":
        made = [one for message in body["messages"] for one in message.get("tool_calls") or []]
        return [Use(one["function"]["name"], json.loads(one["function"]["arguments"]), one["id"]) for one in made]
    parts = [
        part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    if wire == "converse":
        used = [part["toolUse"] for part in parts if "toolUse" in part]
        return [Use(one["name"], one["input"], one["toolUseId"]) for one in used]
    return [Use(one["name"], one["input"], one["id"]) for one in parts if one.get("type") == "tool_use"]


def results_of(wire: Wire, body: dict[str, Any]) -> list[Result]:
    """The answers to calls that a request tells natively, of all turns."""
    if wire == "openai":
        told = [message for message in body["messages"] if message["role"] == "tool"]
        return [Result(one["tool_call_id"], one["content"]) for one in told]
    parts = [
        part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    if wire == "converse":
        given = [part["toolResult"] for part in parts if "toolResult" in part]
        return [Result(one["toolUseId"], texts(one["content"])) for one in given]
    answers = [one for one in parts if one.get("type") == "tool_result"]
    return [Result(one["tool_use_id"], texts(one["content"]), bool(one.get("is_error"))) for one in answers]


def system_of(wire: Wire, body: dict[str, Any]) -> str:
    if wire == "openai":
        return "\n".join(texts(m["content"]) for m in body.get("messages", []) if m["role"] in ("system", "developer"))
    return texts(body.get("system"))


def media_type(wire: Wire, streamed: bool) -> str:
    if not streamed:
        return "application/json"
    return "text/event-stream" if wire in ("openai", "anthropic") else "application/vnd.amazon.eventstream"


def whole(said: Said) -> bytes:
    body = {"openai": _openai, "anthropic": _anthropic, "invoke": _anthropic, "converse": _converse}[said.wire](said)
    return json.dumps(body).encode()


def pieces(said: Said) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """A streamed reply: what comes before the text, a piece of text each, and what comes behind it."""
    match said.wire:
        case "openai":
            return _openai_stream(said)
        case "converse":
            return _converse_stream(said)
        case "anthropic":
            return _each(said, lambda event: _sse(event, event["type"]))
        case "invoke":
            return _each(said, _chunk)


def problem(wire: Wire, status: int, message: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and body of an error."""
    kind, aws = _ERRORS.get(status, ("api_error", "InternalServerException"))
    if wire == "openai":
        return {}, {"error": {"message": message, "type": kind, "param": None, "code": None}}
    if wire == "anthropic":
        return {}, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_stub"}
    return {"x-amzn-errortype": aws}, {"message": message}


def problem_event(wire: Wire, status: int, message: str) -> bytes:
    """An error that comes within a stream, behind a status of 200."""
    headers, body = problem(wire, status, message)
    if wire in ("openai", "anthropic"):
        return _sse(body, "error" if wire == "anthropic" else None)
    kind = headers["x-amzn-errortype"]
    name = kind[0].lower() + kind[1:]
    return _frame({":message-type": "exception", ":exception-type": name, ":content-type": "application/json"}, body)


def _openai(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.uses:
        message |= {"content": said.text or None, "tool_calls": [_openai_call(one, use) for one, use in said.calls]}
    choice = {"index": 0, "message": message, "finish_reason": said.stop_word, "logprobs": None}
    return {"object": "chat.completion", **_openai_head(said), "choices": [choice], "usage": _openai_usage(said)}


def _openai_call(one: str, use: Use) -> dict[str, Any]:
    return {"id": one, "type": "function", "function": {"name": use.name, "arguments": use.text}}


def _openai_head(said: Said) -> dict[str, Any]:
    return {"id": "chatcmpl-stub", "created": 1, "model": said.model}


def _openai_usage(said: Said) -> dict[str, Any] | None:
    if said.prompt_tokens is None:
        return None
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached},
    }


def _openai_stream(said: Said) -> tuple[list[bytes], list[bytes], list[bytes]]:
    head = {"object": "chat.completion.chunk", **_openai_head(said)}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})

    usage = _openai_usage(said)
    last = [_sse({**head, "choices": [], "usage": usage})] if usage else []
    before = [event({"role": "assistant", "content": ""})]
    calls = [event({"tool_calls": [piece]}) for piece in _openai_pieces(said)]
    return before, [event({"content": cut}) for cut in said.cuts], [*calls, event({}, said.stop_word), *last, _DONE]


def _openai_pieces(said: Said) -> Iterator[dict[str, Any]]:
    """The name first, then the arguments in halves; parallel calls in turns, as some servers send them. Others send each
    whole, and all with one index."""
    if said.one_place:
        yield from ({"index": 0, **_openai_call(one, use)} for one, use in said.calls)
        return
    for at, (one, use) in enumerate(said.calls):
        yield {"index": at, **_openai_call(one, Use(use.name, ""))}
    for half in (slice(None, 5), slice(5, None)):
        for at, (_, use) in enumerate(said.calls):
            yield {"index": at, "function": {"arguments": use.text[half]}}


_DONE = b"data: [DONE]\n\n"


def _anthropic(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": said.text}] if said.text else []
    content += [{"type": "tool_use", "id": one, "name": use.name, "input": use.object} for one, use in said.calls]
    head = {"id": "msg_stub", "type": "message", "role": "assistant", "model": said.model, "content": content}
    return {**head, "stop_reason": said.stop_word, "stop_sequence": None, "usage": _anthropic_usage(said)}


def _anthropic_usage(said: Said) -> dict[str, int]:
    return {
        "input_tokens": (said.prompt_tokens or said.cached) - said.cached,
        "output_tokens": said.completion_tokens,
        "cache_read_input_tokens": said.cached,
        "cache_creation_input_tokens": 0,
    }


def _each(said: Said, form: Any) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Anthropic's events, each put into `form`: as server-sent events, or in Bedrock's frames."""
    start = {**_anthropic(said), "content": [], "stop_reason": None}
    start["usage"] = {**_anthropic_usage(said), "output_tokens": 1}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    end = {"stop_reason": said.stop_word, "stop_sequence": None}
    deltas = ({"type": "text_delta", "text": cut} for cut in said.cuts)
    return (
        [form({"type": "message_start", "message": start}), form(block)],
        [form({"type": "content_block_delta", "index": 0, "delta": delta}) for delta in deltas],
        [
            form({"type": "content_block_stop", "index": 0}),
            *(form(event) for event in _anthropic_uses(said)),
            form({"type": "message_delta", "delta": end, "usage": {"output_tokens": said.completion_tokens}}),
            form({"type": "message_stop"}),
        ],
    )


def _anthropic_uses(said: Said) -> Iterator[dict[str, Any]]:
    for index, (one, use) in enumerate(said.calls, 1):
        block = {"type": "tool_use", "id": one, "name": use.name, "input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for half in (use.text[:5], use.text[5:]):
            delta = {"type": "input_json_delta", "partial_json": half}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}


def _converse(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"text": said.text}] if said.text else []
    content += [{"toolUse": {"toolUseId": one, "name": use.name, "input": use.object}} for one, use in said.calls]
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, "stopReason": said.stop_word, **_converse_usage(said)}


def _converse_usage(said: Said) -> dict[str, Any]:
    prompt = said.prompt_tokens or 0
    usage = {
        "inputTokens": prompt - said.cached,
        "outputTokens": said.completion_tokens,
        "totalTokens": prompt + said.completion_tokens,
        "cacheReadInputTokens": said.cached,
    }
    return {"usage": usage, "metrics": {"latencyMs": 1}}


def _converse_stream(said: Said) -> tuple[list[bytes], list[bytes], list[bytes]]:
    texts = [_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": cut}}) for cut in said.cuts]
    end = [_event("contentBlockStop", {"contentBlockIndex": 0}), *_converse_uses(said)]
    end += [_event("messageStop", {"stopReason": said.stop_word})]
    return [_event("messageStart", {"role": "assistant"})], texts, [*end, _event("metadata", _converse_usage(said))]


def _converse_uses(said: Said) -> Iterator[bytes]:
    for index, (one, use) in enumerate(said.calls, 1):
        start = {"toolUse": {"toolUseId": one, "name": use.name}}
        yield _event("contentBlockStart", {"contentBlockIndex": index, "start": start})
        for half in (use.text[:5], use.text[5:]):
            yield _event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": half}}})
        yield _event("contentBlockStop", {"contentBlockIndex": index})


def _chunk(event: dict[str, Any]) -> bytes:
    return _event("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()})


def _event(kind: str, body: dict[str, Any]) -> bytes:
    return _frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, body)


def _sse(body: dict[str, Any], event: str | None = None) -> bytes:
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(body)}\n\n".encode()


def _frame(headers: dict[str, str], body: dict[str, Any]) -> bytes:
    """One message of AWS's event stream: lengths, their checksum, headers, payload, checksum of all."""
    head, payload = b"".join(_headers(headers)), json.dumps(body).encode()
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


def _headers(headers: dict[str, str]) -> Iterator[bytes]:
    for name, value in headers.items():
        yield struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
