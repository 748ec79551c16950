"""What the offline provider reads off a sentence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.offline.task import Place, read

PLACES: list[tuple[str, list[Place]]] = [
    ("Review examples/inventory.", [Place("examples/inventory")]),
    ("Review ./src/, please", [Place("src")]),
    ("read 'my notes/über uns.txt'", [Place("my notes/über uns.txt")]),
    ('read "Größen 2026.csv"', [Place("Größen 2026.csv")]),
    ("read größen.csv", [Place("größen.csv")]),
    ("profile data/*.csv", [Place("data", "*.csv")]),
    ("profile *.csv and x.json!", [Place(".", "**/*.csv"), Place("x.json")]),
    ("list src/**/*.py", [Place("src", "**/*.py")]),
    ("files in examples", [Place("examples")]),
    ("the shop folder", [Place("shop")]),
    ("folder shop", [Place("shop")]),
    ("in Python, e.g. and/or I/O, see https://a.example/b/c.html", []),
    ("version 1.5 of node.js at example.com", []),
    ("src, src and src", [Place("src")]),
]


@pytest.mark.parametrize(("text", "places"), PLACES)
def test_paths_are_recognised(text: str, places: list[Place]) -> None:
    assert list(read(text).all_places) == places


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("find 'a b' and “c” and `d(`", "quoted", ("a b", "c", "d(")),
        ("find MAX_SIZE, reorder_level and f(", "quoted", ("MAX_SIZE", "reorder_level", "f(")),
        ("the word price", "quoted", ("price",)),
        ("don't and can't", "quoted", ()),
        ("see https://a.example/b.", "urls", ("https://a.example/b",)),
        ("wait 10 or 2.5 or -1", "numbers", ("10", "2.5", "-1")),
        ("a=1 b='x y' c=\"z\"", "pairs", {"a": "1", "b": "x y", "c": "z"}),
        ("save x to out/a.md", "targets", ("out/a.md",)),
        ("Please summarise and analyse it", "words", ("summarize", "analyze")),
    ],
)
def test_other_pieces_are_recognised(text: str, field: str, value: Any) -> None:
    assert getattr(read(text), field) == value


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    said = read(text)
    assert all(place.path for place in said.all_places)
    assert said.words == tuple(dict.fromkeys(said.words))
