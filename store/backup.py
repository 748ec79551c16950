"""A copy of the data, taken before the schema changes under it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, MetaData, select

from store.address import Address


def copy_file(path: Path, revision: str) -> Path:
    """Copy a SQLite file, whole even while others write to it, to `<name>.bak-<revision>` beside it."""
    target = _free(path.with_name(f"{path.name}.bak-{revision}"))
    part = target.with_name(f"{target.name}.part")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def dump(connection: Connection, folder: Path, revision: str) -> Path:
    """Write all rows to `postgresql.bak-<revision>.jsonl`: a line is {"table": name, "row": {column: value}}."""
    folder.mkdir(parents=True, exist_ok=True)
    target = _free(folder / f"postgresql.bak-{revision}.jsonl")
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.writelines(_lines(connection))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _lines(connection: Connection) -> Iterator[str]:
    found = MetaData()
    found.reflect(connection)
    for table in found.sorted_tables:
        for row in connection.execute(select(table)).mappings():
            yield json.dumps({"table": table.name, "row": dict(row)}, default=str) + "\n"


def save(connection: Connection, address: Address, folder: Path, revision: str, drops_all: bool) -> Path | None:
    """Copy what the change could lose. A PostgreSQL is dumped only before all its tables go."""
    if address.file:
        return copy_file(address.file, revision)
    return dump(connection, folder, revision) if drops_all else None


def _free(path: Path) -> Path:
    """`path`, or `path` with a number: a backup is never written over another."""
    number = 2
    free = path
    while free.exists():
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free
