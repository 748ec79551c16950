"""What a model says while it says it: a short-lived channel from a worker to those who watch a task.

It may lose text, and nothing is ever read from it but by watchers: the reply as recorded is the truth.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, insert, select

from store.database import Database
from store.tables import DeltaRow

__all__ = ["DeltaRow", "Deltas"]

KEPT = timedelta(minutes=10)
_PRUNE_EVERY = 100
_MAX_ROWS = 1000


class Deltas:
    """The rows of `deltas`."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def add(self, tenant: str, task_id: str, step: str, text: str) -> int:
        """Append text to what a task's model says in a step; the number of the row. Now and then old rows go."""
        values = {"tenant": tenant, "task_id": task_id, "step": step, "text": text, "created_at": datetime.now(UTC)}
        async with self.db.session() as session:
            number = (await session.scalars(insert(DeltaRow).values(values).returning(DeltaRow.number))).one()
            if number % _PRUNE_EVERY == 0:
                await session.execute(delete(DeltaRow).where(DeltaRow.created_at < datetime.now(UTC) - KEPT))
        return number

    async def since(self, tenant: str, task_id: str, number: int) -> Sequence[DeltaRow]:
        """What came after a row, in order; at most 1,000 rows."""
        after = select(DeltaRow).where(*_of(tenant, task_id), DeltaRow.number > number)
        async with self.db.reading() as session:
            return (await session.scalars(after.order_by(DeltaRow.number).limit(_MAX_ROWS))).all()

    async def last(self, tenant: str, task_id: str) -> int:
        """The number of a task's newest row; 0 if it has none."""
        newest = select(func.coalesce(func.max(DeltaRow.number), 0)).where(*_of(tenant, task_id))
        async with self.db.reading() as session:
            return (await session.scalars(newest)).one()

    async def forget(self, tenant: str, task_id: str) -> None:
        """Drop what is left of a task's."""
        async with self.db.session() as session:
            await session.execute(delete(DeltaRow).where(*_of(tenant, task_id)))


def _of(tenant: str, task_id: str) -> tuple[ColumnElement[bool], ...]:
    return DeltaRow.tenant == tenant, DeltaRow.task_id == task_id
