"""Delegation plans in the forms in which models write them, and what is wrong with others; agents as skills; offline."""

import json
from typing import Any

import pytest

from activities.delegations import Team, read_delegation
from holdfast.contracts.agent import AgentSpec
from holdfast.outputs import filled
from holdfast.snapshot import Catalogue, as_skill
from providers.base import Given, Known
from providers.offline.delegate import merged, own_words, plan

REVIEWER = AgentSpec(name="code-reviewer", description="Reviews code.", tags=["review", "code"], aliases=["Critic"])
AUDITOR = AgentSpec(name="security_auditor", description="Audits code.", tags=["security", "audit"], skills=["x"])
MASTER = AgentSpec(name="Master", strategy="delegate")
TEAM = Team("Master", [REVIEWER, AUDITOR])


def read(steps: Any, before: int = 0, form: str = "{}", **more: Any) -> Any:
    return read_delegation(form.replace("{}", json.dumps({"steps": steps, **more})), TEAM, 3, before)


@pytest.mark.parametrize("form", ["{}", "Well:\n```json\n{}\n```\n", "<plan>{}</plan>", "data: {}"])
def test_plan_is_read_in_each_form(form: str) -> None:
    found = read([{"task": "Find bugs", "delegateTo": "code-reviewer", "reason": "it can"}], form=form, reasoning="so")
    assert (found.kind, found.reasoning) == ("steps", "so")
    assert found.steps[0].model_dump() == {
        "task": "Find bugs",
        "delegate_to": "code-reviewer",
        "reason": "it can",
        "after": [],
    }


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("CodeReviewer", "code-reviewer"),
        ("CODE_REVIEWER", "code-reviewer"),
        ("critic", "code-reviewer"),
        ("security-auditor", "security-auditor"),
        ("SecurityAuditor", "security-auditor"),
        ("", ""),
        (None, ""),
        ("self", ""),
        ("master", ""),
    ],
)
def test_names_are_found_in_any_spelling_and_the_masters_own_is_itself(name: str | None, who: str) -> None:
    assert read([{"task": "x", "delegateTo": name}]).steps[0].delegate_to == who


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            [{"task": "x", "delegateTo": "code-revewer"}],
            "step 1: no agent named 'code-revewer'; did you mean 'code-rev",
        ),
        ([{"task": " "}], "step 1: found"),
        (["x"], "step 1: found 'x'"),
        ([{"task": "x"}] * 4, "found 4 steps; at most 3 are allowed (limits.max_plan_steps)"),
        ([{"task": "x", "after": [1]}], "step 1: after: found [1]; allowed: numbers of other steps, from 1 to 1"),
        ([{"task": "x", "after": "the first"}], "step 1: after: found 'the first'"),
        ([{"task": "x", "after": [2]}, {"task": "y", "after": [1]}], "steps wait for each other in a circle: "),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_to_the_model(steps: Any, said: str) -> None:
    found = read(steps)
    assert found.kind == "invalid"
    assert said in found.problems
    assert found.problems.endswith("Plan again")


def test_steps_of_a_second_plan_come_after_those_of_the_first() -> None:
    found = read([{"task": "x", "dependsOn": [1]}, {"task": "y", "after": "3"}], before=2)
    assert [step.after for step in found.steps] == [[1], [3]]


def test_an_answer_and_a_question_are_no_steps() -> None:
    assert read_delegation('{"answer": "42"}', TEAM, 3).answer == "42"
    asked = read_delegation('{"ask": "Which?", "options": ["a", "b"], "steps": []}', TEAM, 3)
    assert (asked.kind, asked.question, asked.options) == ("ask", "Which?", ["a", "b"])
    assert "found no plan in the reply" in read_delegation("I would ask around", TEAM, 3).problems


# agents as skills


def test_an_agent_is_a_skill_with_a_task_and_a_skill_of_its_name_wins() -> None:
    agents = {"code-reviewer": REVIEWER, "security-auditor": AUDITOR, "master": MASTER}
    catalogue = Catalogue(agents=agents)
    skill = catalogue.find("Code_Reviewer")
    assert (skill.spec.kind, skill.spec.identifier, skill.spec.effect) == ("agent", "code_reviewer", "once")
    assert skill.bind(["Find bugs"], {"input": 3}) == {"task": "Find bugs", "input": 3}
    own = as_skill(REVIEWER)
    shadow = own.model_copy(update={"spec": own.spec.model_copy(update={"kind": "script"})})
    assert Catalogue({"code-reviewer": shadow}, agents=agents).find("code-reviewer").spec.kind == "script"


def test_a_team_is_who_is_named_and_there_and_a_master_has_all_but_masters() -> None:
    off = AgentSpec(name="off", enabled=False)
    boss = AgentSpec(name="boss", subagents=["CodeReviewer", "gone", "off"])
    agents = [REVIEWER, AUDITOR, MASTER, off, boss]
    catalogue = Catalogue(agents={one.name.lower().replace("_", "-"): one for one in agents})
    assert [one.name for one in catalogue.team(boss)] == ["code-reviewer"]
    assert [one.name for one in catalogue.team(MASTER)] == ["code-reviewer", "security_auditor", "boss"]
    assert [facts.name for facts in catalogue.callable_agents(boss)] == ["code-reviewer"]
    assert list(catalogue.callable_agents(MASTER)) == list(catalogue.callable_agents(REVIEWER)) == []


def test_a_text_with_holes_of_its_own_is_handed_on_as_it_is() -> None:
    text = "cost ${x}, $${y} and ${"
    assert filled(text.replace("${", "$${"), {}) == text


# without a model


def shared(text: str, said: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    steps: Any = plan(Known(task=text, agents=(REVIEWER, AUDITOR), said=said)).get("steps", [])
    return [(step["task"], step.get("delegateTo", "")) for step in steps]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (
            "Review this code and audit its security",
            [("Review this code", "code-reviewer"), ("Audit its security", "security-auditor")],
        ),
        (
            "Review shop/ for bugs, then audit it.",
            [("Review shop/ for bugs", "code-reviewer"), ("Audit it in 'shop'", "security-auditor")],
        ),
        ("Please review 'this and that'", [("Please review 'this and that'", "code-reviewer")]),
        ("Look at it and audit it", [("Look at it and audit it", "security-auditor")]),
        ("Sing a song", [("Sing a song", "")]),
    ],
)
def test_each_part_of_a_sentence_goes_to_the_agent_that_has_its_words(text: str, steps: Any) -> None:
    assert shared(text) == steps


def test_without_a_model_nothing_is_planned_anew() -> None:
    assert plan(Known(task="Review it", said=("These steps failed; …",), agents=(REVIEWER,))) == {"answer": ""}


def test_reports_are_put_side_by_side_and_say_that_no_model_was_used() -> None:
    text = merged([Given("a", "Find bugs", "three"), Given("b", "Count", {"n": 3}), Given("c", "Sing", error="cannot")])
    assert text.startswith("model: offline (no language model was used")
    assert "# a: Find bugs\n\nthree" in text
    assert '# b: Count\n\n```json\n{\n  "n": 3\n}\n```' in text
    assert text.endswith("# c: Sing\n\nFailed: cannot")


def test_what_a_master_passes_on_is_not_read_as_the_task() -> None:
    beside = json.dumps({"request": "Review and sing", "path": "shop"})
    assert own_words(f"Review it\n\nInput:\n{beside}") == 'Review it\n\nInput:\n{"path": "shop"}'
    assert own_words("Review it\n\nInput:\n{}") == "Review it\n\nInput:\n{}"
    assert own_words("Review it") == "Review it"
