"""What goes wrong with a database, in words that say what to do. Our own mistakes fly on as they are."""

import errno
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from holdfast.errors import StoreUnavailable
from store.address import Address

_SPACE = "free some space; nothing that was written before is lost"
_BACKUP = "restore a backup (a file `*.bak-*` beside it), or move it away to begin with an empty one"

_SQLITE: dict[int, tuple[str, str]] = {
    3: ("may not be read", "give this user access to it"),
    5: (
        "is locked: another process holds its write lock",
        "stop what holds it (`fuser -v` on the file names it), or set DATABASE_URL to a PostgreSQL",
    ),
    6: ("is locked: another connection holds one of its tables", "try again"),
    8: ("is read-only", "give this user write access to the file and its folder"),
    10: ("gave an input/output error", "check the disk, its free space and the file size limit (`ulimit -f`)"),
    11: ("is damaged", _BACKUP),
    13: ("cannot grow: the disk is full", _SPACE),
    14: ("cannot be opened", "check that its folder can be written to by this user"),
    26: ("is not a SQLite database", _BACKUP),
}
"""SQLite's primary result code (https://www.sqlite.org/rescode.html) -> what is wrong, what to do."""

_POSTGRES: dict[str, tuple[str, str]] = {
    "08": ("lost the connection", "check that the server runs"),
    "25006": ("is read-only", "point DATABASE_URL at the primary server"),
    "28": ("refused the user or the password", "check DATABASE_URL, or DATABASE_URL_FILE"),
    "3D000": ("has no such database", "create it with `createdb`"),
    "42501": ("refuses this user a right", "grant it, or use the user that owns the tables"),
    "53100": ("cannot grow: its disk is full", _SPACE),
    "53300": ("has no free connection", "lower DB_POOL_SIZE, or raise max_connections of the server"),
    "53": ("has too few resources", "see the log of the server"),
    "55P03": ("is being changed by another process", "try again"),
    "57P": ("is starting or shutting down", "try again"),
    "58": ("had a system error", "see the log of the server"),
}
"""SQLSTATE, or the beginning of one -> what is wrong, what to do."""

_DISK = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn what the operator can mend into StoreUnavailable. Within it, do nothing but talk to the database.

    Raises:
        StoreUnavailable: locked, full, damaged, not writable, not reachable. Retryable.
    """
    try:
        yield
    except _known() as exc:
        found = _told(exc)
        if found is None:
            raise
        fault, advice = found
        raise StoreUnavailable(f"database {address} {fault}; {advice} ({_cause(exc)})") from exc


def _known() -> tuple[type[Exception], ...]:
    """What PostgreSQL's driver raises by itself counts, where something has loaded it."""
    driver = sys.modules.get("asyncpg")
    own = (driver.PostgresError, driver.InterfaceError) if driver else ()
    return DBAPIError, PoolTimeout, OSError, sqlite3.Error, *own


def _told(exc: Exception) -> tuple[str, str] | None:
    match exc:
        case DBAPIError():
            return _by_code(exc.orig) or (_POSTGRES["08"] if exc.connection_invalidated else None)
        case PoolTimeout():
            return "has no free connection in the pool", "raise DB_POOL_SIZE or DB_MAX_OVERFLOW"
        case OSError(errno=code) if code in _DISK:
            return _SQLITE[13]
        case OSError():
            return "cannot be reached", "check that it exists, runs, and can be used by this user"
    return _by_code(exc) or ("cannot be reached", "check DATABASE_URL")


def _by_code(exc: BaseException | None) -> tuple[str, str] | None:
    number = getattr(exc, "sqlite_errorcode", None)
    if number is not None:
        return _SQLITE.get(number & 0xFF)
    state = getattr(exc, "sqlstate", None) or ""
    return next((_POSTGRES[state[:size]] for size in (5, 3, 2) if state[:size] in _POSTGRES), None)


def _cause(exc: Exception) -> str:
    """The driver's own words, without the statement and its values."""
    inner = exc.orig if isinstance(exc, DBAPIError) else exc
    return f"{type(inner).__name__}: {inner}"[:200]
