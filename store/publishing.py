"""Events into the house: recorded first, then routed by a workflow of their own, each once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from temporalio.client import Client

from holdfast.blobs import BlobStore
from holdfast.catalogue import Library
from holdfast.contracts.event import Event, EventJob, Routed, Sink
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.question import Question
from holdfast.errors import NotFound, UnknownAgent
from holdfast.log import get_logger
from holdfast.subscribers import Subscribers
from holdfast.temporal.events import begin_event
from store import outcomes
from store.database import Database
from store.events import Events
from store.records import Records
from store.tables import TaskRow

log = get_logger(__name__)

_TRUST_SECONDS = 0.5
"""A look at every file of the project costs 1.5 ms, and every task that ends would pay it."""


def ready(client: Client) -> Callable[[], Awaitable[Client]]:
    """A way to a client that is there."""

    async def given() -> Client:
        return client

    return given


class Publisher:
    """Publishes what nobody hears at no cost: an event of ours is made only if somebody subscribed to its topic."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        library: Library,
        client: Callable[[], Awaitable[Client]],
        keep: timedelta | None = None,
    ) -> None:
        self.events, self._records = Events(database, keep), Records(database)
        self._blobs, self._library, self._client = blobs, library, client

    async def take(self, event: Event, sinks: Sequence[Sink] = ()) -> bool:
        """Record an event and start its workflow; whether it was known. Repeating it changes nothing. One that nobody
        hears is recorded, and needs no workflow.

        Raises:
            StoreUnavailable: nothing was kept.
            RPCError, NoTemporal: it is recorded, and not started: repeat it.
        """
        body = await asyncio.to_thread(self._blobs.put_json, event.model_dump(mode="json"))
        row, is_new = await self.events.add(event, body)
        if row.routed is not None:
            # Routed long ago, perhaps: it is known also when Temporal knows it no more.
            return True
        if not sinks and not (await self._subscribers()).hear(event.topic):
            await self.events.routed(event, Routed())
            return not is_new
        is_new = await begin_event(await self._client(), EventJob(event=event, sinks=list(sinks)))
        log.info("event.taken" if is_new else "event.known", event_id=event.id, topic=event.topic)
        return not is_new

    async def submitted(self, row: TaskRow) -> None:
        """A task was asked for: `agent.task.execute`."""
        if (await self._subscribers()).hear(outcomes.ASKED):
            await self.take(await asyncio.to_thread(outcomes.asked, row, self._blobs))

    async def ended(self, row: TaskRow) -> None:
        """A task that people asked for, or an event, is over. May be repeated."""
        if "/" in row.id:
            return
        subscribers = await self._subscribers()
        if not subscribers and not row.callback_url:
            return
        callback = [Sink(url=row.callback_url)] if row.callback_url else []
        for what, topic in outcomes.topics_of_end(row, self._is_collaborative(row)).items():
            if callback or subscribers.hear(topic):
                await self.take(await asyncio.to_thread(outcomes.ended, row, what, topic, self._blobs), callback)
            callback = []

    async def escalated(self, task: TaskRef, question: Question) -> None:
        """A question was not answered in time, and stays open."""
        if not (await self._subscribers()).hear(outcomes.ESCALATED):
            return
        try:
            root = await self._records.get(task.principal.tenant, task.task_id.partition("/")[0])
        except NotFound:
            root = None
        await self.take(outcomes.escalated(task, question, root.cause if root else None))

    async def _subscribers(self) -> Subscribers:
        return await asyncio.to_thread(self._library.subscribers, _TRUST_SECONDS)

    def _is_collaborative(self, row: TaskRow) -> bool:
        if row.type.partition(":")[0] != "agent":
            return False
        try:
            agent = self._library.current(60.0)[0].find_agent(row.name)
        except UnknownAgent:
            return False
        return agent.execution_mode == "collaborative" or agent.strategy == "delegate"
