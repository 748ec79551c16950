"""The floor of holdfast: what every room shares. It imports none of the rooms.

`Client`, `AsyncClient` and `run_agent` are for those who use holdfast from Python, `Agent`, `Tool`, `BaseTool` and
`register` for those who write agents and tools in it; they are loaded when they are named.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.client import AsyncClient as AsyncClient
    from holdfast.client import Client as Client
    from holdfast.client import run_agent as run_agent
    from holdfast.sdk import Agent as Agent
    from holdfast.sdk import BaseTool as BaseTool
    from holdfast.sdk import Tool as Tool
    from holdfast.sdk import ToolError as ToolError
    from holdfast.sdk import register as register

__version__ = "0.0.1"

_CLIENT = ("AsyncClient", "Client", "run_agent")
_SDK = ("Agent", "BaseTool", "Tool", "ToolError", "register")


def __getattr__(name: str) -> object:
    if name in _CLIENT:
        from holdfast import client

        return getattr(client, name)
    if name in _SDK:
        from holdfast import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
