"""Bedrock's Converse, over boto3, which blocks: each request runs in a thread of its own pool."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.eventstream import ParserError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from holdfast.contracts.message import CallPart, ResultPart
from holdfast.contracts.model import TASK_HEADER
from providers.base import Called, ModelReply, ModelRequest, OnDelta, Tool
from providers.endpoint import Endpoint
from providers.faults import Asked
from providers.prices import Tokens
from providers.reply import Stop, reply
from providers.tools import Growing, called, wire_name
from providers.turns import Image, Piece, Talk, talk

_STOPS: dict[str, Stop] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}
_THREADS = 32
_CONNECT_S = 5.0
_NO_SYSTEM = "amazon.titan"
"""Models that know no system prompt: it is put before the first message."""

_LOCK = threading.Lock()
"""A session makes one client at a time."""

Say = Callable[[str], None]


class Converse:
    """boto3's clients may be shared by threads; a time limit is a client's, so there is one for each limit."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._pool = ThreadPoolExecutor(_THREADS, "bedrock")
        self._clients: dict[float, Any] = {}
        self._trace = threading.local()

    async def complete(self, request: ModelRequest, on_delta: OnDelta | None = None) -> ModelReply:
        """When the caller is cancelled, a stream is left at its next piece; a thread waits a whole reply out."""
        asked = Asked(self._endpoint, request.settings.model or "")
        body = _body(request, talk(request, self._endpoint.row))
        loop, gone = asyncio.get_running_loop(), threading.Event()

        def say(text: str) -> None:
            if gone.is_set():
                raise asked.failed("nobody listens any more")
            assert on_delta is not None
            asyncio.run_coroutine_threadsafe(_awaited(on_delta, text), loop).result()

        try:
            return await loop.run_in_executor(self._pool, self._ask, asked, request, body, say if on_delta else None)
        finally:
            gone.set()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    def _ask(self, asked: Asked, request: ModelRequest, body: dict[str, Any], say: Say | None) -> ModelReply:
        timeout_s = request.settings.timeout_seconds
        self._trace.id = request.trace_id
        with _faults(asked, timeout_s):
            client = self._client(timeout_s)
            if say is None:
                return _whole(asked, body, client.converse(**body))
            return _in_pieces(asked, body, client.converse_stream(**body), say)

    def _client(self, timeout_s: float) -> Any:
        with _LOCK:
            if timeout_s not in self._clients:
                self._clients[timeout_s] = self._opened(timeout_s)
            return self._clients[timeout_s]

    def _opened(self, timeout_s: float) -> Any:
        aws, token = self._endpoint.aws, self._endpoint.key
        config = Config(
            connect_timeout=min(_CONNECT_S, timeout_s),
            read_timeout=timeout_s,
            retries={"total_max_attempts": 1},
            max_pool_connections=_THREADS,
            signature_version=UNSIGNED if token else "v4",
        )
        client = _session().client(
            "bedrock-runtime",
            endpoint_url=self._endpoint.base_url,
            region_name=aws.region,
            aws_access_key_id=aws.access_key or None,
            aws_secret_access_key=aws.secret_key or None,
            aws_session_token=aws.session_token or None,
            config=config,
        )
        client.meta.events.register("before-call.bedrock-runtime", self._add_headers)
        return client

    def _add_headers(self, params: dict[str, Any], **_: object) -> None:
        if self._endpoint.key:
            params["headers"]["Authorization"] = f"Bearer {self._endpoint.key}"
        if self._trace.id:
            params["headers"][TASK_HEADER] = self._trace.id


@cache
def _session() -> boto3.Session:
    """Shared, and without credentials: it holds the service's description, which takes 50 ms to read."""
    return boto3.Session()


async def _awaited(on_delta: OnDelta, text: str) -> None:
    await on_delta(text)


def _body(request: ModelRequest, spoken: Talk) -> dict[str, Any]:
    settings = request.settings
    inference = {
        "maxTokens": settings.max_tokens,
        "temperature": settings.temperature,
        "topP": settings.top_p,
        "stopSequences": settings.stop_sequences or None,
    }
    messages: list[dict[str, Any]] = [
        {"role": turn.role, "content": [_block(piece) for piece in turn.pieces]} for turn in spoken.turns
    ]
    body: dict[str, Any] = {
        "modelId": settings.model,
        "messages": messages,
        "inferenceConfig": {name: value for name, value in inference.items() if value is not None},
    }
    if spoken.system and _NO_SYSTEM in (settings.model or ""):
        messages[0]["content"].insert(0, {"text": spoken.system})
    elif spoken.system:
        body["system"] = [{"text": spoken.system}]
    if spoken.tools:
        body["toolConfig"] = {"tools": [_tool(tool) for tool in spoken.tools]}
    return body


def _tool(tool: Tool) -> dict[str, Any]:
    return {"toolSpec": {"name": tool.name, "description": tool.description, "inputSchema": {"json": tool.schema}}}


def _block(piece: Piece) -> dict[str, Any]:
    match piece:
        case Image():
            return {"image": {"format": piece.media_type.removeprefix("image/"), "source": {"bytes": piece.data}}}
        case CallPart():
            return {"toolUse": {"toolUseId": piece.id, "name": wire_name(piece.skill), "input": piece.arguments}}
        case ResultPart():
            # Not its `status`: models of others than Anthropic and Amazon refuse it.
            return {"toolResult": {"toolUseId": piece.id, "content": [{"text": piece.text}]}}
        case _:
            return {"text": piece}


def _whole(asked: Asked, body: dict[str, Any], answer: dict[str, Any]) -> ModelReply:
    message = answer.get("output", {}).get("message")
    if message is None:
        raise asked.failed("its reply holds no message")
    text = "".join(block.get("text", "") for block in message.get("content", []))
    used = [block["toolUse"] for block in message.get("content", []) if "toolUse" in block]
    calls = [called(one.get("toolUseId"), one.get("name"), one.get("input")) for one in used]
    return _reply(asked, body, text, answer.get("stopReason", ""), answer.get("usage"), calls)


def _in_pieces(asked: Asked, body: dict[str, Any], answer: dict[str, Any], say: Say) -> ModelReply:
    texts: list[str] = []
    calls: dict[int, Growing] = {}
    stop, usage = "", None
    with closing(answer["stream"]) as events:
        for event in events:
            stop = event.get("messageStop", {}).get("stopReason", stop)
            usage = event.get("metadata", {}).get("usage", usage)
            _grow(calls, event)
            if text := event.get("contentBlockDelta", {}).get("delta", {}).get("text"):
                texts.append(text)
                say(text)
    if not stop:
        raise asked.failed(f"its stream ended after {len(texts)} pieces, without its end")
    return _reply(asked, body, "".join(texts), stop, usage, [one.whole() for one in calls.values()])


def _grow(calls: dict[int, Growing], event: dict[str, Any]) -> None:
    if begun := event.get("contentBlockStart", {}).get("start", {}).get("toolUse"):
        calls[event["contentBlockStart"]["contentBlockIndex"]] = Growing(begun["toolUseId"], begun["name"])
    more = event.get("contentBlockDelta", {})
    if piece := more.get("delta", {}).get("toolUse"):
        calls.setdefault(more["contentBlockIndex"], Growing()).text += piece.get("input", "")


def _reply(
    asked: Asked,
    body: dict[str, Any],
    text: str,
    stop: str,
    usage: dict[str, int] | None,
    calls: list[Called],
) -> ModelReply:
    max_tokens = body["inferenceConfig"].get("maxTokens")
    return reply(asked, text, _STOPS.get(stop, "end"), _tokens(usage), max_tokens, calls)


def _tokens(usage: dict[str, int] | None) -> Tokens | None:
    """Converse counts cached tokens apart from `inputTokens`; we count them in."""
    if not usage:
        return None
    cached, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    return Tokens(usage["inputTokens"] + cached + written, usage["outputTokens"], cached, written)


@contextmanager
def _faults(asked: Asked, timeout_s: float) -> Iterator[None]:
    """boto3's errors as ours. An error that comes within a stream has no status."""
    try:
        yield
    except ClientError as exc:
        facts = exc.response.get("ResponseMetadata", {})
        status, error = facts.get("HTTPStatusCode", 0), exc.response.get("Error", {})
        if status < 400:
            raise asked.streamed({"type": error.get("Code"), "message": error.get("Message")}) from None
        raise asked.status(status, facts.get("HTTPHeaders", {}), error) from None
    except ReadTimeoutError:
        raise asked.silent(timeout_s) from None
    except (ResponseStreamingError, ResponseParserError, ParserError, HTTPError) as exc:
        raise asked.failed(f"its reply broke off, or is not what Converse says: {exc}") from None
    except (HTTPClientError, NoConnection) as exc:
        raise asked.unreachable(str(exc)) from None
    except ParamValidationError as exc:
        raise asked.refused(f"the request does not fit Converse: {exc}") from None
    except BotoCoreError as exc:
        raise asked.failed(str(exc)) from None
