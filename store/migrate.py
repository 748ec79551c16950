"""Changes of the schema: Alembic, run from code, by one process at a time, each change whole or not at all.

The functions for the CLI are synchronous; async code calls them by `asyncio.to_thread`.
"""

import asyncio
import fcntl
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from holdfast.config import Settings
from holdfast.errors import Conflict, NotFound, StoreUnavailable, shown
from holdfast.log import get_logger
from store import backup, revisions
from store.address import Address
from store.faults import explained
from store.revisions import SCRIPTS, WAIT
from store.tables import Base

_POLL_SECONDS = 0.05
_ADVISORY_KEY = 0x686F6C64

_alembic = threading.Lock()
"""Alembic keeps the migration that runs in a module global (`alembic.op`)."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Migration:
    """What a change did. A revision is None where there are no tables; `backup` is None where nothing could be lost."""

    before: str | None
    after: str | None
    backup: Path | None = None


def upgrade(settings: Settings, revision: str = "head") -> Migration:
    """Bring the database up to a revision (`head`, `0002`, `+1`). At or above it already, nothing is done.

    Raises:
        NotFound: no such revision.
        StoreUnavailable: not writable, damaged, or made by a newer holdfast.
    """
    return _change(settings, revision, up=True)


def downgrade(settings: Settings, revision: str) -> Migration:
    """Take the database down to a revision (`0001`, `-1`, or `base`: no tables). What is dropped stands in `backup`.

    Raises:
        NotFound: no such revision.
        StoreUnavailable: not writable, damaged, or made by a newer holdfast.
    """
    return _change(settings, revision, up=False)


def revision(settings: Settings, message: str) -> Path:
    """Write the next revision file: what differs between the database and `tables.py`. For developers of holdfast.

    Raises:
        Conflict: the database is not at the newest revision.
    """
    address = Address.of(settings)
    try:
        with explained(address):
            return asyncio.run(revisions.connected(address, lambda connection: _written(connection, message)))
    except CommandError as exc:
        raise Conflict(f"no revision written for {address}: {exc} Run `holdfast db upgrade` first") from exc


def current(settings: Settings) -> str | None:
    """The revision of the database; None if it has no tables, or is not there. Changes nothing."""
    return asyncio.run(revisions.found(Address.of(settings)))


def _change(settings: Settings, target: str, *, up: bool) -> Migration:
    address = Address.of(settings)
    with explained(address), _alone(address):
        change = asyncio.run(
            revisions.connected(address, lambda connection: _moved(connection, address, settings, target, up))
        )
    if change.before != change.after:
        saved = str(change.backup or "")
        log.info("store.migrated", database=str(address), before=change.before, after=change.after, backup=saved)
    return change


def _moved(connection: Connection, address: Address, settings: Settings, target: str, up: bool) -> Migration:
    if not address.file:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT.seconds}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_KEY})")
    order = _order()
    before = _checked(connection, address)
    aim = _aim(order, before, target)
    if (order.index(aim) > order.index(before)) is not up or aim == before:
        return Migration(before, before)
    saved = backup.save(connection, address, settings.home, before, drops_all=aim is None) if before else None
    with _alembic:
        (command.upgrade if up else command.downgrade)(_config(connection), aim or "base")
    return Migration(before, aim, saved)


def _checked(connection: Connection, address: Address) -> str | None:
    """The database's revision, once it is sure that this holdfast may change this database."""
    found = revisions.read(connection)
    ours = set(inspect(connection).get_table_names()) & set(Base.metadata.tables)
    if found is None and ours:
        raise StoreUnavailable(
            f"database {address} has a table {min(ours)!r} that holdfast did not make; point DATABASE_URL elsewhere"
        )
    if found not in _order():
        raise StoreUnavailable(
            f"database {address} is at revision {found!r}, made by a newer holdfast; this one knows up to "
            f"{_order()[-1]!r}. Update holdfast, or restore the backup of before"
        )
    return found


def _order() -> list[str | None]:
    """All revisions from none (None) to the newest."""
    return [None, *(script.revision for script in reversed(list(ScriptDirectory(SCRIPTS).walk_revisions())))]


def _aim(order: list[str | None], before: str | None, target: str) -> str | None:
    names = {"base": None, "head": order[-1], **{name: name for name in order if name}}
    if re.fullmatch(r"[+-]\d+", target):
        return order[min(max(order.index(before) + int(target), 0), len(order) - 1)]
    if target not in names:
        raise NotFound(f"no revision {shown(target)}; known: {', '.join(names)}, and steps such as -1 or +1")
    return names[target]


def _written(connection: Connection, message: str) -> Path:
    with _alembic:
        made = command.revision(_config(connection), message, autogenerate=True, rev_id=f"{len(_order()):04}")
    assert made is not None and not isinstance(made, list)
    return Path(made.path)


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _alone(address: Address) -> Iterator[None]:
    """On SQLite: make the folder, let one process in at a time, and turn write-ahead logging on."""
    if not address.file:
        yield
        return
    address.file.parent.mkdir(parents=True, exist_ok=True)
    with address.file.with_name(f"{address.file.name}.lock").open("w") as lock:
        _wait_for(lock.fileno(), address)
        with closing(sqlite3.connect(address.file, timeout=WAIT.total_seconds())) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        yield


def _wait_for(descriptor: int, address: Address) -> None:
    until = time.monotonic() + WAIT.total_seconds()
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"database {address} is being migrated by another process for more than {WAIT.seconds} s; "
                    f"`fuser -v '{address}.lock'` names it"
                ) from None
            time.sleep(_POLL_SECONDS)
