"""One open database of this process, with sessions that read and sessions that write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, cast

from sqlalchemy import CursorResult, Delete, Insert, Update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from holdfast.config import Settings
from holdfast.errors import StoreUnavailable
from holdfast.log import get_logger
from store.address import Address
from store.engine import BUSY, make_engine
from store.faults import explained
from store.revisions import migrated
from store.tables import Base

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_TURN_SECONDS = 30.0

log = get_logger(__name__)


class Database:
    """Safe for many processes (on one machine with SQLite), and for all tasks of one event loop."""

    def __init__(self, address: Address, engine: AsyncEngine) -> None:
        self.address = address
        self._engine = engine
        self._read = async_sessionmaker(engine, expire_on_commit=False)
        self._write = async_sessionmaker(engine.execution_options(begins="IMMEDIATE"), expire_on_commit=False)
        self._alone = async_sessionmaker(engine.execution_options(begins=""), expire_on_commit=False)
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, settings: Settings, busy: timedelta = BUSY) -> Self:
        """Open the database of `settings.database_url`, made and migrated if need be; a SQLite file is backed up first.

        Raises:
            SettingsInvalid: the URL is wrong.
            StoreUnavailable: it cannot be opened, or is of a newer holdfast.
        """
        address = Address.of(settings)
        await migrated(settings, busy)
        return cls(address, make_engine(address, busy, **_pool(address, settings)))

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that reads and waits for no writer."""
        with explained(self.address):
            async with self._read() as session:
                yield session

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session that writes: commits at its end, and rolls back if an error flies through it.

        Raises:
            StoreUnavailable: the database is locked, full, damaged or gone. Nothing was written.
        """
        async with self._writing(self._write) as session:
            # Connect, and on SQLite lock, now: an error here is not an error of the first statement.
            await session.connection()
            yield session

    async def run(self, statement: Insert | Update | Delete) -> int:
        """Run one statement that writes, and commit; how many rows it wrote. With RETURNING it would be two steps.

        On SQLite the file is locked for just the statement. A lock that is held from one turn of a busy event loop to
        the next keeps the writers of other processes out for whole seconds (measured, with 500 tasks at once).

        Raises:
            StoreUnavailable: the database is locked, full, damaged or gone. Nothing was written.
        """
        async with self._writing(self._alone) as session:
            written = cast("CursorResult[Any]", await session.execute(statement))
            return written.rowcount

    def insert(self, table: type[Base]) -> "sqlite.Insert | postgresql.Insert":
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, alike in both dialects."""
        if self.address.file:
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    @asynccontextmanager
    async def _writing(self, sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
        """One of these sessions, in this process's turn, that commits at its end."""
        async with AsyncExitStack() as stack:
            if self.address.file:
                await self._take_turn(stack)
            stack.enter_context(explained(self.address))
            yield await stack.enter_async_context(sessions.begin())

    async def _take_turn(self, stack: AsyncExitStack) -> None:
        # SQLite waits by polling, which is unfair: within a process, writers queue here.
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await stack.enter_async_context(self._turn)
        except TimeoutError:
            raise StoreUnavailable(
                f"database {self.address} is too slow: {_TURN_SECONDS:.0f} s in the queue of this process's writers; "
                "set DATABASE_URL to a PostgreSQL"
            ) from None


def _pool(address: Address, settings: Settings) -> dict[str, Any]:
    if not address.file:
        return {
            "pool_size": settings.db_pool_size,
            "max_overflow": settings.db_max_overflow,
            "pool_pre_ping": True,
        }
    if given := sorted({"db_pool_size", "db_max_overflow"} & settings.model_fields_set):
        log.info("store.pool_ignored", settings=given, database=str(address), reason="SQLite has one writer")
    return {}
