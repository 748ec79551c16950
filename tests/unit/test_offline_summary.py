"""Extractive summaries: whole sentences, the central ones, within the budget."""

import pytest

from providers.offline.summary import extract, sentences


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One is here. Two is there! Three?", ["One is here.", "Two is there!", "Three?"]),
        (
            "# Title\n\nA text\nover two lines.\n\n- a point\n- another",
            ["Title", "A text over two lines.", "a point", "another"],
        ),
        ("Version 1.5 of e.g. this. Ärger kommt.", ["Version 1.5 of e.g. this.", "Ärger kommt."]),
        ("Same. Same. Same.", ["Same."]),
        ("  \n ... \n", []),
    ],
)
def test_a_text_is_cut_into_sentences(text: str, found: list[str]) -> None:
    assert sentences(text) == found


STORY = "Bees make honey. Honey is sold by the farm. Rain fell. The farm keeps bees for honey."


def test_the_central_sentences_stay_in_their_order() -> None:
    kept = extract(STORY, 70, len)
    assert "Rain fell." not in kept
    assert kept == [each for each in sentences(STORY) if each in kept]


@pytest.mark.parametrize("budget", [1, 10, 40, 1000])
def test_the_budget_holds(budget: int) -> None:
    assert len(" ".join(extract(STORY, budget, len))) <= budget


def test_a_budget_in_words_holds() -> None:
    assert sum(len(each.split()) for each in extract(STORY, 8, lambda text: len(text.split()))) <= 8


def test_a_long_text_takes_no_more_than_its_first_part_into_account() -> None:
    many = " ".join(f"Sentence number {number} is about topic {number % 7}." for number in range(3000))
    assert len(" ".join(extract(many, 500, len))) <= 500
