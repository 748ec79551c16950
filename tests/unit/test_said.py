"""What a model reads of a task's input."""

import json
from typing import Any

import pytest

from holdfast.errors import InvalidRequest, TooLarge
from holdfast.said import MAX_REST_BYTES, MAX_TEXT_BYTES, brief, plain, said


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("  Review it. ", "Review it."),
        ({"prompt": "Review it."}, "Review it."),
        ({"task": "Review it."}, "Review it."),
        ({"query": "second", "message": "first"}, 'first\n\nInput:\n{"query": "second"}'),
        ({"text": "", "question": "Why?"}, 'Why?\n\nInput:\n{"text": ""}'),
        ({"text": "größe", "n": 1}, 'größe\n\nInput:\n{"n": 1}'),
        ({"text": "Who?", "user_email": "f" * 64}, "Who?"),
        ({"rows": [1, 2]}, '{"rows": [1, 2]}'),
        ({"prompt": 7}, '{"prompt": 7}'),
        ([1, "ä"], '[1, "ä"]'),
        (0, "0"),
        (False, "false"),
    ],
)
def test_text_is_found_in_any_input(given: Any, text: str) -> None:
    assert said(given) == text


@pytest.mark.parametrize("given", [None, "", " \n\t", {}, []])
def test_nothing_said_is_refused_with_what_is_needed(given: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"input: found .* one of prompt, task, text"):
        said(given)


@pytest.mark.parametrize("given", [{"text": "Sum up", "rows": "é" * MAX_REST_BYTES}, {"rows": "é" * MAX_REST_BYTES}])
def test_what_stands_beside_the_text_is_cut_and_says_so(given: Any) -> None:
    text = said(given)
    assert text.endswith("… (cut here; the program sees all of it as `inputs`)")
    assert len(text.encode()) < MAX_REST_BYTES + 200
    assert "\ufffd" not in text


def test_text_has_a_limit_that_is_told() -> None:
    assert len(said("x" * MAX_TEXT_BYTES)) == MAX_TEXT_BYTES
    with pytest.raises(TooLarge, match=rf"{MAX_TEXT_BYTES + 1} bytes; {MAX_TEXT_BYTES} are allowed.*`inputs`"):
        said({"text": "x" * (MAX_TEXT_BYTES + 1)})


def test_plain_text_leaves_out_what_stands_beside_it() -> None:
    assert plain({"task": "Do it", "n": 1}) == "Do it"
    assert json.loads(plain({"n": 1})) == {"n": 1}


def test_summary_is_one_short_line() -> None:
    assert brief("a\n  b") == "a b"
    assert len(brief("word " * 100)) == 100
