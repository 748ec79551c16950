"""`webhooks.yaml` of a project: who is posted which events."""

import ipaddress
import socket
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from holdfast.contracts.event import Sink
from holdfast.errors import SpecInvalid
from holdfast.filedraft import Draft
from holdfast.filekeys import Keys, Pattern, Shape
from holdfast.places import Problem
from holdfast.sources import Sources
from holdfast.yamlfile import read_mapping

FILES = ("webhooks.yaml", "config/webhooks.yaml")
MAX_WEBHOOKS = 200


def checked_url(text: str) -> str:
    """The address, if it is one of HTTP.

    Raises:
        ValueError: says what is allowed.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or (parts.port or 1) < 1:
        raise ValueError("allowed is http://… or https://… with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("allowed is an address without a user or a password; the signature says who sends")
    return text


Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s]+$"), AfterValidator(checked_url)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class WebhookKeys(Keys):
    """One address. `secret` names the environment variable that holds the key of its signatures."""

    url: Url
    topics: list[Pattern] = Field(min_length=1, max_length=100)
    secret: Variable | None = None


class WebhooksKeys(Keys):
    """`webhooks.yaml`. See docs/events.md."""

    webhooks: list[WebhookKeys] = Field(default=[], max_length=MAX_WEBHOOKS)


SHAPE = Shape(WebhooksKeys, {"webhooks": WebhookKeys}, {})


def read_webhooks(text: str, file: str) -> list[WebhookKeys]:
    """
    Raises:
        SpecInvalid: names the file, the line and the key, what was found and what is allowed.
    """
    return Draft(read_mapping(text, file), SHAPE).keys().webhooks


def webhooks_of(project: Path, sources: Sources, problems: list[Problem]) -> list[WebhookKeys]:
    """The webhooks of a project. A file with an error counts as none, and is told."""
    found: list[WebhookKeys] = []
    for name in FILES:
        try:
            text = sources.text_if_there(project / name, project, name)
            found += read_webhooks(text, name) if text else []
        except SpecInvalid as exc:
            problems.append(Problem.of(exc, name))
    return found


def sink(webhook: WebhookKeys) -> Sink:
    return Sink(url=webhook.url, secret=webhook.secret or "")


def public_address(host: str, port: int) -> str:
    """An address of a host that is reachable by everybody, the one to connect to. It blocks while names are looked up.

    Raises:
        ValueError: one of its addresses is private, of this machine, or otherwise not public.
        OSError: it has none now.
    """
    found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        there = ipaddress.ip_address(address.partition("%")[0])
        if not there.is_global or there.is_multicast:
            raise ValueError(f"{host} is {address}, which is no public address")
    return found[0]
