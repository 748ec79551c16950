"""Anthropic's Messages, over its SDK. Bedrock's Claude speaks the same with another client.

Requests are posted as they are, not by `messages.create`: it has no argument for the temperature any more, and warns
of models that are about to retire, which the tests would take for an error.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2
from anthropic import RequestOptions
from anthropic.types import Message, RawMessageStreamEvent

from holdfast.contracts.message import CallPart, ResultPart
from providers.base import ModelReply, ModelRequest, OnDelta, Tool
from providers.endpoint import Endpoint
from providers.faults import Asked
from providers.http import headers, limits, lost
from providers.prices import Tokens
from providers.reply import Stop, reply
from providers.tools import Growing, called, wire_name
from providers.turns import Image, Piece, Talk, talk

_PATH = "/v1/messages"
Client = anthropic.AsyncAnthropic | anthropic.AsyncAnthropicBedrock

_STOPS: dict[str | None, Stop] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
_SMALL = re.compile(r"claude-(instant|2|3-(opus|sonnet|haiku))")
"""Models that can say no more than 4096 tokens."""


class Anthropic:
    """One client, kept open."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = anthropic.AsyncAnthropic(
            api_key=endpoint.key or "none",
            base_url=endpoint.base_url,
            max_retries=0,
            open_telemetry=False,
        )

    async def complete(self, request: ModelRequest, on_delta: OnDelta | None = None) -> ModelReply:
        return await ask(self._client, self._endpoint, request, on_delta)

    async def close(self) -> None:
        await self._client.close()


async def ask(client: Client, endpoint: Endpoint, request: ModelRequest, on_delta: OnDelta | None) -> ModelReply:
    """One request, by any client that speaks Messages."""
    asked = Asked(endpoint, request.settings.model or "")
    body = _body(endpoint, request)
    with _faults(asked, request.settings.timeout_seconds):
        if on_delta is None:
            return _whole(asked, body, await client.post(_PATH, cast_to=Message, body=body, options=_options(request)))
        async with await _opened(client, body, request) as events:
            return await _in_pieces(asked, body, events, on_delta)


def _body(endpoint: Endpoint, request: ModelRequest) -> dict[str, Any]:
    settings, spoken = request.settings, talk(request, endpoint.row)
    model = settings.model or ""
    body = {
        "model": model,
        "max_tokens": settings.max_tokens or (4096 if _SMALL.search(model) else 8192),
        "messages": [{"role": turn.role, "content": [_block(piece) for piece in turn.pieces]} for turn in spoken.turns],
        "system": spoken.system or None,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "stop_sequences": settings.stop_sequences or None,
        "cache_control": {"type": "ephemeral"} if endpoint.row.caching else None,
        "output_config": _output_config(request, spoken),
        "tools": [_tool(tool) for tool in spoken.tools] or None,
    }
    return {name: value for name, value in body.items() if value is not None}


def _output_config(request: ModelRequest, spoken: Talk) -> dict[str, Any] | None:
    if spoken.form != "json_schema" or request.schema is None:
        return None
    return {"format": {"type": "json_schema", "schema": anthropic.transform_schema(request.schema)}}


def _options(request: ModelRequest) -> RequestOptions:
    return {"headers": headers(request), "timeout": limits(request)}


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.schema}


def _block(piece: Piece) -> dict[str, Any]:
    match piece:
        case Image():
            data = base64.b64encode(piece.data).decode()
            return {"type": "image", "source": {"type": "base64", "media_type": piece.media_type, "data": data}}
        case CallPart():
            return {"type": "tool_use", "id": piece.id, "name": wire_name(piece.skill), "input": piece.arguments}
        case ResultPart():
            failed = {"is_error": True} if piece.is_error else {}
            return {"type": "tool_result", "tool_use_id": piece.id, "content": piece.text, **failed}
        case _:
            return {"type": "text", "text": piece}


def _whole(asked: Asked, body: dict[str, Any], message: Message | str) -> ModelReply:
    if not isinstance(message, Message) or not isinstance(message.content, list):
        raise asked.failed("its reply is no message of Anthropic's format")
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [called(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
    stop = _STOPS.get(message.stop_reason, "end")
    return reply(asked, text, stop, _tokens(message.usage), body["max_tokens"], calls)


async def _opened(
    client: Client, body: dict[str, Any], request: ModelRequest
) -> anthropic.AsyncStream[RawMessageStreamEvent]:
    body = {**body, "stream": True}
    kind = anthropic.AsyncStream[RawMessageStreamEvent]
    return await client.post(_PATH, cast_to=Message, body=body, options=_options(request), stream=True, stream_cls=kind)


async def _in_pieces(
    asked: Asked, body: dict[str, Any], events: AsyncIterator[RawMessageStreamEvent], on_delta: OnDelta
) -> ModelReply:
    texts: list[str] = []
    calls: dict[int, Growing] = {}
    stop: str | None = None
    tokens, over = Tokens(0, 0), False
    async for event in events:
        match event.type:
            case "message_start":
                tokens = _tokens(event.message.usage) or tokens
            case "content_block_delta" if event.delta.type == "text_delta":
                texts.append(event.delta.text)
                await on_delta(event.delta.text)
            case "content_block_start" if event.content_block.type == "tool_use":
                calls[event.index] = Growing(event.content_block.id, event.content_block.name)
            case "content_block_delta" if event.delta.type == "input_json_delta" and event.index in calls:
                calls[event.index].text += event.delta.partial_json
            case "message_delta":
                stop = event.delta.stop_reason
                tokens = Tokens(tokens.input, event.usage.output_tokens, tokens.cached, tokens.written)
            case "message_stop":
                over = True
    if not over:
        raise asked.failed(f"its stream ended after {len(texts)} pieces, without its end")
    whole = [one.whole() for one in calls.values()]
    return reply(asked, "".join(texts), _STOPS.get(stop, "end"), tokens, body["max_tokens"], whole)


def _tokens(usage: anthropic.types.Usage | None) -> Tokens | None:
    """Anthropic counts cached tokens apart from `input_tokens`; we count them in."""
    if usage is None:
        return None
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Tokens(usage.input_tokens + cached + written, usage.output_tokens, cached, written)


@contextmanager
def _faults(asked: Asked, timeout_s: float) -> Iterator[None]:
    """The SDK's errors as ours. An error that comes within a stream carries the stream's status, 200."""
    try:
        yield
    except anthropic.APIStatusError as exc:
        if exc.status_code < 400:
            raise asked.streamed(exc.body) from None
        raise asked.status(exc.status_code, exc.response.headers, exc.body) from None
    except anthropic.APIConnectionError as exc:
        raise lost(asked, exc.__cause__ or exc, timeout_s) from None
    except httpx2.HTTPError as exc:
        raise lost(asked, exc, timeout_s, within_reply=True) from None
    except (anthropic.APIError, json.JSONDecodeError) as exc:
        raise asked.failed(f"its reply is not what Anthropic's format says: {exc}") from None
