"""Histories as Temporal has them: which runs there are, and their events, as they come."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.milestones import Part, Reader
from api.temporal import Temporal, answering

_POLL_SECONDS = 60.0
"""Above the 20 s for which the server holds a long poll."""


@dataclass(frozen=True)
class Page:
    """The next events of a run. `is_newest`: when it was asked for, there were no more."""

    events: list[HistoryEvent]
    is_newest: bool


class Histories(Protocol):
    """Where a watcher reads. What is not there now is looked for again after `again_seconds`."""

    again_seconds: float

    async def reader(self, part: Part) -> Reader:
        """What reads the events of one run.

        Raises:
            NoTemporal: the server cannot be reached now.
        """

    async def oldest(self, workflow_id: str, number: int) -> str | None:
        """The id of run `number`, or of the first one after it that is kept; None if the workflow is not there.

        Raises:
            NoTemporal: the server cannot be reached now.
        """

    def pages(self, workflow_id: str, run_id: str) -> AsyncIterator[Page]:
        """The events of a run, from its first one to its close, waited for if need be.

        Raises:
            NoTemporal: the server cannot be reached now.
            LookupError: the run is not there.
        """


class TemporalHistories:
    """Those of our server."""

    again_seconds = 0.5

    def __init__(self, temporal: Temporal) -> None:
        self._temporal = temporal

    async def reader(self, part: Part) -> Reader:
        return Reader((await self._temporal.client()).data_converter, part)

    async def oldest(self, workflow_id: str, number: int) -> str | None:
        client = await self._temporal.client()
        found: str | None = None
        try:
            async with answering():
                run = (await client.get_workflow_handle(workflow_id).describe()).run_id
            while run:
                at, before = await _beginning(client, workflow_id, run)
                found, run = run, "" if at <= number else before
        except RPCError as exc:
            if exc.status != RPCStatusCode.NOT_FOUND:
                raise
        return found

    async def pages(self, workflow_id: str, run_id: str) -> AsyncIterator[Page]:
        client = await self._temporal.client()
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            async with answering():
                known = (await handle.describe()).history_length
            reading = handle.fetch_history_events(wait_new_event=True, skip_archival=True)
            while True:
                async with answering(_POLL_SECONDS):
                    await reading.fetch_next_page()
                events = list(reading.current_page or [])
                is_closed = reading.next_page_token is None
                yield Page(events, is_closed or not events or events[-1].event_id >= known)
                if is_closed:
                    return
        except RPCError as exc:
            if exc.status != RPCStatusCode.NOT_FOUND:
                raise
            raise LookupError(run_id) from exc


async def _beginning(client: Client, workflow_id: str, run_id: str) -> tuple[int, str]:
    """The number of a run in its chain, and the id of the one before it."""
    reading = client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events(page_size=1)
    async with answering():
        first = await anext(reading)
    reader = Reader(client.data_converter)
    await reader.read(first)
    return reader.number, first.workflow_execution_started_event_attributes.continued_execution_run_id
