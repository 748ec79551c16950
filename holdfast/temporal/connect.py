"""The one way to a Temporal server, for API, worker and CLI alike."""

import asyncio
import functools
import logging
import os
import re
import socket

from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter, ToJsonOptions
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.envconfig import ClientConfigProfile, ClientConnectConfig
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError

from holdfast.config import Settings
from holdfast.errors import NoTemporal, SettingsInvalid

CONNECT_SECONDS = 5.0


class PayloadConverter(PydanticPayloadConverter):
    """Pydantic models without the fields nobody set: histories stay small.

    What follows from it: a contract's default is part of the history format (an old history is read with today's
    default), and a list that is a default must be replaced, not appended to, or it is not sent.
    """

    def __init__(self) -> None:
        super().__init__(ToJsonOptions(exclude_unset=True))


def converter(codec: PayloadCodec | None = None) -> DataConverter:
    """How payloads become bytes; the same for client, worker and replayer. `codec` may encrypt them."""
    return DataConverter(payload_converter_class=PayloadConverter, payload_codec=codec)


async def connect(settings: Settings, *, lazy: bool = False, codec: PayloadCodec | None = None) -> Client:
    """A client of the configured server. A lazy one asks the server nothing until its first use.

    Raises:
        NoTemporal: nothing that speaks Temporal answered within 5 s.
    """
    config = connection(settings)
    identity = f"holdfast@{socket.gethostname()}:{os.getpid()}"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await Client.connect(
                **config, data_converter=converter(codec), identity=identity, lazy=lazy, runtime=_runtime()
            )
    except TimeoutError:
        raise NoTemporal(_no_answer(config, f"no answer in {CONNECT_SECONDS:.0f} s")) from None
    except (RuntimeError, RPCError, ValueError) as exc:
        raise NoTemporal(_no_answer(config, _cause(str(exc)))) from exc


@functools.cache
def _runtime() -> Runtime:
    """The SDK's core, whose log would else be coloured text on stdout, beside our JSON lines (R-29)."""
    forwarded = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    filtered = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=filtered, forwarding=forwarded)))


def connection(settings: Settings) -> ClientConnectConfig:
    """Address, namespace, TLS, key: Temporal's own profile (TEMPORAL_* variables, temporal.toml), under our settings.

    A profile made for another address than the one that was set here lends nothing: its key must not go there.
    """
    profile = _profile()
    chosen = settings.model_fields_set
    if profile.address and "temporal_address" in chosen and profile.address != settings.temporal_address:
        profile = ClientConfigProfile()
    config = profile.to_client_connect_config()
    if "temporal_address" in chosen or "target_host" not in config:
        config["target_host"] = settings.temporal_address
    if "temporal_namespace" in chosen or "namespace" not in config:
        config["namespace"] = settings.temporal_namespace
    return config


def _profile() -> ClientConfigProfile:
    try:
        return ClientConfigProfile.load()
    except RuntimeError as exc:
        raise SettingsInvalid(f"Temporal's own configuration (TEMPORAL_* variables, temporal.toml): {exc}") from exc


def _cause(said: str) -> str:
    """The one part of a Rust error that a person can read."""
    inner = re.search(r'(?:message|error): "([^"]+)"', said)
    return inner[1] if inner else said[:200]


def _no_answer(config: ClientConnectConfig, reason: str) -> str:
    return (
        f"no Temporal server answers at {config['target_host']!r} (namespace {config['namespace']!r}): {reason}. "
        "Start one with `holdfast up`, or name one that runs in TEMPORAL_ADDRESS (or temporal_address in holdfast.yaml)"
    )
