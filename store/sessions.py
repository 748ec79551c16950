"""The rows of conversations: for lists, and what a session wakes with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update

from holdfast.contracts.session import SessionState
from holdfast.errors import NotFound, shown
from store.cursors import newest
from store.database import Database
from store.tables import SessionRow

__all__ = ["SessionPage", "SessionRow", "Sessions"]

_TITLE = 80


@dataclass(frozen=True)
class SessionPage:
    """`total` counts all rows of the tenant. `next_cursor` is None on the last page."""

    rows: Sequence[SessionRow]
    next_cursor: str | None
    total: int


class Sessions:
    """The rows of `sessions`. A row of another tenant is as good as none."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def make(self, tenant: str, session_id: str, settings: dict[str, Any], user_hash: str | None = None) -> bool:
        """A session in which nothing was said yet; whether this call made it. One that is there stays as it is."""
        now = datetime.now(UTC)
        values = {
            "tenant": tenant,
            "id": session_id,
            "state": "idle",
            "agent": settings.get("agent", ""),
            "title": "",
            "user_hash": user_hash,
            "settings": settings,
            "turns": 0,
            "created_at": now,
            "seen_at": now,
        }
        return await self._db.run(self._db.insert(SessionRow).values(values).on_conflict_do_nothing()) == 1

    async def save(
        self,
        tenant: str,
        session_id: str,
        state: SessionState,
        *,
        settings: dict[str, Any],
        memory: dict[str, Any],
        turns: int,
        seen_at: datetime,
        title: str = "",
        user_hash: str | None = None,
    ) -> None:
        """What a session is and knows now. Its first title and its first user stay; a closed one stays closed."""
        values = {
            "state": state,
            "agent": settings.get("agent", ""),
            "title": " ".join(title.split())[:_TITLE],
            "user_hash": user_hash,
            "settings": settings,
            "memory": memory,
            "turns": turns,
            "seen_at": seen_at,
        }
        new = {"tenant": tenant, "id": session_id, "created_at": datetime.now(UTC), **values}
        kept = values | {
            "title": func.coalesce(func.nullif(SessionRow.title, ""), values["title"]),
            "user_hash": func.coalesce(SessionRow.user_hash, user_hash),
        }
        insert = self._db.insert(SessionRow).values(new)
        if_open = None if state == "closed" else SessionRow.state != "closed"
        await self._db.run(
            insert.on_conflict_do_update(index_elements=[SessionRow.tenant, SessionRow.id], set_=kept, where=if_open)
        )

    async def mark(self, tenant: str, session_id: str, state: SessionState, **values: Any) -> None:
        """Write down how it stands, and these columns. A closed one stays closed."""
        this = update(SessionRow).where(SessionRow.tenant == tenant, SessionRow.id == session_id)
        await self._db.run(this.where(SessionRow.state != "closed").values(state=state, **values))

    async def get(self, tenant: str, session_id: str) -> SessionRow:
        """
        Raises:
            NotFound: this tenant has no such session.
        """
        row = await self.find(tenant, session_id)
        if row is None:
            text = f"no session {shown(session_id)} of tenant {tenant!r}; `GET /sessions` lists those that there are"
            raise NotFound(text)
        return row

    async def find(self, tenant: str, session_id: str) -> SessionRow | None:
        async with self._db.reading() as session:
            this = select(SessionRow).where(SessionRow.tenant == tenant, SessionRow.id == session_id)
            return (await session.scalars(this)).one_or_none()

    async def list(
        self, tenant: str, *, state: SessionState | None = None, limit: int = 100, cursor: str | None = None
    ) -> SessionPage:
        """One page, the latest message first.

        Raises:
            CursorInvalid: the cursor is not one that a page gave.
        """
        fits = [SessionRow.tenant == tenant, *([SessionRow.state == state] if state else [])]
        place = (SessionRow.seen_at, SessionRow.id)
        async with self._db.reading() as session:
            rows, following = await newest(session, select(SessionRow).where(*fits), place, limit, cursor or None)
            total = await session.scalar(select(func.count()).select_from(SessionRow).where(*fits))
        return SessionPage(rows, following, total or 0)

    async def surplus(self, tenant: str, most: int) -> Sequence[str]:
        """The ids of those active ones beyond `most` in which nothing was said for longest."""
        active = (SessionRow.tenant == tenant, SessionRow.state == "active")
        async with self._db.reading() as session:
            count = await session.scalar(select(func.count()).select_from(SessionRow).where(*active)) or 0
            if count <= most:
                return []
            oldest = select(SessionRow.id).where(*active).order_by(SessionRow.seen_at, SessionRow.id)
            return (await session.scalars(oldest.limit(count - most))).all()
