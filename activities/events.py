"""The activities `event.route` and `event.post`: whom an event starts, and how it leaves the house."""

import asyncio
import time
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.admitting import later
from activities.alive import beating
from activities.deliver import Delivery, Refused, deliver
from holdfast.blobs import BlobStore
from holdfast.catalogue import Library
from holdfast.config import Settings
from holdfast.contracts.base import Json, Nothing
from holdfast.contracts.begin import Begin, Cause
from holdfast.contracts.event import MAX_EVENT_DEPTH, POST, ROUTE, Event, EventJob, Post, Routed
from holdfast.contracts.program import FINAL
from holdfast.contracts.session import QUEUE_FULL, SessionRef
from holdfast.contracts.task import PRIORITIES, TaskRequest
from holdfast.conversing import OF_AGENT, message_of, settings_of
from holdfast.envelopes import cloud
from holdfast.errors import Conflict, OperatorError, SecretMissing, TooManyTasks, UserError
from holdfast.said import KEYS
from holdfast.subscribers import Subscriber, Subscribers
from holdfast.temporal.begin import begin
from holdfast.temporal.sessions import send
from store.admission import Admission
from store.publishing import Publisher

log = structlog.stdlib.get_logger(__name__)

_TRUST_SECONDS = 0.2
_PAUSE = timedelta(seconds=5)


class Routing:
    """Matches the subscriptions of the files as they now are. Each match is admitted with a key of the event and whom
    it starts, so that routing again starts nothing twice."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        admission: Admission,
        library: Library,
        blobs: BlobStore,
        publisher: Publisher,
    ) -> None:
        self._settings, self._client, self._admission = settings, client, admission
        self._library, self._blobs, self._publisher = library, blobs, publisher

    @activity.defn(name=ROUTE.name)
    async def route(self, job: EventJob) -> Routed:
        """Start all who subscribed, and say who is to be posted to."""
        event = job.event
        structlog.contextvars.bind_contextvars(trace_id=event.trace_id)
        async with beating():
            subscribers = await asyncio.to_thread(self._library.subscribers, _TRUST_SECONDS)
            routed = await self._routed(job, subscribers)
            if not await self._publisher.events.routed(event, routed):
                # The Temporal CLI began it.
                body = await asyncio.to_thread(self._blobs.put_json, event.model_dump(mode="json"))
                await self._publisher.events.add(event, body)
                await self._publisher.events.routed(event, routed)
        log.info("event.routed", event_id=event.id, topic=event.topic, started=len(routed.started))
        return routed

    async def _routed(self, job: EventJob, subscribers: Subscribers) -> Routed:
        event = job.event
        if stopped := _stopped(event):
            log.warning("event.stopped", event_id=event.id, topic=event.topic, depth=event.depth, reason=stopped)
            # Who asked for a task is told its end in any case.
            return Routed(stopped=stopped, sinks=job.sinks)
        started: dict[str, str] = {}
        refused: dict[str, str] = {}
        for one in subscribers.starts.match(event.topic):
            try:
                started[one.type] = await self._started(event, one)
            except (UserError, ValueError) as exc:
                log.info("event.refused", event_id=event.id, subscriber=one.type, error=type(exc).__name__)
                refused[one.type] = str(exc)[:1000]
        return Routed(started=started, refused=refused, sinks=[*job.sinks, *subscribers.sinks(event.topic)])

    async def _started(self, event: Event, whom: Subscriber) -> str:
        cause = Cause(event_id=event.id, topic=event.topic, depth=event.depth)
        try:
            begins, row, _ = await self._admission.admit(_request(event, whom), event.tenant, event.trace_id, cause)
        except TooManyTasks as exc:
            raise later(exc) from exc
        if row.state not in FINAL:
            await self._publisher.submitted(row)
            await self._begun(begins, event, whom)
        return row.id

    async def _begun(self, begins: Begin, event: Event, whom: Subscriber) -> None:
        if begins.session_id is None:
            await begin(self._client, begins)
            return
        agent = (await asyncio.to_thread(self._library.current, _TRUST_SECONDS))[0].find_agent(begins.name)
        ref = SessionRef(tenant=event.tenant, session_id=begins.session_id, trace_id=event.trace_id)
        try:
            await send(self._client, ref, settings_of(self._settings, agent), message_of(begins, event.topic))
        except WorkflowUpdateFailedError as exc:
            text = f"session {begins.session_id!r} of {whom.type} takes no event: {exc.cause or exc}"
            if isinstance(exc.cause, ApplicationError) and exc.cause.type == QUEUE_FULL:
                raise ApplicationError(text, type=QUEUE_FULL, next_retry_delay=_PAUSE) from exc
            raise Conflict(text) from exc


def _stopped(event: Event) -> str:
    """Why it starts nothing."""
    if event.depth >= MAX_EVENT_DEPTH:
        loop = "tasks and events that cause each other would go on for ever"
        return f"depth {event.depth}: from {MAX_EVENT_DEPTH} on an event starts nothing; {loop}"
    late = time.time() - event.expires_at if event.expires_at is not None else 0
    return f"expired {late:.1f} s before it was routed" if late > 0 else ""


def _request(event: Event, whom: Subscriber) -> TaskRequest:
    is_agent = whom.type.startswith("agent:")
    request = TaskRequest(
        type=whom.type,
        input=_said(event) if is_agent else event.data,
        priority=PRIORITIES[event.priority],
        session_id=f"{OF_AGENT}{whom.type.partition(':')[2]}" if whom.is_continuous else None,
    )
    # Longer than a key that a person may send: it is hashed in any case.
    return request.model_copy(update={"idempotency_key": f"{event.id}:{whom.type}"})


def _said(event: Event) -> Json:
    """What an agent reads: the words of the event, where it has any, else its topic with the data beside it."""
    data = event.data
    has_words = isinstance(data, dict) and any(isinstance(data.get(key), str) and data[key].strip() for key in KEYS)
    if has_words or (isinstance(data, str) and data.strip()):
        return data
    task = f"Event {event.topic}"
    return {"task": task} if data in (None, "", {}, []) else {"task": task, "event": data}


class Posting:
    """Leaves events at other systems' doors."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self._settings, self._publisher = settings, publisher

    @activity.defn(name=POST.name)
    async def post(self, job: Post) -> Nothing:
        """One delivery, signed. What may work later is an error that Temporal tries again."""
        structlog.contextvars.bind_contextvars(trace_id=job.event.trace_id)
        async with beating():
            try:
                status = await deliver(self._delivery(job))
            except Refused as exc:
                await self._publisher.events.posted(job.event, job.sink.url, str(exc)[:500])
                log.warning("event.not_delivered", event_id=job.event.id, reason=str(exc)[:200])
                raise ApplicationError(str(exc), type="Refused", non_retryable=True) from exc
            except OperatorError as exc:
                raise ApplicationError(str(exc), type=type(exc).__name__) from exc
            await self._publisher.events.posted(job.event, job.sink.url, f"delivered: {status}")
        return Nothing()

    def _delivery(self, job: Post) -> Delivery:
        return Delivery(
            url=job.sink.url,
            id=job.event.id,
            body=cloud(job.event, f"holdfast/{job.event.tenant}"),
            secret=_secret(self._settings, job.sink.secret),
            may_be_private=self._settings.webhooks_private,
        )


def _secret(settings: Settings, name: str) -> str:
    """The key of a sink; empty: it has none, and nothing is signed.

    Raises:
        SecretMissing: the variable that it names is not set.
    """
    if not name:
        return settings.webhook_secret or ""
    found = settings.environment().get(name, "")
    if not found:
        raise SecretMissing(f"variable {name} is not set where the worker runs; webhooks.yaml names it as a secret")
    return found
