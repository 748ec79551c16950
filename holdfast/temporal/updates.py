"""What the server does to updates by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

Reply = TypeVar("Reply")

_FIRST_WAIT, _LONGEST_WAIT = 0.02, 1.0


async def processed(send: Callable[[], Awaitable[Reply]]) -> Reply:
    """What an update replies. The server, not the workflow, may give it up: a worker that lost its cache answered
    without looking at it. Then it is sent again; `send` sends the same update, with the same id, each time.

    Raises:
        WorkflowUpdateFailedError: the workflow refused it.
    """
    wait = _FIRST_WAIT
    while True:
        try:
            return await send()
        except WorkflowUpdateFailedError as exc:
            if not _is_unprocessed(exc):
                raise
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)


def _is_unprocessed(exc: WorkflowUpdateFailedError) -> bool:
    return isinstance(exc.cause, ApplicationError) and exc.cause.type == "UnprocessedUpdate"
