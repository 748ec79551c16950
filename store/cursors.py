"""Pages of rows, the newest first, and their cursors: the time and the id of a page's last row, as opaque text."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from sqlalchemy import ColumnElement, Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from holdfast.errors import UserError, shown
from store.tables import Utc

MAX_PAGE = 1000

Row = TypeVar("Row")


class CursorInvalid(UserError):
    """A cursor that no page gave."""

    code: ClassVar[str] = "INVALID_CURSOR"


async def newest(
    session: AsyncSession,
    query: Select[Row],
    place: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[str]],
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Row], str | None]:
    """A page of what a query finds, and the cursor of the next one; None: this is the last. `place` are the columns
    that say in which order rows were made: those that come while one pages through neither move nor repeat others.

    Raises:
        CursorInvalid: the cursor is not one that a page gave.
    """
    size = min(max(limit, 1), MAX_PAGE)
    if cursor is not None:
        query = query.where(_older_than(cursor, place))
    ordered = query.order_by(*(column.desc() for column in place)).limit(size + 1)
    found = (await session.scalars(ordered)).all()
    return found[:size], _cursor(found[size - 1], place) if len(found) > size else None


def _cursor(row: Any, place: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[str]]) -> str:
    at, last = (getattr(row, column.key) for column in place)
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), last]).encode()).decode().rstrip("=")


def _older_than(
    cursor: str, place: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[str]]
) -> ColumnElement[bool]:
    try:
        text, last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not last.isprintable():
            raise ValueError("no database takes NUL or half of a surrogate pair")
        there = tuple_(literal(datetime.fromisoformat(text).astimezone(UTC), Utc), literal(last))
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise CursorInvalid(f"cursor {shown(cursor)} is not one that a page gave; leave it out to begin anew") from None
    return tuple_(*place) < there
