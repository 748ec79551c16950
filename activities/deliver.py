"""One signed POST to an address of the user's: Standard Webhooks, no redirects, bounded in time and size."""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpx2

from holdfast.contracts.base import Json
from holdfast.envelopes import STRUCTURED
from holdfast.errors import HoldfastError, OperatorError
from holdfast.webhooks import checked_url, public_address

TIMEOUT_SECONDS = 20.0
_PREFIX = "whsec_"
_LATER = frozenset({408, 425, 429})
"""Of the 4xx: those that say that the same may work later."""


class Refused(HoldfastError):
    """The other side will not take it, or may not be asked: trying again would not help."""


class NotTaken(OperatorError):
    """It may work later."""


@dataclass(frozen=True)
class Delivery:
    """`id` is the same at every attempt, so that the receiver can tell a repetition. `secret`: `whsec_` and base64, as
    Standard Webhooks has it, or any text, whose bytes are the key; empty: not signed."""

    url: str
    id: str
    body: Mapping[str, Json]
    secret: str = ""
    may_be_private: bool = True


async def deliver(what: Delivery) -> int:
    """The status of the answer, a 2xx.

    Raises:
        Refused: a 3xx or a 4xx, or the address is not allowed.
        NotTaken: no answer, a 5xx, or a 4xx that says: later.
    """
    try:
        checked_url(what.url)
    except ValueError as exc:
        raise Refused(f"{what.url}: {exc}") from None
    body = json.dumps(what.body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"content-type": STRUCTURED, "user-agent": "holdfast", **signature(what, body, int(time.time()))}
    try:
        status = await _status(what, body, headers)
    except (httpx2.TransportError, OSError) as exc:
        raise NotTaken(f"{what.url} gave no answer: {type(exc).__name__} {str(exc)[:200]}".strip()) from exc
    except (httpx2.InvalidURL, UnicodeError) as exc:
        raise Refused(f"{what.url} is no address: {str(exc)[:200]}") from exc
    if 200 <= status < 300:
        return status
    if status >= 500 or status in _LATER:
        raise NotTaken(f"{what.url} answered {status}")
    told = "redirects are not followed: set the address that it leads to" if 300 <= status < 400 else "not repeated"
    raise Refused(f"{what.url} answered {status}; {told}")


def signature(what: Delivery, body: bytes, at: int) -> dict[str, str]:
    """Headers of Standard Webhooks; without a secret no signature among them."""
    headers = {"webhook-id": what.id.encode("ascii", "backslashreplace").decode(), "webhook-timestamp": str(at)}
    if not what.secret:
        return headers
    signed = f"{headers['webhook-id']}.{at}.".encode() + body
    digest = hmac.new(key_of(what.secret), signed, hashlib.sha256).digest()
    return {**headers, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}


def key_of(secret: str) -> bytes:
    """
    Raises:
        Refused: it begins as one of Standard Webhooks, and goes on as none.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        raise Refused(f"the secret begins with {_PREFIX!r}, and what follows is no base64") from None


async def _status(what: Delivery, body: bytes, headers: dict[str, str]) -> int:
    """Only the head of the answer is read: what a stranger's server sends has no bound."""
    url, extensions = httpx2.URL(what.url), {}
    if not what.may_be_private:
        # Connect to the address that was looked at: a name may lead elsewhere the next moment.
        headers["host"] = url.netloc.decode("ascii")
        extensions = {"sni_hostname": url.host}
        url = url.copy_with(host=await _public(url))
    async with (
        asyncio.timeout(TIMEOUT_SECONDS + 5),
        httpx2.AsyncClient(verify=_tls(), timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
        client.stream("POST", url, content=body, headers=headers, extensions=extensions) as answer,
    ):
        return answer.status_code


async def _public(url: httpx2.URL) -> str:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        return await asyncio.to_thread(public_address, url.host, port)
    except ValueError as exc:
        raise Refused(f"{url}: {exc}; HOLDFAST_WEBHOOKS_PRIVATE=false forbids it") from None


@cache
def _tls() -> ssl.SSLContext:
    """Made once: it reads all the certificates of the machine."""
    return ssl.create_default_context()
