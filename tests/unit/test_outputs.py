"""What steps hand to each other."""

from typing import Any

import pytest

from holdfast.errors import InvalidRequest
from holdfast.outputs import as_json, filled, passed_on

NAMES: dict[str, Any] = {
    "input": {"topic": "bees", "rows": [{"n": 1}, {"n": 2}]},
    "steps": {"draft": {"state": "done", "output": {"text": "hum"}}, "my-step": {"state": "skipped", "output": None}},
    "output": {"text": "hum"},
    "previous_output": {"text": "hum"},
    "research_findings": {"text": "hum"},
    "previous_feedback": None,
    "iteration": 2,
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${input.topic}", "bees"),
        ("${input.rows}", [{"n": 1}, {"n": 2}]),
        ("${input.rows[1].n}", 2),
        ("  ${steps.draft.output} ", {"text": "hum"}),
        ("${steps.my-step.output}", None),
        ("about ${input.topic}, round ${iteration}: ${output}", 'about bees, round 2: {"text": "hum"}'),
        ({"a": ["${iteration}", 7, None]}, {"a": [2, 7, None]}),
        ("no hole {here} $input", "no hole {here} $input"),
    ],
)
def test_holes_are_filled_with_what_is_there(template: Any, value: Any) -> None:
    assert filled(template, NAMES) == value


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("${input.topik}", "did you mean 'topic'"),
        ("${steps.nobody.output}", "there is: 'draft', 'my-step'"),
        ("${input.rows[5]}", "nothing is at '5'"),
        ("${}", "is no path"),
        ("${a b}", "is no path"),
    ],
)
def test_a_hole_that_nothing_fills_is_told_with_what_there_is(template: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        filled(template, NAMES)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"approved": true}',
        '```json\n{"approved": true}\n```',
        'data: {"approved": true}',
        'So: {"approved": true}. OK',
    ],
)
def test_a_text_that_holds_one_object_is_that_object(text: str) -> None:
    assert as_json(text) == {"approved": True}


@pytest.mark.parametrize("value", ["approved", "", "{broken", "[1]", 3, None, [1]])
def test_all_else_stays_as_it_is(value: Any) -> None:
    assert as_json(value) == value


def test_the_first_step_gets_the_input_and_later_ones_what_came_before_with_the_topic() -> None:
    assert passed_on(NAMES, is_first=True) == NAMES["input"]
    later = passed_on(NAMES, is_first=False)
    assert later["topic"] == later["original_topic"] == "bees"
    assert later["previous_output"] == later["research_findings"] == {"text": "hum"}
    again = passed_on({**NAMES, "previous_feedback": "longer"}, is_first=True)
    assert again == {**NAMES["input"], "previous_feedback": "longer"}


def test_an_input_that_is_a_text_is_named() -> None:
    assert passed_on({**NAMES, "input": "bees"}, is_first=False)["original_topic"] == "bees"
