"""How a workflow ends although it is cancelled meanwhile, and how what happens at once is put in order."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import workflow

Ended = TypeVar("Ended")


async def through(close: Coroutine[Any, Any, Ended]) -> Ended:
    """END is not cancelled: what is written down as the end is the end."""
    closing = asyncio.create_task(close)
    while not closing.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(closing)
    return closing.result()


def is_cancelled() -> bool:
    """Whether what runs here was cancelled: an activity or a child may fail, or be lost, before it hears of that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def settled() -> None:
    """Until all that waits for what has happened has gone on.

    A timer may fire beside the end of a call. The SDK tells a worker the two one after the other, and a replay both at
    once: what the timer begins must come behind what the call's end lets go on, in either case.
    """
    await workflow.wait_condition(lambda: True)
