"""A task's stream of events: two histories told as one story, and what a model says in between.

There is no second store of events: what is told is read from Temporal's histories for each watcher, so any API
process can go on where another one stopped.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

from api.cursor import Cursor, Place
from api.histories import Histories, TemporalHistories
from api.house import House
from api.track import Track
from api.view import current
from holdfast.contracts.milestone import STATUS, Delta, Done, Milestone, StatusChanged
from holdfast.contracts.program import FINAL, TaskState
from holdfast.contracts.work import program_workflow_id
from holdfast.errors import StoreUnavailable
from holdfast.ids import workflow_id
from store.deltas import Deltas
from store.records import TaskRow

_DELTA_SECONDS = 0.15
_PING_SECONDS = 15.0
_LATE_SECONDS = 5.0
"""So long the end of a task waits for its program's history, should that not be closed."""


@dataclass(frozen=True)
class Told:
    """One thing that a watcher hears: a milestone with its id, a delta without one, or nothing for a while (`None`)."""

    what: Milestone | Delta | None
    id: str | None = None


class Open(Protocol):
    """A stream of events to one watcher."""

    def stop(self) -> None:
        """End it soon, wherever it stands."""

    def close(self) -> None:
        """Its watcher has gone."""


class Streams:
    """The streams that are open. A server must end them before it waits for its clients to go."""

    def __init__(self) -> None:
        self._open: set[Open] = set()
        self._is_closed = False

    def add(self, feed: Open) -> None:
        self._open.add(feed)
        if self._is_closed:
            feed.stop()

    def remove(self, feed: Open) -> None:
        self._open.discard(feed)

    def close(self) -> None:
        """End all, and those that come yet."""
        self._is_closed = True
        for feed in self._open:
            feed.stop()


class Feed:
    """What one watcher hears of one task, behind `after`. `close` it when the watcher has gone."""

    def __init__(self, house: House, row: TaskRow, after: Cursor | None, histories: Histories | None = None) -> None:
        self._house, self._row = house, row
        self._histories = histories or TemporalHistories(house.temporal)
        self._deltas = Deltas(house.records.db)
        self._heard: int | None = 0 if after is None else None
        self._after, self._is_new = after or Cursor(), after is None
        self._stirred = asyncio.Event()
        self._is_stopped = False
        self._readers: list[asyncio.Task[None]] = []
        self._id = workflow_id(row.tenant, row.id)
        self._task = Track(self._histories, self._id, "task", self._after.task, self._stirred.set, self._is_over)
        self._program: Track | None = None
        self._late_at: float | None = None

    def stop(self) -> None:
        """End the stream soon, wherever it stands."""
        self._is_stopped = True
        self._stirred.set()

    def close(self) -> None:
        for reader in self._readers:
            reader.cancel()

    async def told(self) -> AsyncIterator[Told]:
        """All that happened and happens, up to the end of the task."""
        if self._is_new:
            when = self._row.created_at.timestamp()
            status = StatusChanged(at=when, state="PENDING", status="pending", current_step="Pending")
            yield Told(status, str(self._after))
        self._follow(self._task)
        while not self._is_stopped:
            asking = self._asking_since
            if not await self._stirs(_PING_SECONDS if asking is None else _DELTA_SECONDS) and asking is None:
                yield Told(None)
            if asking is not None:
                for delta in await self._said(asking):
                    yield Told(delta)
            async for each in self._now():
                yield each
                self._is_stopped = self._is_stopped or isinstance(each.what, Done)

    async def _now(self) -> AsyncIterator[Told]:
        """What can be told now."""
        while (track := self._next()) is not None:
            place, milestone = track.take()
            if isinstance(milestone, Done):
                await current(self._house, await self._record())
            yield Told(milestone, self._moved(track, place, isinstance(milestone, Done)))
            if isinstance(milestone, Done):
                return
        if self._task.is_over and not self._task.ahead:
            async for each in self._gone():
                yield each

    def _next(self) -> Track | None:
        """The track whose next milestone is told next: the earlier one, once it is sure that it is."""
        self._look()
        tracks = [track for track in (self._task, self._program) if track is not None]
        if any(not track.ahead and not track.is_settled for track in tracks):
            return None
        ready = [track for track in tracks if track.ahead and not (track is self._task and self._is_held())]
        return min(ready, key=lambda track: track.ahead[0][1].at, default=None)

    def _look(self) -> None:
        """Open the program's history once the task has one; let errors of readers fly."""
        if self._program is None and self._task.has_program:
            after = self._after.program
            name = program_workflow_id(self._id)
            self._program = Track(self._histories, name, "program", after, self._stirred.set, _at_once)
            self._follow(self._program)
        for reader in self._readers:
            if reader.done():
                reader.result()

    def _is_held(self) -> bool:
        """The task's last words come behind its program's, whatever their clocks say."""
        if self._program is None or not _is_last(self._task.ahead[0][1]):
            return False
        return bool(self._program.ahead) or not (self._program.is_over or self._is_late())

    def _is_late(self) -> bool:
        loop = asyncio.get_running_loop()
        if self._late_at is None:
            self._late_at = loop.time() + _LATE_SECONDS
            loop.call_at(self._late_at, self._stirred.set)
        return loop.time() >= self._late_at

    def _moved(self, track: Track, place: Place, is_end: bool) -> str:
        part = "task" if track is self._task else "program"
        self._after = self._after._replace(**{part: place}, is_end=is_end)
        return str(self._after)

    async def _gone(self) -> AsyncIterator[Told]:
        """The end by the record: Temporal keeps the history no more."""
        row = (await current(self._house, await self._record())).row
        when = (row.finished_at or row.updated_at).timestamp()
        state = cast(TaskState, row.state)
        yield Told(StatusChanged(at=when, state=state, status=STATUS[state], current_step="Done"), str(self._after))
        error = row.failure["message"] if row.failure else None
        done = Done(at=when, state=state, status=STATUS[state], error=error)
        yield Told(done, str(self._after._replace(is_end=True)))

    # what is read from elsewhere

    @property
    def _asking_since(self) -> float | None:
        tracks = [self._task.model_since, self._program.model_since if self._program else None]
        return min((since for since in tracks if since is not None), default=None)

    async def _said(self, since: float) -> list[Delta]:
        """Pieces of what the model that is being asked says. Who comes back hears only what is said from now on."""
        began = datetime.fromtimestamp(since, UTC) - timedelta(seconds=1)
        tenant, task_id = self._row.tenant, self._row.id
        with contextlib.suppress(StoreUnavailable):
            if self._heard is None:
                self._heard = await self._deltas.last(tenant, task_id)
            rows = await self._deltas.since(tenant, task_id, self._heard)
            self._heard = rows[-1].number if rows else self._heard
            return [Delta(step=row.step, text=row.text) for row in rows if row.created_at >= began]
        return []

    async def _is_over(self) -> bool:
        """The workflow is not there. It may not be started yet, or the server may not be ours; or it is history."""
        with contextlib.suppress(StoreUnavailable):
            return (await self._record()).state in FINAL
        return False

    async def _record(self) -> TaskRow:
        return await self._house.records.get(self._row.tenant, self._row.id)

    # inside

    def _follow(self, track: Track) -> None:
        reader = asyncio.create_task(track.follow())
        reader.add_done_callback(lambda _: self._stirred.set())
        self._readers.append(reader)

    async def _stirs(self, seconds: float) -> bool:
        """Whether something happened within some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return False
        self._stirred.clear()
        return True


def _is_last(milestone: Milestone) -> bool:
    return isinstance(milestone, Done) or (isinstance(milestone, StatusChanged) and milestone.state in FINAL)


async def _at_once() -> bool:
    """A program that is not there any more is not waited for."""
    return True
