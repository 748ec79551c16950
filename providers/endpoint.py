"""Where a provider is reached, and with which key: from its row, the environment given, and an agent's settings."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit, urlunsplit

from holdfast.contracts.model import ModelSettings
from holdfast.errors import ModelRefused, NoModel
from providers.rows import COMPATIBLE, Row

_ANY = "0.0.0.0"  # noqa: S104  # looked for, never bound
_PORTS = {"http": 80, "https": 443}
_VENDORS_OWN = ("sk-ant-", "sk-proj-", "sk-svcacct-", "sk-or-")
"""How the keys of Anthropic, OpenAI and OpenRouter start: they go to their own servers only."""
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class Aws:
    """Credentials of AWS, for rows of the wire `bedrock`. A bearer token stands in `Endpoint.key` instead."""

    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    region: str = ""


Identity = tuple[str, str, str, Aws]


@dataclass(frozen=True)
class Endpoint:
    """`variable` names the variable that the key came from, or those that it may stand in."""

    provider: str
    row: Row
    base_url: str
    key: str = field(default="", repr=False)
    variable: str = ""
    aws: Aws = Aws()

    @property
    def identity(self) -> Identity:
        """Requests with the same one share a client."""
        return self.provider, self.base_url, self.key, self.aws

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may stand in no message. An access key's id is public."""
        password = urlsplit(self.base_url).password or ""
        found = (self.key, self.aws.secret_key, self.aws.session_token, password)
        return tuple(secret for secret in found if secret)


def endpoint(
    provider: str, row: Row, settings: ModelSettings, environ: Mapping[str, str], *, is_default: bool
) -> Endpoint:
    """Where `settings` lead. `is_default`: LLM_BASE_URL then speaks of this row, if it has no variable of its own.

    Raises:
        NoModel: no key, no base URL or no region; names the variables.
        ModelRefused: the base URL is no URL.
    """
    region = settings.region or _first(environ, ["AWS_REGION", "AWS_DEFAULT_REGION"])
    base_url = _base_url(provider, row, settings, environ, is_default)
    if row.wire == "bedrock":
        return _bedrock(provider, row, base_url, region, environ)
    variable = next((name for name in row.keys if environ.get(name) and _may_go(provider, environ[name])), "")
    if not variable and row.key_needed:
        raise NoModel(f"provider {provider!r} needs a key: set {' or '.join(row.keys)}", variables=row.keys)
    return Endpoint(provider, row, base_url, environ.get(variable, ""), variable or " or ".join(row.keys))


def has_key(row: Row, environ: Mapping[str, str]) -> bool:
    """Whether the environment holds a key of the row's; of AWS, both halves."""
    return any(environ.get(name) for name in row.keys) or (
        row.wire == "bedrock" and all(environ.get(name) for name in _AWS)
    )


def base_of(row: Row, environ: Mapping[str, str]) -> str:
    """The base URL that the row's own variables name, or nothing."""
    return "" if row.yields_to and environ.get(row.yields_to) else _first(environ, row.base_env)


def model_of(row: Row, environ: Mapping[str, str]) -> str:
    """The row's default model, or nothing."""
    named = "" if row.yields_to and environ.get(row.yields_to) else environ.get(row.model_env, "")
    return named or row.model


def is_own(base_url: str, own_url: str | None) -> bool:
    """Whether a base URL is the address that holdfast's own API listens at. All names of loopback are one."""
    return bool(own_url) and _address(base_url) == _address(own_url or "")


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _base_url(provider: str, row: Row, settings: ModelSettings, environ: Mapping[str, str], is_default: bool) -> str:
    general = environ.get("LLM_BASE_URL", "") if is_default and not row.base_env else ""
    found = settings.api_base or settings.host or base_of(row, environ) or general or row.base_url
    if not found and row.wire != "offline":
        raise NoModel(
            f"provider {provider!r} needs a base URL: set {' or '.join(row.base_env)}, or the agent's api_base"
        )
    return _normal(found, row) if found else ""


def _normal(text: str, row: Row) -> str:
    """Without the slash at the end; with `/v1` where the OpenAI format has no path; `host:port` is http.

    Ollama's own variable may hold the address that it binds to: 0.0.0.0 is reached at 127.0.0.1.
    """
    url = text.strip()
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _PORTS or not parts.hostname or not _has_good_port(parts):
        raise ModelRefused(f"base URL {without_password(url)!r} is no http or https URL")
    if parts.hostname == _ANY:
        parts = parts._replace(netloc=parts.netloc.replace(_ANY, "127.0.0.1"))
    path = parts.path.rstrip("/")
    if row.wire == "openai" and not path:
        path = "/v1"
    if row.wire == "anthropic":
        path = path.removesuffix("/v1")
    return urlunsplit(parts._replace(path=path))


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _bedrock(provider: str, row: Row, base_url: str, region: str, environ: Mapping[str, str]) -> Endpoint:
    if not region:
        raise NoModel(f"provider {provider!r} needs a region: set AWS_REGION, or the agent's region")
    base_url = base_url.replace("{region}", region)
    if token := _first(environ, row.keys):
        return Endpoint(provider, row, base_url, token, " or ".join(row.keys), Aws(region=region))
    missing = [name for name in _AWS if not environ.get(name)]
    if missing:
        raise NoModel(f"provider {provider!r} needs a key: set {' and '.join(missing)}", variables=missing)
    access_key, secret_key = (environ[name] for name in _AWS)
    aws = Aws(access_key, secret_key, environ.get("AWS_SESSION_TOKEN", ""), region)
    return Endpoint(provider, row, base_url, "", " and ".join(_AWS), aws)


def _may_go(provider: str, key: str) -> bool:
    return provider != COMPATIBLE or not key.startswith(_VENDORS_OWN)


def _first(environ: Mapping[str, str], names: list[str]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _address(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    host = (parts.hostname or "").lower()
    return "loopback" if _is_loopback(host) else host, parts.port or _PORTS.get(parts.scheme)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
