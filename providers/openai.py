"""OpenAI's chat completions, over its SDK: OpenAI, and all that speak as it does."""

import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import openai
from openai.types import CompletionUsage
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    ChatCompletionStreamOptionsParam,
)
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from holdfast.contracts.message import CallPart, ResultPart
from providers.base import Called, ModelReply, ModelRequest, OnDelta, Tool
from providers.endpoint import Endpoint
from providers.faults import Asked
from providers.http import headers, limits, lost
from providers.prices import Tokens
from providers.reply import Stop, reply
from providers.tools import Growing, called, wire_name
from providers.turns import Image, Piece, Talk, Turn, talk

_WITH_USAGE: ChatCompletionStreamOptionsParam = {"include_usage": True}
_STOPS: dict[str | None, Stop] = {"length": "length", "content_filter": "refusal"}


class OpenAi:
    """One client, kept open."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = openai.AsyncOpenAI(api_key=endpoint.key or "none", base_url=endpoint.base_url, max_retries=0)
        # The SDK reads these from the environment by itself, and would tell them to any server.
        self._client.organization = self._client.project = None

    async def complete(self, request: ModelRequest, on_delta: OnDelta | None = None) -> ModelReply:
        asked = Asked(self._endpoint, request.settings.model or "")
        body = _body(self._endpoint, request)
        timeout_s = request.settings.timeout_seconds
        with _faults(asked, timeout_s):
            if on_delta is None:
                return _whole(asked, request, await self._client.chat.completions.create(**body))
            stream = await self._client.chat.completions.create(**body, stream=True, stream_options=_WITH_USAGE)
        with _faults(asked, timeout_s, within_reply=True):
            async with stream:
                return await _in_pieces(asked, request, stream, on_delta)

    async def close(self) -> None:
        await self._client.close()


def _body(endpoint: Endpoint, request: ModelRequest) -> dict[str, Any]:
    settings, spoken = request.settings, talk(request, endpoint.row)
    wanted = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        endpoint.row.max_tokens_name: settings.max_tokens,
        "stop": settings.stop_sequences or None,
        "response_format": _response_format(request, spoken),
        "tools": [_tool(tool) for tool in spoken.tools] or None,
    }
    own = {"top_k": settings.top_k} if settings.top_k and "top_k" not in endpoint.row.unsupported else {}
    return {
        "model": settings.model,
        "messages": _messages(spoken),
        **{name: value for name, value in wanted.items() if value is not None and name not in endpoint.row.unsupported},
        "extra_body": own,
        "extra_headers": headers(request),
        "timeout": limits(request),
    }


def _response_format(request: ModelRequest, spoken: Talk) -> dict[str, Any] | None:
    match spoken.form:
        case "json_schema":
            # Strict mode would refuse optional properties; whoever asks checks the reply anyway.
            return {"type": "json_schema", "json_schema": {"name": "reply", "schema": request.schema, "strict": False}}
        case "json_object":
            return {"type": "json_object"}
        case _:
            return None


def _messages(spoken: Talk) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": spoken.system}] if spoken.system else []
    return [*system, *(message for turn in spoken.turns for message in _said(turn))]


def _said(turn: Turn) -> Iterator[dict[str, Any]]:
    """A turn as messages: each result is one of its own, calls belong to the assistant's."""
    calls = [piece for piece in turn.pieces if isinstance(piece, CallPart)]
    results = [piece for piece in turn.pieces if isinstance(piece, ResultPart)]
    others = [piece for piece in turn.pieces if not isinstance(piece, CallPart | ResultPart)]
    yield from ({"role": "tool", "tool_call_id": one.id, "content": one.text} for one in results)
    if calls:
        yield {"role": turn.role, "content": _content(others) or None, "tool_calls": [_call(one) for one in calls]}
    elif others:
        yield {"role": turn.role, "content": _content(others)}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def _call(part: CallPart) -> dict[str, Any]:
    arguments = json.dumps(part.arguments, ensure_ascii=False)
    return {"id": part.id, "type": "function", "function": {"name": wire_name(part.skill), "arguments": arguments}}


def _content(pieces: Sequence[Piece]) -> str | list[dict[str, Any]]:
    """Plain text where there are no images: not every compatible server knows parts."""
    if any(isinstance(piece, Image) for piece in pieces):
        return [_part(piece) for piece in pieces]
    return "\n\n".join(piece for piece in pieces if isinstance(piece, str))


def _part(piece: Piece) -> dict[str, Any]:
    if not isinstance(piece, Image):
        return {"type": "text", "text": piece}
    data = base64.b64encode(piece.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{piece.media_type};base64,{data}"}}


def _whole(asked: Asked, request: ModelRequest, completion: ChatCompletion | str) -> ModelReply:
    if not isinstance(completion, ChatCompletion) or not completion.choices:
        raise asked.failed(f"its reply is no chat completion: {_error_in(completion)}")
    choice = completion.choices[0]
    text, refusal = choice.message.content or "", choice.message.refusal
    stop: Stop = "refusal" if refusal else _STOPS.get(choice.finish_reason, "end")
    calls = _calls(choice.message)
    return reply(asked, text or refusal or "", stop, _tokens(completion.usage), request.settings.max_tokens, calls)


def _calls(message: ChatCompletionMessage) -> Iterator[Called]:
    for one in message.tool_calls or []:
        # Not by its type: compatible servers leave it out.
        if function := getattr(one, "function", None):
            yield called(one.id, function.name, function.arguments)


async def _in_pieces(
    asked: Asked, request: ModelRequest, chunks: AsyncIterator[ChatCompletionChunk], on_delta: OnDelta
) -> ModelReply:
    texts: list[str] = []
    calls: list[Growing] = []
    places: dict[int, Growing] = {}
    finish, refused, tokens = "", False, None
    async for chunk in chunks:
        tokens = _tokens(chunk.usage) or tokens
        for choice in chunk.choices or []:
            finish = choice.finish_reason or finish
            refused = refused or bool(choice.delta.refusal)
            _grow(calls, places, choice.delta.tool_calls or [])
            if text := choice.delta.content or choice.delta.refusal:
                texts.append(text)
                await on_delta(text)
    if not finish:
        raise asked.failed(f"its stream ended after {len(texts)} pieces, without its end")
    stop: Stop = "refusal" if refused else _STOPS.get(finish, "end")
    whole = [one.whole() for one in calls]
    return reply(asked, "".join(texts), stop, tokens, request.settings.max_tokens, whole)


def _grow(calls: list[Growing], places: dict[int, Growing], deltas: Iterable[ChoiceDeltaToolCall]) -> None:
    """Put pieces to their calls. Some servers give each call the same place, and tell them apart by their ids."""
    for delta in deltas:
        one = places.get(delta.index)
        if one is None or (delta.id and one.id and delta.id != one.id):
            one = places[delta.index] = Growing()
            calls.append(one)
        one.id = delta.id or one.id
        if delta.function:
            one.name = one.name or delta.function.name or ""
            one.text += delta.function.arguments or ""


def _tokens(usage: CompletionUsage | None) -> Tokens | None:
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return Tokens(usage.prompt_tokens, usage.completion_tokens, cached)


def _error_in(completion: object) -> str:
    """Some servers answer 200 with an error in the body; the SDK keeps fields that it does not know."""
    found = getattr(completion, "error", None)
    return str(found or "there are no choices in it")


@contextmanager
def _faults(asked: Asked, timeout_s: float, *, within_reply: bool = False) -> Iterator[None]:
    """The SDK's errors as ours."""
    try:
        yield
    except openai.APIStatusError as exc:
        raise asked.status(exc.status_code, exc.response.headers, exc.body) from None
    except openai.APIConnectionError as exc:
        raise lost(asked, exc.__cause__ or exc, timeout_s, within_reply=within_reply) from None
    except openai.APIError as exc:
        raise asked.streamed(exc.body or str(exc)) from None
    except json.JSONDecodeError as exc:
        raise asked.failed(f"its reply is no JSON: {exc}") from None
