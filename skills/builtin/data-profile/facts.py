"""What stands in a clean table: types, figures and odd values of each column, by duckdb in bounded memory."""

from pathlib import Path
from typing import Any

import duckdb
from rows import Problems

_MEMORY = "384MB"
_DISK = "1GB"
_FAMILY_SHARE = 0.6
_MAX_TEXT = 100
_MAX_KEYS = 20
_KEY_NAMES = ("id", "sku", "key", "code", "ean", "isbn", "uuid", "number", "no", "nr")

_NO_VALUE = ("nan", "null", "none", "n/a", "na", "nil", "inf", "-inf", "infinity", "-infinity", "-", "?")
_FORMATS = {
    "YYYY-MM-DD": (r"\d{4}-\d{2}-\d{2}", ("%Y-%m-%d",)),
    "YYYY/MM/DD": (r"\d{4}/\d{2}/\d{2}", ("%Y/%m/%d",)),
    "DD.MM.YYYY": (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    "DD/MM/YYYY or MM/DD/YYYY": (r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
}
_TIMESTAMP = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?"
_FAMILIES = {"integer": "number", "decimal": "number", "boolean": "boolean", "timestamp": "date", "text": "text"}


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
        db.execute(f"SET {setting} = {_quoted(value)}")
    db.execute(f"SET allowed_paths = [{_quoted(str(readable))}]")
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")
    return db


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def load_csv(db: duckdb.DuckDBPyConnection, place: Path, width: int) -> None:
    """Table `t`: r, the number of the row, and c0, c1, … as trimmed texts or null; s0, … say whether there was space around."""
    types = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(width))
    cells = ", ".join(f"nullif(trim(c{i}), '') AS c{i}, c{i} <> trim(c{i}) AS s{i}" for i in range(width))
    options = "header=false, auto_detect=false, delim=',', quote='\"', escape='\"', parallel=false, max_line_size=8388608"
    source = f"read_csv({_quoted(str(place))}, columns={{{types}}}, {options})"
    db.execute(f"CREATE TABLE t AS SELECT row_number() OVER () AS r, {cells} FROM {source}")


def load_parquet(db: duckdb.DuckDBPyConnection, place: Path, max_rows: int) -> tuple[list[str], list[str]]:
    """The same table from a parquet file. Gives its columns' names and the types they are stored as."""
    source = f"read_parquet({_quoted(str(place))})"
    described = db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    renamed = ", ".join(f"c{i}" for i in range(len(described)))
    cells = ", ".join(f"nullif(trim(CAST(c{i} AS VARCHAR)), '') AS c{i}, false AS s{i}" for i in range(len(described)))
    db.execute(
        f"CREATE TABLE t AS SELECT row_number() OVER () AS r, {cells} FROM (SELECT * FROM {source} LIMIT {max_rows}) AS x({renamed})"
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
        copies = self._db.execute(
            f"SELECT list(r ORDER BY r) AS rows FROM t GROUP BY {cells} HAVING count(*) > 1 ORDER BY rows[1]"
        ).fetchall()
        for (rows,) in copies:
            self._problems.note("copies", f"the same row stands in {_places(rows)}", rows[1])
        keys = [key for place, name in enumerate(self._names) for key in self._repeated(f"c{place}", name, place)]
        return {"rows": sum(len(rows) - 1 for (rows,) in copies), "keys": keys[:_MAX_KEYS]}

    def _repeated(self, cell: str, name: str, place: int) -> list[dict[str, Any]]:
        filled, distinct = self._one(f"SELECT count({cell}), count(DISTINCT {cell}) FROM t")
        if not _is_key(name, place) or distinct == filled or distinct < 0.6 * filled:
            return []
        found = self._db.execute(
            f"SELECT {cell}, list(r ORDER BY r) AS rows FROM t WHERE {cell} IS NOT NULL GROUP BY {cell} HAVING count(*) > 1 ORDER BY rows[1]"
        ).fetchall()
        for value, rows in found:
            self._problems.note(f"key:{name}", f"{_cut(value)!r} stands in {_places(rows)}; most values here are unique", rows[1], name)
        return [{"column": name, "value": _cut(value), "rows": rows[:10]} for value, rows in found]

    def _column(self, cell: str, spaced: str, name: str) -> dict[str, Any]:
        self._db.execute(f"CREATE OR REPLACE TEMP TABLE k AS SELECT r, {cell} AS v, {spaced} AS s, {_kind_sql(cell)} AS kind FROM t")
        counts = dict(self._db.execute("SELECT kind, count(*) FROM k WHERE v IS NOT NULL GROUP BY kind ORDER BY kind").fetchall())
        family = _family(counts)
        nulls, distinct = self._one("SELECT count(*) - count(v), count(DISTINCT v) FROM k")
        self._note_odd(name, family, counts, int(nulls))
        facts = {"name": name, "type": _type(family, counts), "nulls": int(nulls), "distinct": int(distinct)}
        return facts | self._range(family) | {"examples": self._examples()}

    def _range(self, family: str) -> dict[str, Any]:
        match family:
            case "number":
                return self._numbers()
            case "date":
                low, high = self._one(f"SELECT min({_DATE}), max({_DATE}) FROM k WHERE kind IN ({_DATE_KINDS})")
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
            self._note(f"{_FAMILY_SQL} NOT IN ('{family}', 'odd')", f"odd:{name}", name, f"{{value!r}} is no {family}, as most values here are")
        formats = {kind.removeprefix("date "): count for kind, count in counts.items() if kind.startswith("date ")}
        if len(formats) > 1:
            said = ", ".join(f"{name} ({count})" for name, count in sorted(formats.items(), key=lambda item: (-item[1], item[0])))
            self._problems.note(f"formats:{name}", f"dates stand in {len(formats)} formats: {said}", None, name)
        if family == "number":
            negative = "kind IN ('integer', 'decimal') AND v LIKE '-%'"
            if 0 < self._one(f"SELECT count(*) FROM k WHERE {negative}")[0] <= 0.2 * filled:
                self._note(negative, f"negative:{name}", name, "{value} is negative; most values here are not")

    def _note(self, where: str, kind: str, name: str, message: str) -> None:
        for row, value in self._db.execute(f"SELECT r, v FROM k WHERE {where} ORDER BY r LIMIT 1000").fetchall():
            self._problems.note(kind, message.format(value=_cut(value)), row, name)

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self._db.execute(query).fetchone()
        assert row is not None
        return row


def _parsed(value: str, formats: tuple[str, ...]) -> str:
    return f"try_strptime({value}, [{', '.join(map(_quoted, formats))}])"


def _kind_sql(cell: str) -> str:
    dates = "".join(
        f"WHEN regexp_full_match({cell}, {_quoted(shape)}) THEN "
        f"CASE WHEN {_parsed(cell, formats)} IS NULL THEN 'bad {name}' ELSE 'date {name}' END "
        for name, (shape, formats) in _FORMATS.items()
    )
    words = ", ".join(map(_quoted, _NO_VALUE))
    return (
        f"CASE WHEN {cell} IS NULL THEN NULL "
        rf"WHEN regexp_full_match({cell}, '[+-]?(0|[1-9]\d{{0,17}})') THEN 'integer' "
        rf"WHEN regexp_full_match({cell}, '[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d{{1,2}})?') AND NOT regexp_full_match({cell}, '[+-]?0\d+') "
        f"THEN 'decimal' "
        f"WHEN lower({cell}) IN ({words}) THEN 'no value' "
        f"WHEN lower({cell}) IN ('true', 'false', 'yes', 'no') THEN 'boolean' "
        f"{dates}"
        f"WHEN regexp_full_match({cell}, {_quoted(_TIMESTAMP)}) THEN CASE WHEN try_cast({cell} AS TIMESTAMPTZ) IS NULL "
        f"AND try_cast({cell} AS TIMESTAMP) IS NULL THEN 'bad timestamp' ELSE 'timestamp' END "
        f"ELSE 'text' END"
    )


_FAMILY_SQL = (
    "CASE WHEN kind IN ('integer', 'decimal') THEN 'number' WHEN kind LIKE 'date %' OR kind = 'timestamp' THEN 'date' "
    "WHEN kind LIKE 'bad %' OR kind = 'no value' OR kind IS NULL THEN 'odd' ELSE kind END"
)
_DATE_KINDS = ", ".join([*(_quoted(f"date {name}") for name in _FORMATS), "'timestamp'"])
_DATE = (
    "CASE "
    + " ".join(f"WHEN kind = {_quoted(f'date {name}')} THEN strftime({_parsed('v', formats)}, '%Y-%m-%d')" for name, (_, formats) in _FORMATS.items())
    + " ELSE replace(v, ' ', 'T') END"
)


def _family(counts: dict[str, int]) -> str:
    """What at least six of ten values are; else text. Dates that are not in the calendar were meant as dates."""
    families: dict[str, int] = {}
    for kind, count in counts.items():
        if kind != "no value":
            family = "date" if kind.startswith(("date ", "bad ")) else _FAMILIES[kind]
            families[family] = families.get(family, 0) + count
    if not families:
        return "empty"
    best = max(families, key=lambda family: (families[family], family))
    return best if families[best] >= _FAMILY_SHARE * sum(families.values()) else "text"


def _type(family: str, counts: dict[str, int]) -> str:
    if family == "number":
        return "decimal" if "decimal" in counts else "integer"
    return "timestamp" if family == "date" and not any(kind.startswith("date ") for kind in counts) else family


def _is_key(name: str, place: int) -> bool:
    words = name.casefold().replace("-", "_").split("_")
    return place == 0 or words[-1] in _KEY_NAMES


def _places(rows: list[int]) -> str:
    return f"rows {', '.join(map(str, rows[:10]))}{', …' if len(rows) > 10 else ''}"


def _cut(value: str | None) -> str:
    return (value or "")[:_MAX_TEXT]
