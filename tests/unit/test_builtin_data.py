"""data-profile."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from holdfast.errors import SkillInputError
from skills.paths import FileUnfit
from tests.support.builtin import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def profile(desk: Desk, name: str, content: str | bytes, **arguments: Any) -> Any:
    desk.put(name, content)
    return desk("data-profile", path=name, **arguments)


def column(answer: Any, name: str) -> Any:
    return next(found for found in answer["columns"] if found["name"] == name)


def told(answer: Any) -> list[tuple[int | None, str | None, str]]:
    return [(problem["row"], problem["column"], problem["message"]) for problem in answer["problems"]]


def test_a_clean_table_has_types_figures_and_no_problem(desk: Desk) -> None:
    answer = profile(
        desk,
        "t.csv",
        "id,name,price,day,ok\n1,Käse,1.5,2026-01-02,yes\n2,Öl,2.5,2026-01-01,no\n3,Tee,5,2026-03-01,yes\n",
    )
    assert (answer["rows"], answer["problems"], answer["duplicates"]) == (3, [], {"rows": 0, "keys": []})
    assert [found["type"] for found in answer["columns"]] == ["integer", "text", "decimal", "date", "boolean"]
    assert column(answer, "price") == {
        "name": "price",
        "type": "decimal",
        "nulls": 0,
        "distinct": 3,
        "min": 1.5,
        "max": 5.0,
        "mean": 3.0,
        "negatives": 0,
        "examples": ["1.5", "2.5", "5"],
    }
    assert (column(answer, "day")["min"], column(answer, "day")["max"]) == ("2026-01-01", "2026-03-01")


MESSY = """\ufeffsku,stock,price,added
A-1,5,1.20,2026-01-03
A-2,x,,03.01.2026
A-3,-4,3.5,2026-02-30
A-1,7,2.1,2026-01-03,extra

A-5,NaN,1.1,01/02/2026
A-6, 3,1.1
A-7,3,1.1,2026-01-04
A-7,3,1.1,2026-01-04
"""


def test_a_messy_table_is_described_row_by_row(desk: Desk) -> None:
    answer = profile(desk, "t.csv", MESSY)
    assert (answer["rows"], answer["encoding"]) == (8, "utf-8-sig")
    assert told(answer) == [
        (None, "added", "dates stand in 3 formats: YYYY-MM-DD (4), DD.MM.YYYY (1), DD/MM/YYYY or MM/DD/YYYY (1)"),
        (2, "price", "has no value"),
        (2, "stock", "'x' is no number, as most values here are"),
        (3, "added", "'2026-02-30' is no date in the calendar"),
        (3, "stock", "-4 is negative; most values here are not"),
        (4, None, "has 5 values; the header has 4"),
        (4, "sku", "'A-1' stands in rows 1, 4; most values here are unique"),
        (5, None, "a blank line stands before this row; it is left out"),
        (5, "stock", "'NaN' stands for no value, or is no number"),
        (6, None, "has 3 values; the header has 4"),
        (6, "added", "has no value"),
        (6, "stock", "'3' has space around it"),
        (8, None, "the same row stands in rows 7, 8"),
        (8, "sku", "'A-7' stands in rows 7, 8; most values here are unique"),
    ]
    assert answer["problems_found"] == len(answer["problems"])
    assert answer["duplicates"] == {
        "rows": 1,
        "keys": [{"column": "sku", "value": "A-1", "rows": [1, 4]}, {"column": "sku", "value": "A-7", "rows": [7, 8]}],
    }


def test_facts_that_are_ordinary_are_no_problems(desk: Desk) -> None:
    rows = "".join(f"{number % 3},{-number},{'' if number % 2 else 'x'}\n" for number in range(1, 40))
    answer = profile(desk, "bookings.csv", f"kind,amount,note\n{rows}")
    assert [problem for problem in told(answer) if problem[1]] == []
    assert column(answer, "amount")["negatives"] == 39
    assert column(answer, "note")["nulls"] == 20


@pytest.mark.parametrize(
    ("line", "delimiter"), [("a;b;c", ";"), ("a\tb\tc", "\t"), ("a|b|c", "|"), ('"a,x";b;c', ";"), ("a", ",")]
)
def test_the_delimiter_is_found_in_the_header(desk: Desk, line: str, delimiter: str) -> None:
    answer = profile(desk, "t.csv", f"{line}\n{line}\n")
    assert (answer["delimiter"], len(answer["columns"]), answer["problems"]) == (
        delimiter,
        line.count(delimiter) + 1,
        [],
    )


def test_quotes_line_breaks_and_delimiters_in_values_are_kept(desk: Desk) -> None:
    answer = profile(desk, "t.csv", 'id,text\n1,"a, ""b""\nc"\n2,"d\te"\n')
    assert (answer["rows"], answer["problems"]) == (2, [])
    assert column(answer, "text")["examples"] == ['a, "b"\nc', "d\te"]


def test_codes_with_leading_zeros_are_text(desk: Desk) -> None:
    answer = profile(desk, "t.csv", "ean,zip\n04006381,01067\n04006382,10115\n04006383,20095\n")
    assert [found["type"] for found in answer["columns"]] == ["text", "integer"]
    assert ("zip", "'01067' is no number, as most values here are") in [problem[1:] for problem in told(answer)]


def test_days_with_times_are_timestamps(desk: Desk) -> None:
    answer = profile(
        desk, "t.csv", "at\n2026-01-01T10:00:00Z\n2026-01-01 09:00\n2026-01-01T25:00:00\n2026-01-02T00:00:00.5+01:00\n"
    )
    assert column(answer, "at")["type"] == "timestamp"
    assert told(answer) == [(3, "at", "'2026-01-01T25:00:00' is no date in the calendar")]


def test_a_header_with_gaps_and_repeats_gets_names(desk: Desk) -> None:
    answer = profile(desk, "t.csv", "a,,a\n1,2,3\n")
    assert [found["name"] for found in answer["columns"]] == ["a", "column_2", "a_3"]
    assert len(answer["problems"]) == 2


def test_another_encoding_is_said(desk: Desk) -> None:
    answer = profile(desk, "t.csv", "name\nKäse\n".encode("latin-1"))
    assert (answer["encoding"], column(answer, "name")["examples"]) == ("latin-1", ["Käse"])
    assert told(answer) == [(None, None, "the file is not UTF-8 (byte 0xe4); read as latin-1")]
    assert profile(desk, "u.csv", "name\nKäse\n".encode("utf-16"))["columns"][0]["examples"] == ["Käse"]


def test_a_quote_that_is_never_closed_is_noticed(desk: Desk) -> None:
    answer = profile(desk, "t.csv", 'a,b\n1,"x\n' + "2,y\n" * 40)
    assert (answer["rows"], "a quote is probably not closed" in str(told(answer))) == (1, True)


def test_a_flood_of_problems_is_listed_in_part_and_counted(desk: Desk) -> None:
    answer = profile(desk, "t.csv", "a,b\n" + "1\n" * 500)
    assert len([problem for problem in told(answer) if "values; the header" in problem[2]]) == 20
    assert answer["problems_found"] >= 500


EMPTY = {"empty.csv": "", "header.csv": "a,b\n", "empty.jsonl": "", "list.json": "[]", "blank.csv": "\n\n\n"}


@pytest.mark.parametrize("name", EMPTY)
def test_a_file_without_rows_has_an_answer(desk: Desk, name: str) -> None:
    assert profile(desk, name, EMPTY[name])["rows"] == 0


def test_json_lists_and_the_one_list_in_an_object_are_tables(desk: Desk) -> None:
    rows = [{"id": 1, "tags": ["a"], "at": {"x": 1}}, {"id": 2, "name": "ä", "tags": []}]
    listed = profile(desk, "a.json", json.dumps(rows))
    wrapped = profile(desk, "b.json", json.dumps({"version": 1, "items": rows}))
    assert listed["columns"] == wrapped["columns"]
    assert [found["name"] for found in listed["columns"]] == ["id", "tags", "at", "name"]
    assert profile(desk, "c.json", '{"a": 1, "b": [1, 2]}')["rows"] == 1
    assert column(profile(desk, "d.json", "[1, 2, 4]"), "value")["max"] == 4


def test_values_of_mixed_kinds_and_nan_in_json_are_problems(desk: Desk) -> None:
    answer = profile(
        desk,
        "t.json",
        '[{"i": 1, "n": 1}, {"i": 2, "n": "2"}, {"i": 3, "n": NaN}, {"i": 4, "n": -Infinity}, {"i": 5, "n": 5}]',
    )
    assert told(answer) == [
        (2, "n", "is a string; most values here are a number"),
        (3, "n", "NaN is not JSON; taken as no value"),
        (4, "n", "-Infinity is not JSON; taken as no value"),
    ]
    assert (column(answer, "n")["type"], column(answer, "n")["max"]) == ("integer", 5)


def test_broken_lines_of_jsonl_are_problems(desk: Desk) -> None:
    answer = profile(desk, "t.jsonl", '{"a": 1}\n{"a": \n\n{"a": 3}\nnonsense\n')
    assert answer["rows"] == 2
    assert [message.partition(":")[0] for _, _, message in told(answer)] == ["line 2 is no JSON", "line 5 is no JSON"]


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "broken.json": ('{"a": [1, }', "cannot be profiled as json: the file is no JSON: Expecting value"),
    "deep.json": ("[" * 100_000, "cannot be profiled as json"),
    "bin.csv": (b"a,b\n\0\1\2", "cannot be profiled as csv: the file is binary"),
    "not.parquet": ("a,b\n1,2\n", "cannot be profiled as parquet"),
    "wide.csv": (",".join(map(str, range(600))), "the header has 600 columns; at most 500"),
    "half.csv": ("a\nä\n".encode("utf-16")[:-1], "cannot be profiled as csv"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_table_is_refused_with_the_reason(desk: Desk, name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(SkillInputError, match=message) as caught:
        profile(desk, name, content)
    assert not caught.value.retryable
    assert "/dev/fd" not in str(caught.value)


def test_the_format_is_taken_from_the_ending_or_the_argument(desk: Desk) -> None:
    with pytest.raises(SkillInputError, match="give format: 'csv', 'json', 'jsonl', 'parquet'"):
        profile(desk, "data.xlsx", "a,b\n1,2\n")
    assert desk("data-profile", path="data.xlsx", format="csv")["rows"] == 1
    assert profile(desk, "T.TSV", "a\tb\n1\t2\n")["delimiter"] == "\t"


def test_parquet_is_profiled_with_its_stored_types(desk: Desk) -> None:
    rows = "(1, 'Käse', DATE '2026-01-01', 1.5::DOUBLE, [1]), (2, NULL, DATE '2026-01-02', 'nan'::DOUBLE, [2, 3])"
    columns = 't(id, "odd "" name", day, price, list)'
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {rows}) {columns}) TO '{desk.folder}/t.parquet' (FORMAT parquet)")
    answer = desk("data-profile", path="t.parquet")
    assert [(found["name"], found["type"], found["stored_as"]) for found in answer["columns"]] == [
        ("id", "integer", "INTEGER"),
        ('odd " name', "text", "VARCHAR"),
        ("day", "date", "DATE"),
        ("price", "decimal", "DOUBLE"),
        ("list", "text", "INTEGER[]"),
    ]
    assert ("price", "'nan' stands for no value, or is no number") in [problem[1:] for problem in told(answer)]


def test_nothing_in_a_file_is_run(desk: Desk) -> None:
    stolen = desk.put("other.csv", "secret\nhunter2\n")
    evil = f"1); COPY (SELECT 1) TO '{desk.folder}/made'; SELECT ("
    answer = profile(desk, "t.csv", f'"{evil}",=cmd()\n"\' OR 1=1 --","(SELECT * FROM read_csv(\'{stolen}\'))"\n')
    assert answer["columns"][0]["name"] == evil[:200]
    assert "hunter2" not in str(answer)
    assert sorted(place.name for place in desk.folder.iterdir()) == ["other.csv", "t.csv"]


def test_a_large_table_is_profiled_in_bounded_memory_and_a_larger_file_is_refused(desk: Desk) -> None:
    desk.put(
        "large.csv", "id,text\n" + "".join(f"{number},{number * 7919 % 1_000_003:050}\n" for number in range(200_000))
    )
    answer = desk("data-profile", path="large.csv")
    assert (answer["rows"], column(answer, "text")["distinct"]) == (200_000, 200_000)
    with desk.put("huge.csv", "a\n").open("r+b") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(FileUnfit, match="at most 268435456 of csv are profiled"):
        desk("data-profile", path="huge.csv")
