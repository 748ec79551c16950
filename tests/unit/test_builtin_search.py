"""find-in-files."""

import time
from pathlib import Path

import pytest

from holdfast.errors import SkillInputError
from tests.support.builtin import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_matches_come_by_path_and_line_with_their_surroundings(desk: Desk) -> None:
    desk.put("b.py", "one\r\nprice = 1\r\nthree\r\n")
    desk.put("a/ä.py", "the price\nprice twice: price")
    answer = desk("find-in-files", pattern="price", context_lines=1)
    assert [(match["path"], match["line"], match["column"]) for match in answer["matches"]] == [
        ("a/ä.py", 1, 5),
        ("a/ä.py", 2, 1),
        ("b.py", 2, 1),
    ]
    assert answer["matches"][2] == answer["matches"][2] | {"text": "price = 1", "before": ["one"], "after": ["three"]}
    assert (answer["files_searched"], answer["files_with_matches"], answer["truncated"]) == (2, 2, False)


def test_a_pattern_is_taken_as_it_is_unless_it_is_said_to_be_an_expression(desk: Desk) -> None:
    desk.put("t.txt", "a.c\nabc\nA.C\n")
    assert [match["line"] for match in desk("find-in-files", pattern="a.c")["matches"]] == [1]
    assert [match["line"] for match in desk("find-in-files", pattern="a.c", regex=True)["matches"]] == [1, 2]
    assert [match["line"] for match in desk("find-in-files", pattern="a.c", ignore_case=True)["matches"]] == [1, 3]


def test_only_chosen_files_are_searched(desk: Desk) -> None:
    for path in ("src/a.py", "src/b.txt", "tests/a.py"):
        desk.put(path, "needle")
    assert [
        match["path"] for match in desk("find-in-files", pattern="needle", path="src", glob="**/*.py")["matches"]
    ] == ["src/a.py"]
    assert [match["path"] for match in desk("find-in-files", pattern="needle", path="src/b.txt")["matches"]] == [
        "src/b.txt"
    ]
    assert desk("find-in-files", pattern="needle", glob="*.md")["files_searched"] == 0


def test_a_runaway_expression_costs_its_file_a_second_and_no_other(desk: Desk) -> None:
    desk.put("evil.txt", "a" * 60 + "b\n")
    desk.put("fine.txt", "aaac\n")
    begun = time.monotonic()
    answer = desk("find-in-files", pattern="(a+)+c", regex=True)
    assert time.monotonic() - begun < 5
    assert [match["path"] for match in answer["matches"]] == ["fine.txt"]
    assert [(skipped["path"], skipped["why"]) for skipped in answer["skipped"]] == [
        ("evil.txt", "the expression took longer than 1 s here; make it simpler")
    ]


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?P<x>", "a{3,1}", "(?<=a*)b", "\\"])
def test_a_bad_expression_is_explained(desk: Desk, pattern: str) -> None:
    desk.put("t.txt", "x")
    with pytest.raises(SkillInputError, match=r"is no regular expression: .* With regex=false") as caught:
        desk("find-in-files", pattern=pattern, regex=True)
    assert not caught.value.retryable


def test_what_cannot_be_searched_is_said(desk: Desk) -> None:
    desk.put(".env", "needle")
    desk.put("binary.bin", b"\0needle")
    desk.put("large.log", "needle\n" * 200_000)
    desk.put("ok.txt", "needle")
    answer = desk("find-in-files", pattern="needle")
    assert [match["path"] for match in answer["matches"]] == ["ok.txt"]
    assert [skipped["path"] for skipped in answer["skipped"]] == [".env", "binary.bin", "large.log"]
    assert "needle" not in str(answer["skipped"])


def test_many_matches_and_long_lines_are_cut(desk: Desk) -> None:
    desk.put("many.txt", "x\n" * 50)
    desk.put("wide.txt", "y" * 10_000)
    many = desk("find-in-files", pattern="x", limit=5)
    assert (len(many["matches"]), many["truncated"]) == (5, True)
    assert len(desk("find-in-files", pattern="y")["matches"][0]["text"]) == 500


def test_a_workspace_beyond_the_bounds_is_searched_in_part(desk: Desk) -> None:
    for number in range(40):
        desk.put(f"{number:02}.txt", "z" * (1 << 20))
    answer = desk("find-in-files", pattern="z")
    assert answer["files_searched"] == 32
    assert [skipped["path"] for skipped in answer["skipped"]] == ["32.txt"]
    assert "narrow path or glob" in answer["skipped"][0]["why"]
