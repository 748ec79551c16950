"""Profiles one file in a process of its own: the parser of a hostile file may crash it, and the worker lives on."""

import tempfile
from pathlib import Path
from typing import Any

import duckdb
from facts import Columns, connected, load_csv, load_parquet
from rows import Problems, Refused, Table, read_csv, read_json, read_jsonl

_READERS = {"csv": read_csv, "json": read_json, "jsonl": read_jsonl}


def main(job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="holdfast-profile-", dir=job["folder"]) as folder:
        try:
            return _profiled(job["source"], job["format"], Path(folder), job["max_rows"])
        except (Refused, duckdb.Error, UnicodeDecodeError) as exc:
            why = str(exc).partition("\n")[0].replace(job["source"], "it")[:300]
            return {"refused": f"{job['path']!r} cannot be profiled as {job['format']}: {why}"}


def _profiled(source: str, form: str, folder: Path, max_rows: int) -> dict[str, Any]:
    problems = Problems()
    if form == "parquet":
        return _from_parquet(source, folder, max_rows, problems)
    table = Table(folder / "clean.csv", problems)
    _READERS[form](source, table)
    extra = {"encoding": table.encoding, "delimiter": table.delimiter}
    if not table.rows:
        columns = [{"name": name, "type": "empty", "nulls": 0, "distinct": 0, "examples": []} for name in table.columns]
        return _answer(form, 0, columns, {"rows": 0, "keys": []}, problems) | extra
    db = connected(table.place, folder)
    load_csv(db, table.place, len(table.columns))
    return _measured(form, Columns(db, table.columns, problems), problems) | extra


def _from_parquet(source: str, folder: Path, max_rows: int, problems: Problems) -> dict[str, Any]:
    db = connected(Path(source), folder)
    names, types = load_parquet(db, Path(source), max_rows)
    answer = _measured("parquet", Columns(db, names, problems), problems)
    if answer["rows"] == max_rows:
        problems.note("cut", f"only the first {max_rows} rows were profiled")
        answer["problems"] = problems.listed
    for column, stored in zip(answer["columns"], types, strict=True):
        column["stored_as"] = stored
    return answer | {"encoding": None, "delimiter": None}


def _measured(form: str, columns: Columns, problems: Problems) -> dict[str, Any]:
    found = columns.all()
    return _answer(form, columns.rows, found, columns.duplicates(), problems)


def _answer(
    form: str, rows: int, columns: list[dict[str, Any]], duplicates: dict[str, Any], problems: Problems
) -> dict[str, Any]:
    listed = sorted(problems.listed, key=lambda found: (found["row"] or 0, found["column"] or "", found["message"]))
    return {
        "format": form,
        "rows": rows,
        "columns": columns,
        "problems": listed,
        "problems_found": sum(problems.counts.values()),
        "duplicates": duplicates,
    }
