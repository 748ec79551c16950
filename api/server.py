"""The API as a process: takes its port, serves, and goes away quietly."""

import asyncio
import errno
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI

from api.feed import Streams
from api.guard import refuse_open_door
from api.house import opened
from api.main import create_app
from api.unbegun import watching
from holdfast import log
from holdfast.config import Settings
from holdfast.errors import OperatorError, SettingsInvalid

CANNOT_START = 3
_DRAIN_SECONDS = 2
_KEPT_SECONDS = 75
"""Longer than clients keep an idle connection (httpx: 5 s): else both let go at once, and a request is lost."""
_MAX_SAID_BYTES = 64 << 10
"""By one message of a WebSocket's client: all that it has to say is `ping`."""


class PortTaken(OperatorError):
    """Another process listens where the API would."""

    code = "PORT_TAKEN"
    retryable = False


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish open requests (2 s at most) and return.

    Raises:
        PortTaken: the port is in use, or may not be used by this user.
        SettingsInvalid: the API would be open to the network without a key.
        StoreUnavailable: the database cannot be opened.
    """
    # uvicorn raises the signal once more when it is done; by then it has no meaning left.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    asyncio.run(serving(settings))


async def serving(settings: Settings) -> None:
    """The same inside of a running event loop; the caller owns the signals."""
    refuse_open_door(settings)
    with listen(settings) as listener:
        async with opened(settings) as house, watching(house):
            await _Server(create_app(settings, house)).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends open streams before it waits for its clients, who wait for events."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws_max_size=_MAX_SAID_BYTES,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
                timeout_keep_alive=_KEPT_SECONDS,
            )
        )
        self._streams: Streams = app.state.streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams.close()
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """A listening socket at the configured address.

    Raises:
        PortTaken: it cannot be had.
        SettingsInvalid: the host is no address of this machine.
    """
    host, port = settings.host, settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as exc:
        raise SettingsInvalid(f"HOLDFAST_HOST is {host!r}, which is no address: {exc.strerror}") from exc
    except OSError as exc:
        raise _not_ours(exc, host, port) from exc
    # asyncio sets this on sockets of its own only. Without, an answer waits 40 ms for the caller's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _not_ours(exc: OSError, host: str, port: int) -> OperatorError:
    if exc.errno == errno.EADDRINUSE:
        return PortTaken(
            f"port {port} on {host} is taken by another process; set HOLDFAST_PORT to a free one, or stop it"
        )
    if exc.errno == errno.EACCES:
        return PortTaken(f"this user may not listen on port {port}; set HOLDFAST_PORT to one above 1023")
    return SettingsInvalid(f"cannot listen on {host!r}, port {port} (HOLDFAST_HOST, HOLDFAST_PORT): {exc.strerror}")


def main() -> int:
    """`python -m api.server`: exit code 0 after a signal, 3 if it cannot start."""
    try:
        settings = Settings.load()
        log.configure("api", settings.log_level, settings.log_format)
        serve(settings)
    except OperatorError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
