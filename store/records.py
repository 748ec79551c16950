"""Task records: what was asked, how it stands, how it ended. Temporal runs a task; this is what people look up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict, Unpack

from sqlalchemy import ColumnElement, extract, func, literal, null, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.contracts.program import FINAL, TaskState
from holdfast.errors import Conflict, NotFound, shown
from store.cursors import MAX_PAGE, CursorInvalid, newest
from store.database import Database
from store.tables import TaskRow, Utc

__all__ = [
    "Change",
    "Changes",
    "CursorInvalid",
    "IdempotencyMismatch",
    "NewTask",
    "Page",
    "Records",
    "Standing",
    "Tally",
    "TaskRow",
]

_EDGES: dict[str, frozenset[str]] = {
    "PENDING": frozenset({"PENDING", "RUNNING", "WAITING"}) | FINAL,
    "RUNNING": frozenset({"RUNNING", "WAITING"}) | FINAL,
    "WAITING": frozenset({"RUNNING", "WAITING"}) | FINAL,
}


class IdempotencyMismatch(Conflict):
    """The same idempotency key with another request."""

    code: ClassVar[str] = "IDEMPOTENCY_MISMATCH"
    status: ClassVar[int] = 422


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """A task as it is asked. `request_hash` is the sha256 of the canonical request, where the caller chose the id."""

    tenant: str
    id: str
    type: str
    trace_id: str
    name: str = ""
    user_hash: str | None = None
    session_id: str | None = None
    parent_id: str | None = None
    step: str | None = None
    iteration: int | None = None
    position: int | None = None
    catalogue: str | None = None
    request_hash: str | None = None
    source_ref: str | None = None
    input: Any = None
    input_ref: str | None = None
    callback_url: str | None = None
    cause: dict[str, Any] | None = None
    begins: dict[str, Any] | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Standing(NamedTuple):
    """How a task stands, and since when."""

    tenant: str
    id: str
    state: str
    created_at: datetime
    updated_at: datetime


class Changes(TypedDict, total=False):
    """What a change of state may write along with it."""

    name: str
    catalogue: str
    source_ref: str
    started_at: datetime
    output: Any
    output_ref: str | None
    files_ref: str | None
    failure: dict[str, Any] | None
    journal: list[str]
    stdout: str
    version: int
    calls: int
    repairs: int
    suspensions: int
    generations: int
    llm: list[dict[str, Any]]
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    model: str | None
    workflow_state: dict[str, Any] | None
    budget: dict[str, Any] | None


@dataclass(frozen=True)
class Tally:
    """How many tasks there are, how many ended well and not, and how long those that ended took on average."""

    total: int
    done: int
    failed: int
    average_seconds: float | None


@dataclass(frozen=True)
class Change:
    """Only `written` changed the row: the task had this final state already (`repeated`), or another (`refused`)."""

    outcome: Literal["written", "repeated", "refused"]
    row: TaskRow


@dataclass(frozen=True)
class Page:
    """`total` counts all rows that fit, on all pages. `next_cursor` is None on the last page."""

    rows: Sequence[TaskRow]
    next_cursor: str | None
    total: int


class Records:
    """The rows of `tasks`. A row of another tenant is as good as none."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def create(self, new: NewTask) -> tuple[TaskRow, bool]:
        """The task's row, and whether this call made it. Of many that ask at once for one id, one makes it.

        Raises:
            IdempotencyMismatch: it is there, and was made by a request with another hash.
        """
        values = {**vars(new), "state": "PENDING", "updated_at": new.created_at}
        is_new = await self.db.run(self.db.insert(TaskRow).values(values).on_conflict_do_nothing()) == 1
        row = await self.get(new.tenant, new.id)
        if new.request_hash and row.request_hash != new.request_hash:
            raise IdempotencyMismatch(
                f"task {new.id!r} was made with this idempotency key by another request; "
                "send the same body again, or another key"
            )
        return row, is_new

    async def get(self, tenant: str, task_id: str) -> TaskRow:
        """
        Raises:
            NotFound: this tenant has no such task.
        """
        async with self.db.reading() as session:
            return await _one(session, tenant, task_id)

    async def list(
        self,
        tenant: str,
        *,
        state: TaskState | Sequence[TaskState] | None = None,
        type_prefix: str | None = None,
        user_hash: str | None = None,
        session_id: str | None = None,
        parent_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """One page of the tasks that people asked for, or of those that `parent_id` started, newest first. Tasks that
        are made while one pages through neither move nor repeat others.

        Raises:
            CursorInvalid: the cursor is not one that a page gave.
        """
        same = _same(tenant=tenant, user_hash=user_hash, session_id=session_id)
        fits = [*same, TaskRow.parent_id == parent_id, *_stands(state), *_begins(type_prefix)]
        place = (TaskRow.created_at, TaskRow.id)
        async with self.db.reading() as session:
            rows, following = await newest(session, select(TaskRow).where(*fits), place, limit, cursor or None)
            total = await session.scalar(select(func.count()).select_from(TaskRow).where(*fits))
        return Page(rows, following, total or 0)

    async def children(self, tenant: str, parent_id: str) -> Sequence[TaskRow]:
        """The tasks that this one started, in the order of rounds and steps; at most 1,000."""
        order = (TaskRow.iteration, TaskRow.position, TaskRow.created_at, TaskRow.id)
        fits = (TaskRow.tenant == tenant, TaskRow.parent_id == parent_id)
        async with self.db.reading() as session:
            return (await session.scalars(select(TaskRow).where(*fits).order_by(*order).limit(MAX_PAGE))).all()

    async def next_turn(self, tenant: str, session_id: str, before: TaskRow | None) -> TaskRow | None:
        """The task of a session that was made behind this one, or the first."""
        place = (TaskRow.created_at, TaskRow.id)
        fits = [TaskRow.tenant == tenant, TaskRow.session_id == session_id, TaskRow.parent_id.is_(None)]
        if before is not None:
            fits.append(tuple_(*place) > tuple_(literal(before.created_at, Utc), literal(before.id)))
        async with self.db.reading() as session:
            return (await session.scalars(select(TaskRow).where(*fits).order_by(*place).limit(1))).one_or_none()

    async def last_over(self, tenant: str, session_id: str) -> TaskRow | None:
        """The last task of a session before the first one that is not over; None: there is none."""
        place = (TaskRow.created_at, TaskRow.id)
        fits = [TaskRow.tenant == tenant, TaskRow.session_id == session_id, TaskRow.parent_id.is_(None)]
        first_open = select(*place).where(*fits, TaskRow.state.not_in(FINAL)).order_by(*place).limit(1)
        async with self.db.reading() as session:
            if found := (await session.execute(first_open)).one_or_none():
                fits.append(tuple_(*place) < tuple_(literal(found[0], Utc), literal(found[1])))
            last = select(TaskRow).where(*fits).order_by(*(column.desc() for column in place)).limit(1)
            return (await session.scalars(last)).one_or_none()

    async def changed(self, since: datetime) -> Sequence[Standing]:
        """How all tasks that people asked for stand whose rows were written after `since`, the oldest change first."""
        columns = (TaskRow.tenant, TaskRow.id, TaskRow.state, TaskRow.created_at, TaskRow.updated_at)
        fits = (TaskRow.updated_at > since, TaskRow.parent_id.is_(None))
        async with self.db.reading() as session:
            rows = (await session.execute(select(*columns).where(*fits).order_by(TaskRow.updated_at))).all()
        return [Standing(*row) for row in rows]

    async def unbegun(self, since: datetime, before: datetime, limit: int) -> Sequence[TaskRow]:
        """Tasks made between these times that an API took, and of which it is not known that they began; the oldest
        first."""
        fits = (TaskRow.state == "PENDING", TaskRow.begins.is_not(null()), TaskRow.created_at.between(since, before))
        this = select(TaskRow).where(*fits).order_by(TaskRow.created_at, TaskRow.id).limit(limit)
        async with self.db.reading() as session:
            return (await session.scalars(this)).all()

    async def begun(self, tenant: str, task_id: str) -> None:
        """What starts the task is needed no more. Every state but PENDING says so too."""
        this = update(TaskRow).where(TaskRow.tenant == tenant, TaskRow.id == task_id)
        await self.db.run(this.values(begins=None))

    async def tally(self, *, tenant: str | None = None, kind: str | None = None) -> Tally:
        """Counts of what people asked for, over all tenants or of one. CANCELLED and TIMED_OUT count as failed."""
        took = _seconds(is_sqlite=self.db.address.file is not None)
        counted = select(TaskRow.state, func.count(), func.count(took), func.sum(took))
        fits = [TaskRow.parent_id.is_(None), *_same(tenant=tenant, type=kind)]
        by_state = counted.where(*fits).group_by(TaskRow.state)
        async with self.db.reading() as session:
            rows = (await session.execute(by_state)).all()
        counts = {state: count for state, count, _, _ in rows}
        timed = sum(ran for _, _, ran, _ in rows)
        return Tally(
            total=sum(counts.values()),
            done=counts.get("DONE", 0),
            failed=sum(counts.get(state, 0) for state in FINAL - {"DONE"}),
            average_seconds=sum(float(seconds or 0) for *_, seconds in rows) / timed if timed else None,
        )

    async def in_work(self, tenant: str | None = None) -> int:
        """How many tasks that people asked for are PENDING or RUNNING, of a tenant or of all."""
        fits = [TaskRow.state.in_(("PENDING", "RUNNING")), TaskRow.parent_id.is_(None), *_same(tenant=tenant)]
        async with self.db.reading() as session:
            return await session.scalar(select(func.count()).select_from(TaskRow).where(*fits)) or 0

    async def change(self, tenant: str, task_id: str, state: TaskState, **changes: Unpack[Changes]) -> Change:
        """Move a task to a state. Its first final state stays: what comes later is ignored, and `outcome` says so.

        Raises:
            NotFound: this tenant has no such task.
            Conflict: no task may go from its state to this one.
        """
        may = [before for before, after in _EDGES.items() if state in after]
        this = update(TaskRow).where(TaskRow.tenant == tenant, TaskRow.id == task_id, TaskRow.state.in_(may))
        is_written = await self.db.run(this.values(_written(state, changes))) == 1
        row = await self.get(tenant, task_id)
        if is_written:
            return Change("written", row)
        if row.state in FINAL:
            return Change("repeated" if row.state == state else "refused", row)
        allowed = ", ".join(sorted(_EDGES[row.state]))
        raise Conflict(f"task {task_id!r} is {row.state} and cannot become {state}; allowed: {allowed}")


async def _one(session: AsyncSession, tenant: str, task_id: str) -> TaskRow:
    row = await session.scalar(select(TaskRow).where(TaskRow.tenant == tenant, TaskRow.id == task_id))
    if row is None:
        raise NotFound(f"no task {shown(task_id)} of tenant {tenant!r}; `GET /tasks` lists those that there are")
    return row


def _written(state: TaskState, changes: Changes) -> dict[str, Any]:
    now = datetime.now(UTC)
    values: dict[str, Any] = {"state": state, "updated_at": now}
    if state != "PENDING":
        values |= {"started_at": func.coalesce(TaskRow.started_at, literal(now, Utc)), "begins": None}
    if state in FINAL:
        values["finished_at"] = now
    return values | changes


def _same(**wanted: str | None) -> list[ColumnElement[bool]]:
    return [getattr(TaskRow, column) == value for column, value in wanted.items() if value is not None]


def _stands(state: str | Sequence[str] | None) -> list[ColumnElement[bool]]:
    return [TaskRow.state.in_([state] if isinstance(state, str) else state)] if state else []


def _begins(prefix: str | None) -> list[ColumnElement[bool]]:
    # Not LIKE: it takes no heed of case on SQLite.
    return [func.substr(TaskRow.type, 1, len(prefix)) == prefix] if prefix else []


def _seconds(*, is_sqlite: bool) -> ColumnElement[Any]:
    """How long a task took, where it is over. SQLite keeps times as text."""
    if is_sqlite:
        return (func.julianday(TaskRow.finished_at) - func.julianday(TaskRow.started_at)) * 86400
    return extract("epoch", TaskRow.finished_at - TaskRow.started_at)
