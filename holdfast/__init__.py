"""The floor of holdfast: what every room shares. It imports none of the rooms.

`Client`, `AsyncClient` and `run_agent` are for those who use holdfast from Python; they are loaded when they are named.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.client import AsyncClient as AsyncClient
    from holdfast.client import Client as Client
    from holdfast.client import run_agent as run_agent

__version__ = "0.0.1"

_CLIENT = ("AsyncClient", "Client", "run_agent")


def __getattr__(name: str) -> object:
    if name not in _CLIENT:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    from holdfast import client

    return getattr(client, name)
