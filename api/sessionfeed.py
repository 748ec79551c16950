"""A session's stream of events: its turns, one after another, each as its task's own stream tells it.

There is no store of these events either: which turns there are is read from the store, what happens in one from its
histories. So several may watch, and any API process can go on where another one stopped.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

from api.conversations import said
from api.cursor import Cursor, EventIdInvalid
from api.feed import Feed, Told
from api.house import House
from api.sessions import rows_of
from holdfast.contracts.chat import Said
from holdfast.contracts.milestone import Delta, Done, Milestone
from holdfast.errors import shown
from store.records import TaskRow

_LOOK_SECONDS = 0.3
_PING_SECONDS = 15.0
_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(.+)")
BEGINNING = "0"
_BEGUN: dict[str, object] = {
    "state": "PENDING",
    "status": "pending",
    "answer": None,
    "error": None,
    "finished_at": None,
    "total_cost": None,
}


class SessionCursor(NamedTuple):
    """How far a client has heard a session: all turns before this task's, and this one up to a place."""

    task_id: str
    place: Cursor

    def __str__(self) -> str:
        return f"{self.task_id}:{self.place}"

    @classmethod
    def parse(cls, text: str) -> "SessionCursor | None":
        """None: the beginning of the conversation.

        Raises:
            EventIdInvalid: no event has this id.
        """
        if text == BEGINNING:
            return None
        found = _ID.fullmatch(text)
        if found is None:
            raise EventIdInvalid(
                f"Last-Event-ID {shown(text)} is not the id of an event of this stream; leave it out to hear what "
                f"comes, or send {BEGINNING!r} to hear all"
            )
        return cls(found[1], Cursor.parse(found[2]))


@dataclass(frozen=True)
class Heard:
    """One thing that a watcher hears: a turn that begins or is over (`Said`), what happens in the turn of `task_id`, or
    nothing for a while (None)."""

    what: Said | Milestone | Delta | None
    task_id: str = ""
    id: str | None = None


class SessionFeed:
    """What one watcher hears of one session. `close` it when the watcher has gone.

    It begins behind `after`; with none, with the turns that are not over, or, `from_start`, with the first one.
    """

    def __init__(
        self, house: House, tenant: str, session_id: str, after: SessionCursor | None, from_start: bool = False
    ) -> None:
        self._house, self._tenant, self._session_id = house, tenant, session_id
        self._after, self._is_new = after, after is None and not from_start
        self._stopped = asyncio.Event()
        self._feed: Feed | None = None

    def stop(self) -> None:
        """End the stream soon, wherever it stands."""
        self._stopped.set()
        if self._feed is not None:
            self._feed.stop()

    def close(self) -> None:
        self.stop()
        if self._feed is not None:
            self._feed.close()

    async def told(self) -> AsyncIterator[Heard]:
        """All that happens in the session, until it is closed."""
        before = await self._house.records.last_over(self._tenant, self._session_id) if self._is_new else None
        if self._after is not None:
            before = await self._house.records.get(self._tenant, self._after.task_id)
            if not self._after.place.is_end:
                async for each in self._turn(before, self._after.place):
                    yield each
        quiet = 0.0
        while not self._stopped.is_set():
            is_closed = (await rows_of(self._house).get(self._tenant, self._session_id)).state == "closed"
            row = await self._house.records.next_turn(self._tenant, self._session_id, before)
            if row is not None:
                async for each in self._turn(row, None):
                    yield each
                before, quiet = row, 0.0
                continue
            if is_closed:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _LOOK_SECONDS)
            quiet += _LOOK_SECONDS
            if quiet >= _PING_SECONDS:
                yield Heard(None)
                quiet = 0.0

    async def _turn(self, row: TaskRow, after: Cursor | None) -> AsyncIterator[Heard]:
        """A turn from its beginning, or behind a place, to its end."""
        if after is None:
            begun = (await said(self._house, row)).model_copy(update=_BEGUN)
            yield Heard(begun, row.id, str(SessionCursor(row.id, Cursor())))
        self._feed = Feed(self._house, row, after)
        if self._stopped.is_set():
            self._feed.stop()
        try:
            async for told in self._feed.told():
                yield await self._heard(row, told)
        finally:
            self._feed.close()

    async def _heard(self, row: TaskRow, told: Told) -> Heard:
        name = f"{row.id}:{told.id}" if told.id else None
        if not isinstance(told.what, Done):
            return Heard(told.what, row.id, name)
        over = await self._house.records.get(self._tenant, row.id)
        return Heard(await said(self._house, over), row.id, name)
