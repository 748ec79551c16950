"""The audit record: who decided what, for ever. A chain of hashes, one a tenant: a row that was changed, or taken out,
is found by whoever follows it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.ids import canonical
from store.database import Database
from store.tables import AuditRow

__all__ = ["Audit", "AuditRow", "Broken", "NewEntry"]

FIRST = "0" * 64
"""What stands before the first row."""
_KEY = 700
_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """What was decided. `key` names the decision: writing it again adds nothing. `actor` is the hash of who decided."""

    key: str
    action: str
    subject: str
    actor: str | None = None
    details: dict[str, Any] | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Broken(NamedTuple):
    """The first row that does not follow from the one before it."""

    number: int
    why: str


class Audit:
    """The rows of `audit`. Nothing here changes one."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def add(self, tenant: str, entries: Sequence[NewEntry]) -> int:
        """Write decisions behind those that there are; how many were new. All of them, or, if it raises, none."""
        if not entries:
            return 0
        async with self.db.session() as session:
            await self._alone(session, tenant)
            known = await _known(session, tenant, [_key(entry) for entry in entries])
            new = [entry for entry in entries if _key(entry) not in known]
            last = await _last(session, tenant)
            for entry in {_key(entry): entry for entry in new}.values():
                last = _row(tenant, entry, last)
                session.add(last)
            return len({_key(entry) for entry in new})

    async def page(
        self, tenant: str, subject: str | None = None, after: int | None = None, limit: int = 100
    ) -> Sequence[AuditRow]:
        """Rows of a tenant, or those about one subject, the newest first; `after`: those before that number."""
        fits = [AuditRow.tenant == tenant]
        fits += [AuditRow.subject == subject] if subject is not None else []
        fits += [AuditRow.number < after] if after is not None else []
        newest = select(AuditRow).where(*fits).order_by(AuditRow.number.desc()).limit(limit)
        async with self.db.reading() as session:
            return (await session.scalars(newest)).all()

    async def tenants(self) -> Sequence[str]:
        async with self.db.reading() as session:
            return (await session.scalars(select(AuditRow.tenant).distinct().order_by(AuditRow.tenant))).all()

    async def verify(self, tenant: str) -> tuple[int, Broken | None]:
        """How many rows follow from one another, and the first that does not. A chain that was cut at its end looks
        whole: keep the number and hash of its last row elsewhere."""
        number, before = 0, FIRST
        while True:
            in_order = select(AuditRow).where(AuditRow.tenant == tenant, AuditRow.number > number)
            async with self.db.reading() as session:
                rows = (await session.scalars(in_order.order_by(AuditRow.number).limit(_PAGE))).all()
            for row in rows:
                if why := _wrong(row, number, before):
                    return number, Broken(row.number, why)
                number, before = row.number, row.hash
            if len(rows) < _PAGE:
                return number, None

    async def _alone(self, session: AsyncSession, tenant: str) -> None:
        """On SQLite the session has the file to itself. PostgreSQL: the next writer waits for the end of this one."""
        if not self.db.address.file:
            await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"audit {tenant}", 0))))


def _key(entry: NewEntry) -> str:
    if len(entry.key) <= _KEY:
        return entry.key
    return f"{entry.key[: _KEY - 65]} {hashlib.sha256(entry.key.encode()).hexdigest()}"


async def _known(session: AsyncSession, tenant: str, keys: list[str]) -> set[str]:
    found = await session.scalars(select(AuditRow.key).where(AuditRow.tenant == tenant, AuditRow.key.in_(keys)))
    return set(found.all())


async def _last(session: AsyncSession, tenant: str) -> AuditRow | None:
    newest = select(AuditRow).where(AuditRow.tenant == tenant).order_by(AuditRow.number.desc()).limit(1)
    return await session.scalar(newest)


def _row(tenant: str, entry: NewEntry, last: AuditRow | None) -> AuditRow:
    row = AuditRow(
        tenant=tenant,
        number=last.number + 1 if last else 1,
        key=_key(entry),
        at=entry.at.astimezone(UTC),
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        details=entry.details,
        before=last.hash if last else FIRST,
    )
    row.hash = digest(row)
    return row


def digest(row: AuditRow) -> str:
    """The hash of a row with all that stands in it."""
    at = row.at.astimezone(UTC).isoformat(timespec="microseconds")
    told = [row.tenant, row.number, row.key, at, row.actor, row.action, row.subject, row.details, row.before]
    return hashlib.sha256(canonical(told)).hexdigest()


def _wrong(row: AuditRow, number: int, before: str) -> str | None:
    if row.number != number + 1:
        return f"row {number + 1} is missing"
    if row.before != before:
        return f"it says that {row.before[:12]} precedes it; that is {before[:12]}"
    if row.hash != digest(row):
        return "it was changed: its hash is that of another row"
    return None
