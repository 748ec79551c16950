"""What models took: tokens and money, a row a call."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, func, select

from holdfast.ids import new_task_id
from store.database import Database
from store.tables import UsageRow

__all__ = ["NewUsage", "Sum", "Usage", "UsageRow"]


@dataclass(frozen=True, kw_only=True)
class NewUsage:
    """One call of a model. `cost` is USD; None means that the price is not known.

    Give `id` a name that is the same when an activity is retried, and the call is counted once.
    """

    tenant: str
    task_id: str
    trace_id: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cost: Decimal | None = None
    user_hash: str | None = None
    call_id: str | None = None
    id: str = field(default_factory=new_task_id)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Sum:
    """`cost` adds up the costs that are known, and is None if none is; `unknown` counts the calls whose cost is not."""

    calls: int
    tasks: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: Decimal | None
    unknown: int


class Usage:
    """The rows of `usage`."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def add(self, new: NewUsage) -> bool:
        """Write one call down. False: it was there already, by its id."""
        return await self.db.run(self.db.insert(UsageRow).values(vars(new)).on_conflict_do_nothing()) == 1

    async def of_tenant(self, tenant: str, since: datetime | None = None) -> Sum:
        return await self._sum(UsageRow.tenant == tenant, *_from(since))

    async def of_user(self, tenant: str, user_hash: str, since: datetime | None = None) -> Sum:
        return await self._sum(UsageRow.tenant == tenant, UsageRow.user_hash == user_hash, *_from(since))

    async def of_task(self, tenant: str, task_id: str) -> Sum:
        return await self._sum(UsageRow.tenant == tenant, UsageRow.task_id == task_id)

    async def _sum(self, *fits: ColumnElement[bool]) -> Sum:
        query = select(
            func.count(),
            func.count(UsageRow.task_id.distinct()),
            func.coalesce(func.sum(UsageRow.input_tokens), 0),
            func.coalesce(func.sum(UsageRow.output_tokens), 0),
            func.coalesce(func.sum(UsageRow.cached_tokens), 0),
            func.sum(UsageRow.cost),
            func.count() - func.count(UsageRow.cost),
        ).where(*fits)
        async with self.db.reading() as session:
            calls, tasks, given, made, cached, cost, unknown = (await session.execute(query)).one()
        return Sum(calls, tasks, int(given), int(made), int(cached), cost, unknown)


def _from(since: datetime | None) -> list[ColumnElement[bool]]:
    return [UsageRow.created_at >= since] if since else []
