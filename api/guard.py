"""Who may come in: Host, Origin, key, and where the API listens.

This API runs code. So it is guarded even on loopback: a page in the user's own browser can reach it there.
"""

import contextlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers

from api.problems import Unauthorized
from holdfast.config import Settings
from holdfast.contracts.model import TASK_HEADER
from holdfast.errors import Forbidden, SettingsInvalid, shown

Scope = Mapping[str, Any]

KEY_PARAMETER = "api_key"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WITHOUT_KEY = frozenset({"/health", "/health/live", "/health/ready"})


class Guard:
    """Who may come in. `check` raises for who may not."""

    def __init__(self, settings: Settings) -> None:
        refuse_open_door(settings)
        outside = urlsplit(settings.url)
        self._key = settings.api_key
        self._open = settings.open_door
        self._on_loopback = is_loopback(settings.host)
        self._names = _LOOPBACK | {settings.host.lower(), (outside.hostname or "").lower()} - {""}
        self._origins = {f"{outside.scheme}://{outside.netloc}".lower()}

    def check(self, scope: Scope) -> None:
        """
        Raises:
            Forbidden: Host, Origin or key is wrong (403), or the key is missing (401).
        """
        headers = Headers(raw=list(scope["headers"]))
        self._check_listener(scope)
        self._check_host(headers)
        self._check_origin(headers)
        _refuse_ourselves(headers)
        if self._key and scope["path"] not in _WITHOUT_KEY:
            self._check_key(self._key, headers, _in_query(scope))

    def _check_listener(self, scope: Scope) -> None:
        """uvicorn may have been told another host than we were."""
        local = (scope.get("server") or ("", 0))[0]
        if not (self._key or self._open or is_loopback(local)) and _is_address(local):
            raise Forbidden(f"this API listens on {local}, without a key, and it runs code. {_WHAT_TO_SET}")

    def _check_host(self, headers: Headers) -> None:
        host = _hostname(headers.get("host", ""))
        # A rebound DNS name is what this is against, and an address is none.
        if host in self._names or (not self._on_loopback and _is_address(host)):
            return
        raise Forbidden(
            f"Host {shown(headers.get('host'))} is not this API's. Allowed: {', '.join(sorted(self._names))}. "
            "If it is reached by another name, set HOLDFAST_URL to it"
        )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        host = headers.get("host", "")
        allowed = self._origins | {f"http://{host}".lower(), f"https://{host}".lower()}
        if origin.lower() not in allowed:
            raise Forbidden(
                f"a page of {shown(origin)} may not use this API. Allowed: {', '.join(sorted(allowed))}. "
                "If pages come from another address, set HOLDFAST_URL to it"
            )

    def _check_key(self, key: str, headers: Headers, in_query: str) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        sent = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "") or in_query
        if not sent:
            raise Unauthorized("this API needs a key: send it as `X-API-Key: …` or `Authorization: Bearer …`")
        if not hmac.compare_digest(sent.encode("latin-1"), key.encode()):
            raise Forbidden("the key that was sent is not this API's; its value is the setting API_KEY")


def _in_query(scope: Scope) -> str:
    """The key of a WebSocket, where it stands in the address: a page cannot set headers of one."""
    if scope["type"] != "websocket":
        return ""
    found: str = parse_qs(scope["query_string"].decode("latin-1")).get(KEY_PARAMETER, [""])[0]
    # As if it were a header, whose bytes are read as latin-1.
    return found.encode().decode("latin-1")


def _refuse_ourselves(headers: Headers) -> None:
    """What our providers send carries this header: an agent whose model is this very API would ask itself for ever."""
    if TASK_HEADER in headers:
        raise Forbidden(
            f"the request carries {TASK_HEADER}: holdfast itself sent it, as to a model. Set LLM_BASE_URL, or the "
            "agent's api_base, to the model's server"
        )


_WHAT_TO_SET = (
    "Set API_KEY (or API_KEY_FILE) to a secret of your own, or HOLDFAST_HOST to 127.0.0.1, "
    "or HOLDFAST_OPEN=1 if whoever can reach it may run code here"
)


def refuse_open_door(settings: Settings) -> None:
    """
    Raises:
        SettingsInvalid: it would listen off loopback without a key.
    """
    if not (settings.api_key or settings.open_door or is_loopback(settings.host)):
        raise SettingsInvalid(
            f"the API would listen on {settings.host!r}, off this machine's loopback, without a key, and it runs code. "
            f"{_WHAT_TO_SET}"
        )


def is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host.lower() == "localhost"


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


def _hostname(host: str) -> str:
    """The name in a Host header, lower case, without port, brackets and a trailing dot."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+))(?::\d{1,5})?", host)
    return (match[1] or match[2]).lower().removesuffix(".") if match else ""
