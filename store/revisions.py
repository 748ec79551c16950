"""At which revision a database is, and whether that is the newest: all that a start needs to know, without Alembic."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, inspect
from sqlalchemy.pool import NullPool

from holdfast.config import Settings
from store.address import Address
from store.engine import make_engine
from store.faults import explained

T = TypeVar("T")

SCRIPTS = Path(__file__).parent / "migrations"
WAIT = timedelta(seconds=60)


async def migrated(settings: Settings, busy: timedelta = WAIT) -> None:
    """Upgrade if the database is not at the newest revision. Many processes may ask this at once; one does it."""
    if await found(Address.of(settings), busy) != newest():
        from store.migrate import upgrade

        await asyncio.to_thread(upgrade, settings)


def newest() -> str:
    """Scripts are named by their revision: `0005_files.py`."""
    return max(path.name[:4] for path in (SCRIPTS / "versions").iterdir() if re.match(r"\d{4}_.+\.py$", path.name))


async def found(address: Address, busy: timedelta = WAIT) -> str | None:
    """The revision of a database; None if it has no tables, or is not there."""
    with explained(address):
        if address.file and not address.file.exists():
            return None
        return await connected(address, read, busy, begins="DEFERRED")


def read(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


async def connected(
    address: Address, work: Callable[[Connection], T], busy: timedelta = WAIT, begins: str = "IMMEDIATE"
) -> T:
    """Do `work` in one transaction on a connection of its own."""
    engine = make_engine(address, busy, poolclass=NullPool, execution_options={"begins": begins})
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
