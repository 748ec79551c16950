"""The activity `session.send`: a task that the clock or an event began is said in a conversation."""

import asyncio
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.alive import beating
from holdfast.catalogue import Library
from holdfast.config import Settings
from holdfast.contracts.session import QUEUE_FULL, SESSION_SEND, SendRequest, Sent, SessionRef
from holdfast.conversing import agent_of, message_of, settings_of
from holdfast.temporal.sessions import send

_PAUSE = timedelta(seconds=5)


class Sending:
    """To a session, which is begun or woken by it. The same task again changes nothing."""

    def __init__(self, settings: Settings, library: Library, client: Client) -> None:
        self._settings, self._library, self._client = settings, library, client

    @activity.defn(name=SESSION_SEND.name)
    async def send(self, request: SendRequest) -> Sent:
        """
        Raises:
            ApplicationError: the session is closed; or it is full, which is tried again.
        """
        begin = request.begin
        task, session_id = begin.task, begin.session_id
        assert session_id is not None
        structlog.contextvars.bind_contextvars(trace_id=task.trace_id)
        ref = SessionRef(tenant=task.principal.tenant, session_id=session_id, trace_id=task.trace_id)
        async with beating():
            settings = settings_of(self._settings, await asyncio.to_thread(agent_of, begin, self._library))
            try:
                return await send(self._client, ref, settings, message_of(begin, request.event))
            except WorkflowUpdateFailedError as exc:
                raise _refused(exc) from exc


def _refused(exc: WorkflowUpdateFailedError) -> ApplicationError:
    cause = exc.cause
    kind, text = (cause.type, cause.message) if isinstance(cause, ApplicationError) else (None, str(cause))
    if kind == QUEUE_FULL:
        return ApplicationError(text, type=kind, next_retry_delay=_PAUSE)
    return ApplicationError(text, type=kind, non_retryable=True)
