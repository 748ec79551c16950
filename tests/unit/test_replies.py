"""Plans and programs in every form that models write them in."""

import json
import time

import pytest

from activities.replies import read_plan, read_program

SKILLS = ["web-search", "summarize"]
PROGRAM = "import skills\nresult = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        '{"selected_skills": ["web_search"], "reasoning": "r"}',
        'Sure.\n<plan>\n{"selected_skills": ["web-search"], "reasoning": "r"}\n</plan>\nDone.',
        '```json\n{"selectedSkills": ["Web-Search"], "reasoning": "r"}\n```',
        'data: {"selected_skills": ["web-search"], "reasoning": "r"}',
        'I thought {hard} about it: {"note": 1} {"skills": ["web-search", "web_search"], "reasoning": "r"}',
    ],
)
def test_a_plan_is_read_in_every_form(text: str) -> None:
    plan = read_plan(text, SKILLS)
    assert (plan.kind, plan.selected_skills, plan.reasoning) == ("skills", ["web-search"], "r")


def test_a_plan_may_answer_ask_or_choose_nothing() -> None:
    assert read_plan('{"answer": "Paris"}').answer == "Paris"
    asked = read_plan('{"ask": "Which?", "options": ["a", 2]}')
    assert (asked.kind, asked.question, asked.options) == ("ask", "Which?", ["a", "2"])
    assert read_plan('{"selected_skills": []}').kind == "skills"
    assert read_plan('{"selected_skills": [], "answer": "Paris"}').kind == "answer"


def test_what_is_no_plan_says_what_is_wanted() -> None:
    plan = read_plan("I will search the web.")
    assert plan.kind == "invalid"
    assert "selected_skills" in plan.problems and "search the web" in plan.problems


def test_an_unknown_skill_is_named_with_what_is_close() -> None:
    plan = read_plan('{"selected_skills": ["web-serch"]}', SKILLS)
    assert plan.kind == "invalid"
    assert "did you mean 'web-search'" in plan.problems


@pytest.mark.parametrize(
    "text",
    [
        f"```python\n{PROGRAM}```",
        f"Here:\n\n```py\n{PROGRAM}```\nand that is it.",
        f"<code>\n{PROGRAM}</code>",
        f"```\n{PROGRAM}```",
        f"~~~python\n{PROGRAM}~~~",
        f"```json\n{{}}\n```\n```python\n{PROGRAM}```",
        f"```python\n{PROGRAM}",
    ],
)
def test_a_program_is_read_in_every_form(text: str) -> None:
    assert (read_program(text) or "").strip() == PROGRAM.strip()


def test_ticks_inside_a_program_do_not_end_it() -> None:
    source = 'text = "```"\nresult = f"```python {text}"\n'
    assert read_program(f"```python\n{source}```") == source


@pytest.mark.parametrize("text", ["", "I would call it.", "```json\n{}\n```", "```python\n\n```"])
def test_prose_has_no_program(text: str) -> None:
    assert read_program(text) is None


MEGABYTE = 1_000_000
HOSTILE = {
    "braces": "{" * MEGABYTE,
    "nested objects": '{"a":' * (MEGABYTE // 5),
    "unclosed strings": '{"a{' * (MEGABYTE // 4),
    "plans that never end": "<plan>" * (MEGABYTE // 6),
    "code tags that never end": "<code " * (MEGABYTE // 6),
    "ticks": "`" * MEGABYTE,
    "fences": "~~~\n```\n" * (MEGABYTE // 8),
    "names": json.dumps({"skills": [f"web{k}" for k in range(MEGABYTE // 8)]}),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_megabyte_is_read_in_a_moment(text: str) -> None:
    began = time.process_time()
    assert read_plan(text, SKILLS).kind == "invalid"
    read_program(text)
    assert time.process_time() - began < 10


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 200 + "]" * 200])
def test_what_nothing_could_store_is_no_plan(value: str) -> None:
    assert read_plan(f'{{"answer": {value}}}').kind == "invalid"


def test_half_a_surrogate_pair_is_told_as_a_question_mark() -> None:
    assert read_plan('{"answer": {"\\ud800": ["\\udfff"]}}').answer == {"?": ["?"]}


def test_a_question_is_a_text_that_people_can_read_with_options_that_they_can_choose() -> None:
    assert read_plan('{"ask": " "}').kind == "invalid"
    assert read_plan('{"ask": "Which?", "options": ["", "a", "a", " ", "b"]}').options == ["a", "b"]
    assert read_plan(json.dumps({"ask": "Which?", "options": list(range(10_000))})).options == []
    assert len(read_plan(json.dumps({"ask": "?" * MEGABYTE})).question) == 4000
