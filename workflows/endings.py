"""How a workflow ends although it is cancelled meanwhile."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

Ended = TypeVar("Ended")


async def through(close: Coroutine[Any, Any, Ended]) -> Ended:
    """END is not cancelled: what is written down as the end is the end."""
    closing = asyncio.create_task(close)
    while not closing.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(closing)
    return closing.result()
