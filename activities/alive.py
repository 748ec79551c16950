"""Being seen alive, and leaving in good order."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from temporalio import activity
from temporalio.api.workflowservice.v1 import RecordActivityTaskHeartbeatRequest
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from holdfast.contracts.skill import WORKER_STOPPING

BEAT_SECONDS = 0.5
PUNCTUAL_SECONDS = 1.0
"""Below every heartbeat timeout: an attempt that comes to work so soon after the server gave it is still wanted."""


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


async def refuse_overtaken(*details: object) -> None:
    """Before something is begun: is this attempt still wanted? Only one that comes late is asked about.

    The server may give an attempt to a worker that is paused, and another worker's attempt may be over when that one
    wakes: what is begun then would be begun after its completion. `details` are those of the activity's heartbeats.

    Raises:
        ApplicationError: `Overtaken`. The server hears it no more than it would have heard the answer.
    """
    info = activity.info()
    if not info.is_local and not 0 <= time.time() - info.started_time.timestamp() < PUNCTUAL_SECONDS:
        await refuse_unwanted(*details)


async def refuse_unwanted(*details: object) -> None:
    """The same, asked in any case. While the server is down, it waits.

    Raises:
        ApplicationError: `Overtaken`.
    """
    info, client = activity.info(), activity.client()
    if info.is_local:
        return
    request = RecordActivityTaskHeartbeatRequest(namespace=client.namespace, task_token=info.task_token)
    request.details.payloads.extend(await client.data_converter.encode(details))
    while True:
        try:
            await client.workflow_service.record_activity_task_heartbeat(request)
        except RPCError as exc:
            if exc.status == RPCStatusCode.NOT_FOUND:
                raise ApplicationError("a later attempt took over", type="Overtaken", non_retryable=True) from exc
            await asyncio.sleep(BEAT_SECONDS)
        else:
            return
