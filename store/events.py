"""Events that came in or were published: for lists, and to know one that comes twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Delete, delete, select, tuple_, update

from holdfast.contracts.event import Event, Routed
from holdfast.errors import NotFound, shown
from store.cursors import newest
from store.database import Database
from store.tables import EventRow

__all__ = ["EventPage", "EventRow", "Events"]

_PRUNE_EVERY, _PRUNE_MOST = 100, 200
"""Of the events that a process takes, with each hundredth old rows go: twice as many as came, in some 10 ms."""


@dataclass(frozen=True)
class EventPage:
    """`next_cursor` is None on the last page."""

    rows: Sequence[EventRow]
    next_cursor: str | None


class Events:
    """The rows of `events`. A row of another tenant is as good as none. Those that came longer ago than `keep` are
    dropped as new ones come, once it is known what they started; None keeps all."""

    def __init__(self, db: Database, keep: timedelta | None = None) -> None:
        self.db, self._keep = db, keep
        self._taken = 0

    async def add(self, event: Event, body_ref: str) -> tuple[EventRow, bool]:
        """The event's row, and whether this call made it: the first event of an id is the one that counts."""
        await self._prune()
        values = {
            "tenant": event.tenant,
            "id": event.id,
            "topic": event.topic,
            "source": event.source,
            "depth": event.depth,
            "body_ref": body_ref,
            "at": datetime.now(UTC),
        }
        is_new = await self.db.run(self.db.insert(EventRow).values(values).on_conflict_do_nothing()) == 1
        return await self._one(event.tenant, EventRow.id == event.id, event.id), is_new

    async def get(self, tenant: str, event_id: str) -> EventRow:
        """By its id, or by the id that its source gave it: the newest then.

        Raises:
            NotFound: this tenant has no such event.
        """
        begins = (EventRow.id == event_id) | ((EventRow.id > f"{event_id}@") & (EventRow.id < f"{event_id}A"))
        return await self._one(tenant, begins, event_id)

    async def list(
        self, tenant: str, *, topic: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> EventPage:
        """One page of a tenant's events, the newest first.

        Raises:
            CursorInvalid: the cursor is not one that a page gave.
        """
        fits: list[ColumnElement[bool]] = [EventRow.tenant == tenant]
        if topic is not None:
            fits.append(EventRow.topic == topic)
        place = (EventRow.at, EventRow.id)
        async with self.db.reading() as session:
            return EventPage(*await newest(session, select(EventRow).where(*fits), place, limit, cursor))

    async def routed(self, event: Event, routed: Routed) -> bool:
        """Write what an event started; False: it has no row."""
        this = update(EventRow).where(EventRow.tenant == event.tenant, EventRow.id == event.id)
        return await self.db.run(this.values(routed=routed.model_dump(mode="json", exclude_defaults=True))) == 1

    async def posted(self, event: Event, url: str, outcome: str) -> None:
        """Write what came of posting it to an address."""
        one = select(EventRow).where(EventRow.tenant == event.tenant, EventRow.id == event.id).with_for_update()
        async with self.db.session() as session:
            row = await session.scalar(one)
            if row is not None:
                before: dict[str, Any] = row.routed or {}
                row.routed = {**before, "posted": {**before.get("posted", {}), url: outcome}}

    async def _prune(self) -> None:
        """Now and then; the first time at once, as a process may not live to take a hundred."""
        turn, self._taken = self._taken, self._taken + 1
        if self._keep is not None and turn % _PRUNE_EVERY == 0:
            await self.db.run(oldest(datetime.now(UTC) - self._keep))

    async def _one(self, tenant: str, fits: ColumnElement[bool], event_id: str) -> EventRow:
        latest = select(EventRow).where(EventRow.tenant == tenant, fits).order_by(EventRow.at.desc()).limit(1)
        async with self.db.reading() as session:
            row = await session.scalar(latest)
        if row is None:
            text = f"no event {shown(event_id)} of tenant {tenant!r}; `GET /events` lists those that there are"
            raise NotFound(text)
        return row


def oldest(before: datetime, most: int = _PRUNE_MOST) -> Delete:
    """Drops the oldest events that came before a time, all tenants', but none of which it is not known yet what it
    started. Of several processes that do it at once each takes others."""
    ids = (EventRow.tenant, EventRow.id)
    old = select(*ids).where(EventRow.at < before, EventRow.routed.is_not(None)).order_by(EventRow.at).limit(most)
    return delete(EventRow).where(tuple_(*ids).in_(old.with_for_update(skip_locked=True)))
