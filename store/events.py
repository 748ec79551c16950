"""Events that came in or were published: for lists, and to know one that comes twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update

from holdfast.contracts.event import Event, Routed
from holdfast.errors import NotFound, shown
from store.cursors import newest
from store.database import Database
from store.tables import EventRow

__all__ = ["EventPage", "EventRow", "Events"]


@dataclass(frozen=True)
class EventPage:
    """`next_cursor` is None on the last page."""

    rows: Sequence[EventRow]
    next_cursor: str | None


class Events:
    """The rows of `events`. A row of another tenant is as good as none."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def add(self, event: Event, body_ref: str) -> tuple[EventRow, bool]:
        """The event's row, and whether this call made it: the first event of an id is the one that counts."""
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

    async def _one(self, tenant: str, fits: ColumnElement[bool], event_id: str) -> EventRow:
        latest = select(EventRow).where(EventRow.tenant == tenant, fits).order_by(EventRow.at.desc()).limit(1)
        async with self.db.reading() as session:
            row = await session.scalar(latest)
        if row is None:
            text = f"no event {shown(event_id)} of tenant {tenant!r}; `GET /events` lists those that there are"
            raise NotFound(text)
        return row
