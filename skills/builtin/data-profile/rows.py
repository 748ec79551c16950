"""Reads messy tables into clean ones: every row as wide as the header, every oddity noted with its row.

Rows count from 1, the first after the header. Cells are texts; an empty cell is no value.
"""

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

MAX_COLUMNS = 500
_MAX_FIELD = 1 << 20
_MAX_NOTED = 20
_LONG_RECORD = 20

Row = list[str]


class Refused(Exception):
    """The file cannot be read as a table at all."""


class Problems:
    """Problems with a bound for each kind: the first twenty are listed, all are counted."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}

    def note(self, kind: str, message: str, row: int | None = None, column: str | None = None) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= _MAX_NOTED:
            self.listed.append({"row": row, "column": column, "message": message})


class Table:
    """Where the clean rows are, and what is known about them."""

    def __init__(self, place: Path, problems: Problems) -> None:
        self.place = place
        self.problems = problems
        self.columns: list[str] = []
        self.rows = 0
        self.encoding: str | None = None
        self.delimiter: str | None = None

    def write(self, columns: list[str], rows: Iterable[Row]) -> None:
        """Writes rows that are as wide as the header."""
        self.columns = columns
        with self.place.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            for row in rows:
                writer.writerow([cell.replace("\0", "") for cell in row])
                self.rows += 1


def read_csv(source: str, table: Table) -> None:
    table.encoding = _encoding(source, table.problems)
    csv.field_size_limit(_MAX_FIELD)
    with open(source, encoding=table.encoding, newline="") as file:
        table.delimiter = _delimiter(file.readline())
        file.seek(0)
        records = _records(file, table.delimiter, table.problems)
        header = next((record for record in records if record), None)
        if header is None:
            table.problems.note("empty", "the file is empty; a first row with the names of columns is expected")
            return
        columns = _named(header, table.problems)
        table.write(columns, _fitted(records, len(columns), table.problems))


def _encoding(source: str, problems: Problems) -> str:
    with open(source, "rb") as file:
        start = file.read(4)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        decoder = codecs.getincrementaldecoder("utf-8")()
        file.seek(0)
        try:
            while block := file.read(1 << 20):
                if b"\0" in block:
                    raise Refused("the file is binary; csv, json, jsonl or parquet is expected")
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as exc:
            problems.note("encoding", f"the file is not UTF-8 (byte 0x{exc.object[exc.start]:02x}); read as latin-1")
            return "latin-1"
    return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"


def _delimiter(line: str) -> str:
    """The likeliest of comma, semicolon, tab and bar: the one that stands most often in the header, outside quotes."""
    outside = "".join(line.split('"')[::2])
    return max(",;\t|", key=outside.count)


def _records(file: Iterable[str], delimiter: str, problems: Problems) -> Iterator[Row]:
    reader = csv.reader(file, delimiter=delimiter)
    line = 0
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            problems.note("unreadable", f"line {reader.line_num}: {exc}; the record is left out")
            continue
        if reader.line_num - line > _LONG_RECORD:
            problems.note(
                "quote",
                f"the record at line {line + 1} spans {reader.line_num - line} lines: a quote is probably not closed",
            )
        line = reader.line_num
        yield record


def _named(header: Row, problems: Problems) -> list[str]:
    if len(header) > MAX_COLUMNS:
        raise Refused(f"the header has {len(header)} columns; at most {MAX_COLUMNS} are profiled")
    names: list[str] = []
    for place, cell in enumerate(header, start=1):
        name = cell.strip()[:200]
        if not name or name in names:
            problems.note("header", f"column {place} has {'the name of another' if name else 'no name'}: {name!r}")
            name = f"{name or 'column'}_{place}"
        names.append(name)
    return names


def _fitted(records: Iterable[Row], width: int, problems: Problems) -> Iterator[Row]:
    row = 0
    for record in records:
        if not record:
            problems.note("blank", "a blank line stands before this row; it is left out", row + 1)
            continue
        row += 1
        if len(record) != width:
            problems.note("ragged", f"has {len(record)} values; the header has {width}", row)
        yield (record + [""] * width)[:width]


class _NotJson:
    """Stands for NaN and infinities, which Python's parser reads though JSON has none."""

    def __init__(self, text: str) -> None:
        self.text = text


def read_json(source: str, table: Table) -> None:
    try:
        found = json.loads(_text(source, table), parse_constant=_NotJson)
    except (ValueError, RecursionError) as exc:
        raise Refused(f"the file is no JSON: {exc}") from exc
    _write_objects(list(enumerate(_items(found), start=1)), table)


def read_jsonl(source: str, table: Table) -> None:
    items: list[tuple[int, Any]] = []
    for line, text in enumerate(_text(source, table).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            items.append((line, json.loads(text, parse_constant=_NotJson)))
        except (ValueError, RecursionError) as exc:
            table.problems.note("unreadable", f"line {line} is no JSON: {exc}; it is left out")
    _write_objects([(row, item) for row, (_, item) in enumerate(items, start=1)], table)


def _text(source: str, table: Table) -> str:
    table.encoding = _encoding(source, table.problems)
    with open(source, encoding=table.encoding, newline="") as file:
        return file.read()


def _items(found: Any) -> list[Any]:
    """A list; or the one list of objects in an object; or the object as the only row."""
    if isinstance(found, list):
        return found
    lists = [value for value in found.values() if isinstance(value, list)] if isinstance(found, dict) else []
    return lists[0] if len(lists) == 1 and all(isinstance(item, dict) for item in lists[0]) else [found]


def _write_objects(items: list[tuple[int, Any]], table: Table) -> None:
    rows = [(row, item if isinstance(item, dict) else {"value": item}) for row, item in items]
    columns = list(dict.fromkeys(str(name) for _, item in rows for name in item))
    if len(columns) > MAX_COLUMNS:
        raise Refused(f"the objects have {len(columns)} different names; at most {MAX_COLUMNS} are profiled")
    if not rows:
        table.problems.note("empty", "the file holds no rows")
    _note_mixed(columns, rows, table.problems)
    table.write(
        columns, ([_cell(item.get(name), row, name, table.problems.note) for name in columns] for row, item in rows)
    )


def _note_mixed(columns: list[str], rows: list[tuple[int, dict[str, Any]]], problems: Problems) -> None:
    for name in columns:
        kinds: dict[str, list[int]] = {}
        for row, item in rows:
            if name in item and item[name] is not None:
                kinds.setdefault(_kind(item[name]), []).append(row)
        usual = max(kinds, key=lambda kind: (len(kinds[kind]), kind), default="")
        for kind in sorted(set(kinds) - {usual}):
            for row in kinds[kind]:
                problems.note(f"kind:{name}", f"is a {kind}; most values here are a {usual}", row, name)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float() | _NotJson():
            return "number"
        case str():
            return "string"
        case _:
            return "list" if isinstance(value, list) else "object"


def _cell(value: Any, row: int, name: str, note: Callable[..., None]) -> str:
    match value:
        case None:
            return ""
        case _NotJson():
            note("nan", f"{value.text} is not JSON; taken as no value", row, name)
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False, default=lambda found: found.text)
