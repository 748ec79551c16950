"""What stands in a clean table: types, figures and odd values of each column, by duckdb in bounded memory.

Its SQL is put together from constants, numbers and columns that we named (c0, c1, …), never from texts of a file.
"""

# ruff: noqa: S608 - see above

from pathlib import Path
from typing import Any

import duckdb
from kinds import DATE, DATE_KINDS, FAMILY_SQL, family_of, kind_sql, quoted, type_of
from rows import Problems

_MEMORY = "384MB"
_DISK = "1GB"
_MAX_TEXT = 100
_MAX_KEYS = 20
_MAX_NOTED = 1000
_MAX_ROWS = 10
_ROWS = f"list_slice(list(r ORDER BY r), 1, {_MAX_ROWS + 1})"
_KEY_NAMES = ("id", "sku", "key", "code", "ean", "isbn", "uuid", "number", "no", "nr")


def connected(readable: Path, spill: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory that may read one file, write nothing but its own overflow, and load no extension."""
    db = duckdb.connect(":memory:")
    for setting, value in {
        "threads": "1",
        "memory_limit": _MEMORY,
        "temp_directory": str(spill),
        "max_temp_directory_size": _DISK,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }.items():
        db.execute(f"SET {setting} = {quoted(value)}")
    db.execute(f"SET allowed_paths = [{quoted(str(readable))}]")
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")
    return db


def load_csv(db: duckdb.DuckDBPyConnection, place: Path, width: int) -> None:
    """Table `t`: r, the number of the row; c0, c1, … trimmed texts or null; s0, … whether there was space around."""
    types = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(width))
    cells = ", ".join(f"nullif(trim(c{i}), '') AS c{i}, c{i} <> trim(c{i}) AS s{i}" for i in range(width))
    options = (
        "header=false, auto_detect=false, delim=',', quote='\"', escape='\"', parallel=false, max_line_size=8388608"
    )
    source = f"read_csv({quoted(str(place))}, columns={{{types}}}, {options})"
    db.execute(f"CREATE TABLE t AS SELECT row_number() OVER () AS r, {cells} FROM {source}")


def load_parquet(db: duckdb.DuckDBPyConnection, place: Path, max_rows: int) -> tuple[list[str], list[str]]:
    """The same table from a parquet file. Gives its columns' names and the types they are stored as."""
    source = f"read_parquet({quoted(str(place))})"
    described = db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    renamed = ", ".join(f"c{i}" for i in range(len(described)))
    cells = ", ".join(f"nullif(trim(CAST(c{i} AS VARCHAR)), '') AS c{i}, false AS s{i}" for i in range(len(described)))
    db.execute(
        f"CREATE TABLE t AS SELECT row_number() OVER () AS r, {cells} "
        f"FROM (SELECT * FROM {source} LIMIT {max_rows}) AS x({renamed})"
    )
    return [str(row[0]) for row in described], [str(row[1]) for row in described]


class Columns:
    """Figures of all columns of table `t`; what looks wrong goes to `problems`."""

    def __init__(self, db: duckdb.DuckDBPyConnection, names: list[str], problems: Problems) -> None:
        self._db = db
        self._names = names
        self._problems = problems
        self.rows = int(self._one("SELECT count(*) FROM t")[0])

    def all(self) -> list[dict[str, Any]]:
        return [self._column(f"c{place}", f"s{place}", name) for place, name in enumerate(self._names)]

    def duplicates(self) -> dict[str, Any]:
        """Rows that stand there more than once as a whole, and values that repeat in a column of keys."""
        cells = ", ".join(f"c{place}" for place in range(len(self._names)))
        groups = f"FROM t GROUP BY {cells} HAVING count(*) > 1"
        (total,) = self._one(f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n {groups})")
        for (rows,) in self._db.execute(f"SELECT {_ROWS} {groups} ORDER BY min(r) LIMIT {_MAX_NOTED}").fetchall():
            self._problems.note("copies", f"the same row stands in {_places(rows)}", rows[1])
        keys = [key for place, name in enumerate(self._names) for key in self._repeated(f"c{place}", name, place)]
        return {"rows": int(total), "keys": keys[:_MAX_KEYS]}

    def _repeated(self, cell: str, name: str, place: int) -> list[dict[str, Any]]:
        filled, distinct = self._one(f"SELECT count({cell}), count(DISTINCT {cell}) FROM t")
        if not _is_key(name, place) or distinct == filled or distinct < 0.6 * filled:
            return []
        found = self._db.execute(
            f"SELECT {cell}, {_ROWS} FROM t WHERE {cell} IS NOT NULL GROUP BY {cell} HAVING count(*) > 1 "
            f"ORDER BY min(r) LIMIT {_MAX_NOTED}"
        ).fetchall()
        for value, rows in found:
            self._problems.note(
                f"key:{name}", f"{_cut(value)!r} stands in {_places(rows)}; most values here are unique", rows[1], name
            )
        return [{"column": name, "value": _cut(value), "rows": rows[:_MAX_ROWS]} for value, rows in found]

    def _column(self, cell: str, spaced: str, name: str) -> dict[str, Any]:
        self._db.execute(
            f"CREATE OR REPLACE TEMP TABLE k AS SELECT r, {cell} AS v, {spaced} AS s, {kind_sql(cell)} AS kind FROM t"
        )
        counts = dict(
            self._db.execute("SELECT kind, count(*) FROM k WHERE v IS NOT NULL GROUP BY kind ORDER BY kind").fetchall()
        )
        family = family_of(counts)
        nulls, distinct = self._one("SELECT count(*) - count(v), count(DISTINCT v) FROM k")
        self._note_odd(name, family, counts, int(nulls))
        facts = {"name": name, "type": type_of(family, counts), "nulls": int(nulls), "distinct": int(distinct)}
        return facts | self._range(family) | {"examples": self._examples()}

    def _range(self, family: str) -> dict[str, Any]:
        match family:
            case "number":
                return self._numbers()
            case "date":
                low, high = self._one(f"SELECT min({DATE}), max({DATE}) FROM k WHERE kind IN ({DATE_KINDS})")
                return {"min": str(low), "max": str(high)}
            case "empty":
                return {"min": None, "max": None}
            case _:
                low, high = self._one("SELECT min(v), max(v) FROM k")
                return {"min": _cut(low), "max": _cut(high)}

    def _numbers(self) -> dict[str, Any]:
        low, high, mean, negatives, whole = self._one(
            "SELECT min(n), max(n), avg(n), count(*) FILTER (n < 0), bool_and(kind = 'integer') FROM "
            "(SELECT CAST(v AS DOUBLE) AS n, kind FROM k WHERE kind IN ('integer', 'decimal'))"
        )
        low, high = (int(low), int(high)) if whole else (low, high)
        return {"min": low, "max": high, "mean": round(mean, 6), "negatives": int(negatives)}

    def _examples(self) -> list[str]:
        found = self._db.execute("SELECT v FROM k WHERE v IS NOT NULL GROUP BY v ORDER BY min(r) LIMIT 3").fetchall()
        return [_cut(value) for (value,) in found]

    def _note_odd(self, name: str, family: str, counts: dict[str, int], nulls: int) -> None:
        filled = self.rows - nulls
        if 0 < nulls <= 0.2 * self.rows:
            self._note("v IS NULL", f"empty:{name}", name, "has no value")
        self._note("s", f"space:{name}", name, "{value!r} has space around it")
        self._note("kind = 'no value'", f"word:{name}", name, "{value!r} stands for no value, or is no number")
        if family != "text":
            self._note("kind LIKE 'bad %'", f"bad:{name}", name, "{value!r} is no date in the calendar")
            self._note(
                f"{FAMILY_SQL} NOT IN ('{family}', 'odd')",
                f"odd:{name}",
                name,
                f"{{value!r}} is no {family}, as most values here are",
            )
        formats = {kind.removeprefix("date "): count for kind, count in counts.items() if kind.startswith("date ")}
        if len(formats) > 1:
            said = ", ".join(
                f"{name} ({count})" for name, count in sorted(formats.items(), key=lambda item: (-item[1], item[0]))
            )
            self._problems.note(f"formats:{name}", f"dates stand in {len(formats)} formats: {said}", None, name)
        if family == "number":
            negative = "kind IN ('integer', 'decimal') AND v LIKE '-%'"
            if 0 < self._one(f"SELECT count(*) FROM k WHERE {negative}")[0] <= 0.2 * filled:
                self._note(negative, f"negative:{name}", name, "{value} is negative; most values here are not")

    def _note(self, where: str, kind: str, name: str, message: str) -> None:
        for row, value in self._db.execute(
            f"SELECT r, v FROM k WHERE {where} ORDER BY r LIMIT {_MAX_NOTED}"
        ).fetchall():
            self._problems.note(kind, message.format(value=_cut(value)), row, name)

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self._db.execute(query).fetchone()
        assert row is not None
        return row


def _is_key(name: str, place: int) -> bool:
    words = name.casefold().replace("-", "_").split("_")
    return place == 0 or words[-1] in _KEY_NAMES


def _places(rows: list[int]) -> str:
    return f"rows {', '.join(map(str, rows[:_MAX_ROWS]))}{', …' if len(rows) > _MAX_ROWS else ''}"


def _cut(value: str | None) -> str:
    return (value or "")[:_MAX_TEXT]
