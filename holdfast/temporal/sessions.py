"""Sending a message to a session, which is begun, or woken, by it."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from holdfast.contracts.program import QUEUE_AGENTS, TASK_TIMEOUT
from holdfast.contracts.session import (
    SESSION_WORKFLOW,
    SIGNAL_SEND,
    UPDATE_SEND,
    Message,
    Sent,
    SessionRef,
    SessionSettings,
    SessionSpec,
)
from holdfast.log import get_logger
from holdfast.temporal import attributes

log = get_logger(__name__)

PATIENCE_SECONDS = 3.0
"""So long a worker has to take a message. Then it is left at the server, and the session has it as soon as one is."""
_FIRST_WAIT, _LONGEST_WAIT = 0.02, 0.5
_LOST = ("UnprocessedUpdate", "AcceptedUpdateCompletedWorkflow")
"""What the server says of an update that the workflow did not look at, or that was overtaken by its end."""
_ENDING = (RPCStatusCode.NOT_FOUND, RPCStatusCode.ABORTED, RPCStatusCode.FAILED_PRECONDITION)


async def send(
    client: Client,
    ref: SessionRef,
    settings: SessionSettings,
    message: Message,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Sent:
    """Make a message the next turn of a session, once. One that does not run is begun, or woken with what it knew;
    `settings` hold for a new one only. Sending the same task again changes nothing.

    Raises:
        WorkflowUpdateFailedError: the session refused it (its cause is an ApplicationError: it is closed, or too many
            messages wait).
        RPCError: the server did not take it, or cannot be reached.
    """
    deadline, wait = time.monotonic() + patience_seconds, _FIRST_WAIT
    while (left := deadline - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                return await _update(client, ref, settings, message, timedelta(seconds=left))
        except (RPCTimeoutOrCancelledError, TimeoutError):
            # The SDK tells a cancellation of ours as its own timeout.
            if _is_cancelled():
                raise asyncio.CancelledError from None
            break
        except WorkflowUpdateFailedError as exc:
            if not (isinstance(exc.cause, ApplicationError) and exc.cause.type in _LOST):
                raise
        except RPCError as exc:
            if exc.status == RPCStatusCode.DEADLINE_EXCEEDED:
                break
            if exc.status not in _ENDING:
                raise
        # It hibernates, or continues as new, at this moment.
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
    await _signal(client, ref, settings, message)
    log.info("session.message_left", session_id=ref.session_id, task_id=message.begin.task.task_id)
    return Sent()


async def _update(
    client: Client, ref: SessionRef, settings: SessionSettings, message: Message, limit: timedelta
) -> Sent:
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        SESSION_WORKFLOW,
        SessionSpec(session=ref, settings=settings),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        **_options(ref),
    )
    sent: Sent = await client.execute_update_with_start_workflow(
        UPDATE_SEND,
        message,
        start_workflow_operation=start,
        id=message.begin.task.task_id,
        result_type=Sent,
        rpc_timeout=limit,
    )
    return sent


async def _signal(client: Client, ref: SessionRef, settings: SessionSettings, message: Message) -> None:
    await client.start_workflow(
        SESSION_WORKFLOW,
        SessionSpec(session=ref, settings=settings),
        start_signal=SIGNAL_SEND,
        start_signal_args=[message],
        **_options(ref),
    )


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _options(ref: SessionRef) -> dict[str, Any]:
    return {
        "id": ref.workflow_id,
        "task_queue": QUEUE_AGENTS,
        "task_timeout": TASK_TIMEOUT,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "memo": {"trace_id": ref.trace_id},
        "search_attributes": attributes.pairs(
            tenant=ref.tenant, task_type="session", session_id=ref.session_id, trace_id=ref.trace_id
        ),
        "static_summary": f"session {ref.session_id}"[:200],
    }
