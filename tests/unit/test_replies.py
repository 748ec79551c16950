"""Plans and programs in every form that models write them in."""

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
