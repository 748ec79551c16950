"""What goes wrong between us and a model, as the errors of `holdfast/errors.py`; one mapping for every wire format.

Whoever raises one of these over an error of an SDK does it `from None`: the SDK's text may repeat the key.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from holdfast.errors import ModelBusy, ModelFailed, ModelRefused, ModelUnavailable, OperatorError
from providers.endpoint import Endpoint, without_password

_BUSY = (429, 529)
_FAILED = (408, 409, 425)
"""Of the 4xx, those that are no judgement of the request."""
_NO_QUOTA = ("insufficient_quota", "1113")
"""Codes of OpenAI and Zhipu for 429s that no waiting mends: the account is empty."""
_BUSY_WORDS = ("overloaded", "rate_limit", "ratelimit", "throttling")
_TOO_LONG = re.compile(r"context.(length|window|size)|prompt is too long|too many (input )?tokens", re.IGNORECASE)
_SHOWN = 500


@dataclass(frozen=True)
class Asked:
    """Who was asked: what every message says."""

    endpoint: Endpoint
    model: str

    @property
    def name(self) -> str:
        return f"{self.endpoint.provider}:{self.model}"

    def status(self, status: int, headers: Mapping[str, str], body: object) -> OperatorError:
        """The error for an answer that is no 2xx."""
        said = self._hidden(said_in(body))
        if status in _BUSY and not any(code in _NO_QUOTA for code in _codes(body)):
            return ModelBusy(f"{self.name} is busy ({status}): {said}", retry_after(headers), http_status=status)
        if status in _FAILED or (status >= 500 and status not in _BUSY):
            return ModelFailed(f"{self.name} failed ({status}): {said}", http_status=status)
        return self._refused(status, said)

    def streamed(self, body: object) -> OperatorError:
        """The error for one that was reported within a stream."""
        said = self._hidden(said_in(body))
        if any(word in code.lower() for code in _codes(body) for word in _BUSY_WORDS):
            return ModelBusy(f"{self.name} became busy while it replied: {said}")
        return self.failed(f"it broke off its reply: {said}")

    def failed(self, why: str) -> ModelFailed:
        return ModelFailed(f"{self.name} failed: {self._hidden(why)}")

    def unreachable(self, why: str) -> ModelUnavailable:
        where = without_password(self.endpoint.base_url)
        return ModelUnavailable(f"{self.name} cannot be reached at {where}: {self._hidden(why)}")

    def refused(self, why: str) -> ModelRefused:
        return ModelRefused(f"{self.name}: {self._hidden(why)}")

    def silent(self, timeout_s: float) -> ModelFailed:
        return self.failed(f"no word for {timeout_s:g} s (limit set by timeout_seconds of its settings)")

    def empty(self, max_tokens: int | None, *, at_limit: bool) -> ModelFailed:
        if at_limit:
            return self.failed(
                f"it used up max_tokens ({max_tokens or 'its default'}) before its first word; allow more"
            )
        return self.failed("its reply is empty")

    def _refused(self, status: int, said: str) -> ModelRefused:
        match status:
            case 401 | 403:
                key = self.endpoint.variable or "its settings"
                why = f"refused the key of {key} ({status}): {said}. Set a valid one in {key}"
            case 404:
                where = without_password(self.endpoint.base_url)
                why = (
                    f"has no such model or address ({status}): {said}. Asked at {where}; check `model` and the base URL"
                )
            case 402 | 429:
                why = f"has no credit left ({status}): {said}. Waiting does not help; see to the account"
            case _ if _TOO_LONG.search(said):
                why = (
                    f"found the prompt too long ({status}): {said}. Set llm_config.context_tokens to the window that "
                    "it really has: what is sent is made to fit into that"
                )
            case _:
                why = f"refused the request ({status}): {said}. Not tried again: the same request fails again"
        return ModelRefused(f"{self.name} {why}", http_status=status)

    def _hidden(self, text: str) -> str:
        for secret in self.endpoint.secrets:
            text = text.replace(secret, "…")
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait, by `retry-after-ms` or `retry-after` (number or HTTP date). The past is 0, nonsense None."""
    lower = {name.lower(): value for name, value in headers.items()}
    milliseconds = _number(lower.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    text = lower.get("retry-after", "")
    seconds = _number(text)
    if seconds is None:
        seconds = _until(text, time.time() if now is None else now)
    return None if seconds is None else max(0.0, seconds)


def said_in(body: object) -> str:
    """The provider's own words, from the shapes that error bodies have; never empty."""
    found: Any = body
    for key in ("error", "message", "Message", "detail"):
        if isinstance(found, Mapping) and found.get(key):
            found = found[key]
    return str(found or "").strip() or "it said nothing"


def _codes(body: object) -> list[str]:
    """All that may say which error it is: types and codes, of the body and of the error in it."""
    levels: list[Any] = [body]
    levels += [body.get("error")] if isinstance(body, Mapping) else []
    maps = [level for level in levels if isinstance(level, Mapping)]
    return [str(level[key]) for level in maps for key in ("type", "code", "Code") if level.get(key)]


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _until(text: str, now: float) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
