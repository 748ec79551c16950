"""Conversations: what a request in one means, how its task gets there, and how a session stands."""

import asyncio
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError, WorkflowUpdateFailedError
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.house import House
from api.temporal import answering, refusal
from holdfast.contracts.begin import Begin
from holdfast.contracts.session import (
    QUERY_SESSION,
    QUEUE_FULL,
    SIGNAL_DROP,
    Dropped,
    Sent,
    SessionRef,
    SessionSettings,
    SessionView,
)
from holdfast.contracts.task import TaskRequest
from holdfast.conversing import agent_of, message_of, settings_of
from holdfast.errors import Conflict, NoTemporal, TooManyTasks
from holdfast.temporal.sessions import send
from store.records import TaskRow
from store.sessions import Sessions

_SEND_SECONDS = 8.0
_QUERY_SECONDS = 2.0
_PAUSE_SECONDS = 5
_TRUST_SECONDS = 0.2


def rows_of(house: House) -> Sessions:
    return Sessions(house.records.db)


async def filled(house: House, request: TaskRequest, tenant: str) -> TaskRequest:
    """A request with what its session says for all turns: the agent of those that name none, and the model.

    Raises:
        Conflict: the session is closed.
    """
    if request.session_id is None:
        return request
    row = await rows_of(house).find(tenant, request.session_id)
    if row is None:
        return request
    if row.state == "closed":
        raise closed(row.id)
    settings = SessionSettings.model_validate(row.settings or {})
    change: dict[str, Any] = {}
    if request.type == "agent" and settings.agent:
        change["type"] = f"agent:{settings.agent}"
    if request.model is None and settings.model is not None:
        change["model"] = settings.model
    return request.model_copy(update=change)


def closed(session_id: str) -> Conflict:
    return Conflict(f"session {session_id!r} is closed; begin another one: messages to a new id do that")


async def handed(house: House, client: Client, begin: Begin, row: TaskRow) -> Sent:
    """The task, handed to its session as the next turn.

    Raises:
        Conflict: the session is closed.
        TooManyTasks: too many turns wait in it.
        NoTemporal: whether the session has it is not known.
    """
    assert row.session_id is not None
    ref = SessionRef(tenant=row.tenant, session_id=row.session_id, trace_id=row.trace_id)
    settings = settings_of(house.settings, await asyncio.to_thread(agent_of, begin, house.library, _TRUST_SECONDS))
    if settings.mode == "chat":
        # Not even the agent of the first message takes those that name none: the same message again must mean the same.
        settings = settings.model_copy(update={"agent": ""})
    try:
        async with answering(_SEND_SECONDS):
            return await send(client, ref, settings, message_of(begin))
    except WorkflowUpdateFailedError as exc:
        raise _refused(exc) from exc


def _refused(exc: WorkflowUpdateFailedError) -> Exception:
    if isinstance(exc.cause, ApplicationError) and exc.cause.type == QUEUE_FULL:
        return TooManyTasks(exc.cause.message, _PAUSE_SECONDS)
    return refusal(exc.cause) or exc


# how it stands


async def viewed(house: House, tenant: str, session_id: str) -> SessionView | None:
    """What the session's workflow says; None: none runs.

    Raises:
        NoTemporal: neither the server nor a worker answered in time.
    """
    handle = await handle_of(house, tenant, session_id)
    try:
        async with answering(_QUERY_SECONDS):
            view: SessionView = await handle.query(
                QUERY_SESSION, result_type=SessionView, reject_condition=QueryRejectCondition.NOT_OPEN
            )
            return view
    except WorkflowQueryRejectedError:
        return None
    except WorkflowQueryFailedError as exc:
        raise NoTemporal(f"no worker can tell how this session stands ({str(exc)[:200]}); is one running?") from exc
    except RPCError as exc:
        if exc.status == RPCStatusCode.NOT_FOUND:
            return None
        raise NoTemporal(f"the Temporal server cannot tell how this session stands ({exc.message[:200]})") from exc


# what is told to it


async def dropped(house: House, row: TaskRow) -> None:
    """Tell the session of a turn that waits that it is not to begin."""
    if row.session_id is None:
        return
    try:
        handle = await handle_of(house, row.tenant, row.session_id)
        async with answering():
            await handle.signal(SIGNAL_DROP, Dropped(task_id=row.id))
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise


async def waits(house: House, row: TaskRow) -> bool:
    """Whether a task that no workflow runs is a turn that waits in its session.

    Raises:
        NoTemporal: nobody can tell.
    """
    if row.session_id is None:
        return False
    view = await viewed(house, row.tenant, row.session_id)
    turns = [*view.queued, *([view.running] if view.running else [])] if view else []
    return any(turn.task_id == row.id for turn in turns)


async def handle_of(house: House, tenant: str, session_id: str) -> Any:
    client = await house.temporal.client()
    ref = SessionRef(tenant=tenant, session_id=session_id, trace_id="0" * 32)
    return client.get_workflow_handle(ref.workflow_id)
