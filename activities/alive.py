"""Being seen alive, and leaving in good order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from temporalio import activity
from temporalio.exceptions import ApplicationError

from holdfast.contracts.skill import WORKER_STOPPING

BEAT_SECONDS = 0.5


@contextlib.asynccontextmanager
async def beating(beat: Callable[[], None] = activity.heartbeat) -> AsyncIterator[None]:
    """Heartbeats while the work inside lasts. The first comes after half a second: a short call costs none."""

    async def again() -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            beat()

    task = asyncio.create_task(again())
    try:
        yield
    except asyncio.CancelledError:
        if activity.is_worker_shutdown():
            raise ApplicationError("the worker is shutting down", type=WORKER_STOPPING) from None
        raise
    finally:
        task.cancel()


@contextlib.asynccontextmanager
async def leaving_at_shutdown() -> AsyncIterator[None]:
    """Cancel the work inside as soon as the worker is told to stop: another attempt elsewhere costs milliseconds."""
    me = asyncio.current_task()
    assert me is not None

    async def watch(cancel: Callable[[], bool]) -> None:
        await activity.wait_for_worker_shutdown()
        cancel()

    task = asyncio.create_task(watch(me.cancel))
    try:
        yield
    finally:
        task.cancel()
