"""Searches the web through the operator's engine; on request, a model answers from what was found."""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Protocol

import httpx2

from holdfast.errors import SecretMissing, SettingsInvalid, SkillFailed, SkillRefused

_SECONDS = 15.0
_MAX_BYTES = 4 << 20
_MAX_TITLE, _MAX_URL, _MAX_SNIPPET = 300, 2000, 500
_MAX_HTML = 8000
_BRAVE = "https://api.search.brave.com/res/v1"


class Searching(Protocol):
    """What this skill uses of the context that `run` is given."""

    @property
    def secrets(self) -> Mapping[str, str]: ...

    def llm(self, prompt: str | None = None, *, system: str = "", **variables: Any) -> Awaitable[str]: ...


@dataclass(frozen=True)
class _Engine:
    """Where to ask, and where in the JSON its results stand. Messages name variables: addresses may hold passwords."""

    name: str
    variable: str
    url: str
    parameters: dict[str, str]
    headers: dict[str, str]
    path: tuple[str, ...]
    snippet: str
    hint: str


async def run(*, query: str, limit: int = 5, summarize: bool = False, context: Searching) -> dict[str, Any]:
    """The best results as the engine orders them. No model is asked without `summarize`, or without a result."""
    engine = _engine(query, limit, context.secrets)
    rows = _rows(await _asked(engine), engine)
    found = [result for row in rows if (result := _result(row, engine))]
    results = found[:limit]
    answer: dict[str, Any] = {"results": results, "total": len(found)}
    if summarize:
        answer["answer"] = (await context.llm(results=_numbered(results))).strip() if results else ""
    return answer


def _engine(query: str, limit: int, secrets: Mapping[str, str]) -> _Engine:
    if "SEARXNG_URL" in secrets:
        address = _address("SEARXNG_URL", secrets["SEARXNG_URL"]).removesuffix("/search")
        parameters = {"q": query, "format": "json"}
        hint = "SearXNG needs json among search.formats in its settings.yml"
        return _Engine("SearXNG", "SEARXNG_URL", f"{address}/search", parameters, {}, ("results",), "content", hint)
    if "BRAVE_API_KEY" in secrets:
        address = _address("BRAVE_API_URL", secrets.get("BRAVE_API_URL", _BRAVE))
        headers = {"X-Subscription-Token": secrets["BRAVE_API_KEY"]}
        parameters = {"q": query, "count": str(limit)}
        path, hint = ("web", "results"), "is BRAVE_API_KEY a valid key of its Web Search plan?"
        return _Engine(
            "Brave Search", "BRAVE_API_URL", f"{address}/web/search", parameters, headers, path, "description", hint
        )
    raise SecretMissing(
        "web-search has no engine; set SEARXNG_URL (the address of a SearXNG instance) or BRAVE_API_KEY (a key of "
        "Brave Search) where the worker runs"
    )


def _address(variable: str, url: str) -> str:
    try:
        parts = httpx2.URL(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.host)
    except httpx2.InvalidURL:
        is_web = False
    if not is_web:
        raise SettingsInvalid(f"{variable} begins with {url[:8]!r}; an address with http:// or https:// is expected")
    return url.rstrip("/")


async def _asked(engine: _Engine) -> Any:
    """The engine's JSON.

    Raises:
        SkillFailed: it is busy, down or slow. Retryable; SkillRefused: the same request fails again.
    """
    try:
        async with (
            asyncio.timeout(_SECONDS),
            httpx2.AsyncClient(timeout=_SECONDS) as client,
            client.stream("GET", engine.url, params=engine.parameters, headers=_headers(engine)) as response,
        ):
            _check_status(response, engine)
            body = await _bounded(response, engine)
    except (httpx2.TimeoutException, TimeoutError):
        raise SkillFailed(f"{engine.name} did not answer within {_SECONDS:g} s") from None
    except httpx2.HTTPError as exc:
        what = f"{engine.name} cannot be reached, or broke off ({type(exc).__name__})"
        raise SkillFailed(f"{what}; look at {engine.variable} where the worker runs") from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise SkillRefused(f"{engine.name} answered something else than JSON: {engine.hint}") from None


def _headers(engine: _Engine) -> dict[str, str]:
    return {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "holdfast", **engine.headers}


def _check_status(response: httpx2.Response, engine: _Engine) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 429:
        wait = response.headers.get("Retry-After", "")[:40]
        raise SkillFailed(f"{engine.name} is busy (429){f', and asks to wait {wait} s' if wait.isdecimal() else ''}")
    if status >= 500 or status == 408:
        raise SkillFailed(f"{engine.name} answered {status}, a fault of its own")
    raise SkillRefused(f"{engine.name} answered {status}: {engine.hint}")


async def _bounded(response: httpx2.Response, engine: _Engine) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise SkillRefused(f"{engine.name} answered more than {_MAX_BYTES} bytes; ask for less with limit")
    return body


def _rows(found: Any, engine: _Engine) -> list[Any]:
    """The list of results; Brave leaves `web` out when there are none."""
    for step in engine.path:
        if not isinstance(found, dict):
            raise SkillRefused(f"{engine.name} answered JSON of another kind: {engine.hint}")
        found = found.get(step, {})
    return found if isinstance(found, list) else []


def _result(row: Any, engine: _Engine) -> dict[str, str] | None:
    """None for what leads nowhere: no web address, or one that is too long."""
    url = row.get("url") if isinstance(row, dict) else None
    if not isinstance(url, str) or len(url) > _MAX_URL or not url.startswith(("http://", "https://")):
        return None
    title, snippet = _plain(row.get("title"), _MAX_TITLE), _plain(row.get(engine.snippet), _MAX_SNIPPET)
    url = _encodable(url)
    return {"title": title or url[:_MAX_TITLE], "url": url, "snippet": snippet}


class _Text(HTMLParser):
    """What a reader of the HTML would see."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.said.append(data)


def _plain(html: Any, limit: int) -> str:
    parser = _Text()
    parser.feed(html[:_MAX_HTML] if isinstance(html, str) else "")
    parser.close()
    text = _encodable(" ".join("".join(parser.said).split()))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _encodable(text: str) -> str:
    """JSON may hold halves of characters (`\\ud83d`), which no answer can carry."""
    return text.encode("utf-8", "replace").decode()


def _numbered(results: list[dict[str, str]]) -> str:
    rows = enumerate(results, 1)
    return "\n\n".join(f"[{number}] {row['title']}\n{row['url']}\n{row['snippet']}" for number, row in rows)
