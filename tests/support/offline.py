"""No test leaves this machine: a connection from the test process to anything but loopback is an error (L-52)."""

import ipaddress
import sys
from typing import Any


class LeftTheMachine(RuntimeError):
    """A test tried to reach an address that is not loopback."""


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise LeftTheMachine(f"{event} to {address}: tests may use 127.0.0.1 and ::1 only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


sys.addaudithook(_guard)
