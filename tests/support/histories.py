"""Histories for tests: written event by event, and handed out page by page as Temporal does."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from api.histories import Page
from api.milestones import Part, Reader
from holdfast.contracts.base import Contract
from holdfast.contracts.milestone import Milestone
from holdfast.errors import NoTemporal
from holdfast.temporal.connect import converter

REPLAY = Path(__file__).parents[1] / "replay"
CONVERTER = converter()
_CLOSED = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)


def saved(name: str) -> list[HistoryEvent]:
    """A history that was recorded for the replay tests."""
    return list(WorkflowHistory.from_json("default/saved", (REPLAY / f"{name}.json").read_text()).events)


async def milestones(events: Sequence[HistoryEvent], part: Part = "task") -> list[Milestone]:
    reader = Reader(CONVERTER, part)
    return [told for event in events for told in await reader.read(event)]


@dataclass
class Script:
    """One run, written by hand. Each event comes a tenth of a second after the one before it."""

    now: float = 1000.0
    events: list[HistoryEvent] = field(default_factory=list)

    async def begin(self, workflow: str, spec: Contract | None = None) -> None:
        event = self._add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
        attributes = event.workflow_execution_started_event_attributes
        attributes.workflow_type.name = workflow
        attributes.input.CopyFrom(await _payloads(spec))

    async def schedule(self, activity: str, request: Contract, summary: str = "") -> int:
        event = self._add(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        event.activity_task_scheduled_event_attributes.activity_type.name = activity
        event.activity_task_scheduled_event_attributes.input.CopyFrom(await _payloads(request))
        if summary:
            event.user_metadata.summary.CopyFrom((await CONVERTER.encode([summary]))[0])
        return event.event_id

    async def complete(self, scheduled: int, answer: Contract) -> None:
        attributes = self._add(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED).activity_task_completed_event_attributes
        attributes.scheduled_event_id = scheduled
        attributes.result.CopyFrom(await _payloads(answer))

    def fail(self, scheduled: int, message: str) -> None:
        attributes = self._add(EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED).activity_task_failed_event_attributes
        attributes.scheduled_event_id = scheduled
        attributes.failure.message = message

    async def done(self, activity: str, request: Contract, answer: Contract) -> None:
        await self.complete(await self.schedule(activity, request), answer)

    async def signal(self, name: str, message: Contract) -> None:
        event = self._add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        event.workflow_execution_signaled_event_attributes.signal_name = name
        event.workflow_execution_signaled_event_attributes.input.CopyFrom(await _payloads(message))

    async def update(self, name: str, message: Contract) -> None:
        event = self._add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        request.name = name
        request.args.CopyFrom(await _payloads(message))

    def child(self, workflow_id: str, run_id: str) -> None:
        event = self._add(EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
        execution = event.child_workflow_execution_started_event_attributes.workflow_execution
        execution.workflow_id, execution.run_id = workflow_id, run_id

    async def go_on(self, workflow: str, run_id: str, spec: Contract) -> None:
        event = self._add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
        attributes = event.workflow_execution_continued_as_new_event_attributes
        attributes.workflow_type.name, attributes.new_execution_run_id = workflow, run_id
        attributes.input.CopyFrom(await _payloads(spec))

    def end(self) -> None:
        self._add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)

    def _add(self, kind: "EventType.ValueType") -> HistoryEvent:
        self.now += 0.1
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=kind, event_time=_time(self.now))
        self.events.append(event)
        return event


def shifted(events: Sequence[HistoryEvent], start: float) -> list[HistoryEvent]:
    """The same run, begun at another time."""
    first = events[0].event_time.seconds + events[0].event_time.nanos / 1e9
    moved = [HistoryEvent.FromString(event.SerializeToString()) for event in events]
    for event in moved:
        at = event.event_time.seconds + event.event_time.nanos / 1e9
        event.event_time.CopyFrom(_time(at - first + start))
    return moved


@dataclass
class Shelf:
    """Histories by workflow id: runs in order, each with its id. With `chance`, pages come when they come, and the
    server is away at times."""

    runs: dict[str, list[tuple[str, list[HistoryEvent]]]]
    page: int = 7
    chance: random.Random | None = None
    again_seconds: float = 0.0

    async def reader(self, part: Part) -> Reader:
        return Reader(CONVERTER, part)

    async def oldest(self, workflow_id: str, number: int) -> str | None:
        runs = self.runs.get(workflow_id, [])
        return runs[min(number, len(runs)) - 1][0] if runs else None

    async def pages(self, workflow_id: str, run_id: str) -> AsyncIterator[Page]:
        events = dict(self.runs[workflow_id])[run_id]
        for start in range(0, len(events), self.page):
            await self._pass()
            is_last = start + self.page >= len(events)
            yield Page(events[start : start + self.page], is_last or self.chance is not None)
        if events[-1].event_type not in _CLOSED:
            await asyncio.Event().wait()

    async def _pass(self) -> None:
        for _ in range(self.chance.randrange(40) if self.chance else 1):
            await asyncio.sleep(0)
        if self.chance and self.chance.random() < 0.05:
            raise NoTemporal("away")


async def _payloads(model: Contract | None) -> Payloads:
    values: list[Any] = [] if model is None else [model]
    return Payloads(payloads=await CONVERTER.encode(values))


def _time(at: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(round(at * 1e9))
    return stamp
