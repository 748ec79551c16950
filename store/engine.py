"""SQLAlchemy engines, set up alike for the program and for migrations."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store.address import Address

BUSY = timedelta(seconds=5)
"""How long a write waits for another process that is writing to the same SQLite file."""


def make_engine(address: Address, busy: timedelta = BUSY, **options: Any) -> AsyncEngine:
    """An engine that has not connected yet. With `begins="IMMEDIATE"` as execution option SQLite locks first;
    with `begins=""` each statement is a transaction of its own."""
    engine = create_async_engine(
        address.url,
        connect_args=dict(address.connect_args),
        json_serializer=_strict_json,
        hide_parameters=True,
        **options,
    )
    if address.file:
        _set_up_sqlite(engine, busy)
    return engine


def _set_up_sqlite(engine: AsyncEngine, busy: timedelta) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        # The driver's own transactions begin late and deferred: two readers that both turn writer would deadlock.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {round(busy.total_seconds() * 1000)}")
        # With WAL, a process that is killed loses no commit. A power cut may; Temporal tells what was lost anew.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        if begins := connection.get_execution_options().get("begins", "DEFERRED"):
            connection.exec_driver_sql(f"BEGIN {begins}")


def _strict_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
