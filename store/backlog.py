"""Backlogs: follow-up work of sessions, in the order in which it was added. Each change may be repeated."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import aliased

from holdfast.contracts.backlog import MAX_OPEN, ItemState
from holdfast.errors import Conflict, NotFound, shown
from store.database import Database
from store.tables import BacklogRow

MAX_LISTED = 1000
_TO_DO = ("open", "taken")


class Backlog:
    """The rows of `backlog`. A session of another tenant has none."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def add(self, tenant: str, session_id: str, item_id: str, text: str) -> BacklogRow:
        """The item of this id, which is made if it is not there.

        Raises:
            Conflict: as many as may be are open or taken; nothing was added.
        """
        now = datetime.now(UTC)
        same = {"tenant": tenant, "session_id": session_id, "id": item_id}
        if await self.count(tenant, session_id, *_TO_DO) >= MAX_OPEN and not await self._has(
            tenant, session_id, item_id
        ):
            text = f"the backlog of session {session_id!r} has {MAX_OPEN} open items; as many may be. Work some of them"
            raise Conflict(text)
        new = {**same, "text": text, "state": "open", "note": "", "created_at": now, "updated_at": now}
        await self.db.run(self.db.insert(BacklogRow).values(new).on_conflict_do_nothing())
        return await self.get(tenant, session_id, item_id)

    async def take(self, tenant: str, session_id: str, by: str) -> BacklogRow | None:
        """The item that `by` took before; else the oldest open one, which is taken now; None if none is open."""
        mine = [*_of(tenant, session_id), BacklogRow.taken_by == by]
        oldest = select(BacklogRow.id).where(*_of(tenant, session_id), BacklogRow.state == "open")
        oldest = oldest.order_by(BacklogRow.created_at, BacklogRow.id).limit(1)
        other = aliased(BacklogRow)
        has_one = exists().where(other.tenant == tenant, other.session_id == session_id, other.taken_by == by)
        take = update(BacklogRow).where(
            *_of(tenant, session_id), BacklogRow.state == "open", BacklogRow.id == oldest.scalar_subquery(), ~has_one
        )
        while True:
            written = await self.db.run(take.values(state="taken", taken_by=by, updated_at=datetime.now(UTC)))
            async with self.db.reading() as session:
                if (row := await session.scalar(select(BacklogRow).where(*mine))) is not None:
                    return row
                is_open = await session.scalar(oldest) is not None
            # Another one took it in between, or added one: look again.
            if not written and not is_open:
                return None

    async def close(self, tenant: str, session_id: str, item_id: str, state: ItemState, note: str) -> BacklogRow:
        """Mark an item as done or failed. The first word holds; the same one again changes nothing.

        Raises:
            NotFound: there is no such item.
            Conflict: it is over, and otherwise.
        """
        this = [*_of(tenant, session_id), BacklogRow.id == item_id, BacklogRow.state.in_(_TO_DO)]
        await self.db.run(update(BacklogRow).where(*this).values(state=state, note=note, updated_at=datetime.now(UTC)))
        row = await self.get(tenant, session_id, item_id)
        if row.state != state:
            text = f"item {item_id!r} is {row.state} already, and cannot become {state}; add it again to have it done"
            raise Conflict(text, state=row.state)
        return row

    async def get(self, tenant: str, session_id: str, item_id: str) -> BacklogRow:
        """
        Raises:
            NotFound: this session has no such item.
        """
        async with self.db.reading() as session:
            row = await session.scalar(select(BacklogRow).where(*_of(tenant, session_id), BacklogRow.id == item_id))
        if row is None:
            text = f"no item {shown(item_id)} in the backlog of session {session_id!r}; its items have ids like "
            raise NotFound(f"{text}'3f786850e387550f': `GET /sessions/<id>/backlog` lists them")
        return row

    async def list(self, tenant: str, session_id: str, state: ItemState | None = None) -> Sequence[BacklogRow]:
        """The items of a session, those first that are to be done, each kind in the order of adding; at most 1,000."""
        fits = [*_of(tenant, session_id), *([BacklogRow.state == state] if state else [])]
        order = (BacklogRow.state.in_(_TO_DO).desc(), BacklogRow.created_at, BacklogRow.id)
        async with self.db.reading() as session:
            return (await session.scalars(select(BacklogRow).where(*fits).order_by(*order).limit(MAX_LISTED))).all()

    async def count(self, tenant: str, session_id: str, *states: str) -> int:
        fits = [*_of(tenant, session_id), BacklogRow.state.in_(states)]
        async with self.db.reading() as session:
            return await session.scalar(select(func.count()).select_from(BacklogRow).where(*fits)) or 0

    async def _has(self, tenant: str, session_id: str, item_id: str) -> bool:
        try:
            await self.get(tenant, session_id, item_id)
        except NotFound:
            return False
        return True


def _of(tenant: str, session_id: str) -> list[ColumnElement[bool]]:
    return [BacklogRow.tenant == tenant, BacklogRow.session_id == session_id]
