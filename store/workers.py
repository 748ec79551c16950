"""Which workers there are: each writes its row every few seconds, so the API can show them without loading them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from store.database import Database
from store.tables import WorkerRow

__all__ = ["WorkerRow", "WorkerSeen", "Workers"]

_KEPT = timedelta(days=1)
"""Whoever was not seen for minutes is shown no more; the rest is for those who look into the table."""


@dataclass(frozen=True, kw_only=True)
class WorkerSeen:
    """What a worker says of itself. `id` is `host:pid:start`; an adapter is {"name": …, "isolation": …}."""

    id: str
    queues: list[str]
    version: str
    started_at: datetime
    adapters: list[dict[str, Any]] = field(default_factory=list)
    providers: list[str] = field(default_factory=list)


class Workers:
    """The rows of `workers`."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def seen(self, worker: WorkerSeen, at: datetime | None = None) -> None:
        """Write that a worker lives, now or `at`, and what it serves."""
        values = {**vars(worker), "seen_at": at or datetime.now(UTC)}
        insert = self.db.insert(WorkerRow).values(values)
        await self.db.run(insert.on_conflict_do_update(index_elements=["id"], set_=values))

    async def list(self, since: datetime) -> Sequence[WorkerRow]:
        """Workers that were seen at `since` or later, the longest-lived first."""
        query = select(WorkerRow).where(WorkerRow.seen_at >= since).order_by(WorkerRow.started_at, WorkerRow.id)
        async with self.db.reading() as session:
            return (await session.scalars(query)).all()

    async def forget(self) -> int:
        """Drop the rows of those that were not seen for a day; how many there were. Each worker does so as it starts,
        so no more stay than start in a day."""
        return await self.db.run(delete(WorkerRow).where(WorkerRow.seen_at < datetime.now(UTC) - _KEPT))
