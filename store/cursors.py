"""Cursors of pages: where the next one begins, by the time and the id of the last row, as text that is opaque."""

import base64
import json
from datetime import UTC, datetime

from holdfast.errors import shown
from store.records import CursorInvalid


def cursor_of(at: datetime, last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), last]).encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[datetime, str]:
    """
    Raises:
        CursorInvalid: it is not one that a page gave.
    """
    try:
        text, last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not last.isprintable():
            raise ValueError("no database takes NUL or half of a surrogate pair")
        return datetime.fromisoformat(text).astimezone(UTC), str(last)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise CursorInvalid(f"cursor {shown(cursor)} is not one that a page gave; leave it out to begin anew") from None
