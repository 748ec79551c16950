"""Calls that wait for a person's word: in programs, loops and flows, nested, and of agents."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import problem
from tests.support.asking import House, wait
from tests.support.authors import DELEGATE, MERGE, PLAN, PROGRAM, fenced, plans
from tests.support.stub_llm import Reply, Request, calling
from tests.support.stub_wires import Use

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House.built(tmp_path_factory.mktemp("approvals"))
    try:
        yield one.up()
    finally:
        one.close()


@pytest.fixture
def house(built: House) -> House:
    built.stub.reset()
    return built


def test_call_waits_for_a_word_and_is_made_once(house: House) -> None:
    task_id = house.program("result = skills.wipe(i=3)['i']")
    [asked] = house.open(task_id)
    assert (asked["kind"], asked["options"]) == ("approval", ["approve", "deny"])
    assert "wipe(i=3)" in asked["text"]
    assert asked["details"] == {
        "skill": "wipe",
        "effect": "once",
        "why": "every call of it needs a word",
        "arguments": {"i": 3},
    }
    assert house.made(task_id) == 0
    problem(house.answer(task_id, asked["id"], "maybe"), 422, "INVALID_REQUEST")
    taken = house.answer(task_id, asked["id"], "approve", user_id="Ann@Example.com")
    assert (taken.status_code, taken.json()["state"]) == (200, "answered")
    problem(house.answer(task_id, asked["id"], "deny"), 409, "CONFLICT")
    assert house.ended(task_id)["output"] == 3
    assert house.made(task_id) == 1
    rows = house.api.get("/audit", task_id=task_id)["entries"]
    assert [(row["action"], row["actor"], row["details"]["answer"]) for row in rows] == [
        ("question.answered", taken.json()["answered_by"], "approve")
    ]


def test_rule_looks_at_the_arguments(house: House) -> None:
    task_id = house.program("result = [skills.pay(i=5)['i'], skills.pay(i=100, tag='x' * 2000)['i']]")
    [asked] = house.open(task_id)
    assert house.made(task_id) == 1
    assert asked["details"]["arguments_size_bytes"] > 2000
    assert asked["details"]["arguments_shown"].startswith('{"i":100,"tag":"xxx')
    house.answer(task_id, asked["id"], {"decision": "approve"}).raise_for_status()
    assert house.ended(task_id)["output"] == [5, 100]


DENIED = """
errors = []
for i in (1, 2):
    try:
        skills.wipe(i=i)
    except SkillError as exc:
        errors.append([exc.type, 'not this' in str(exc)])
try:
    skills.late(i=1)
except SkillError as exc:
    errors.append([exc.type, 'in time' in str(exc)])
result = errors
"""


def test_denied_rejected_and_expired_calls_are_errors_that_programs_catch(house: House) -> None:
    task_id = house.program(DENIED)
    [first] = house.open(task_id)
    house.answer(task_id, first["id"], {"decision": "deny", "reason": "not this"}).raise_for_status()
    [second] = house.open(task_id)
    rejected = house.api.http.post(f"/tasks/{task_id}/questions/{second['id']}/reject", json={})
    assert (rejected.status_code, rejected.json()["state"]) == (200, "rejected")
    assert house.ended(task_id)["output"] == [
        ["ApprovalDenied", True],
        ["ApprovalDenied", False],
        ["ApprovalDenied", True],
    ]
    assert house.made(task_id) == 0
    states = [one["state"] for one in house.questions(task_id)]
    assert states == ["answered", "rejected", "expired"]
    actions = [row["action"] for row in house.api.get("/audit", task_id=task_id)["entries"]]
    assert actions == ["question.expired", "question.rejected", "question.answered"]


MANY = """
import asyncio
first = await asyncio.gather(*[skills.wipe(i=i) for i in range(3)])
more = [(await skills.wipe(i=i))['i'] for i in (10, 60, 11)]
result = more
"""


def test_grant_covers_further_calls_while_its_uses_last(house: House) -> None:
    """Of four calls that it may cover: two that were open, and one that came later. 60 is beyond it."""
    task_id = house.program(MANY)
    asked = house.open(task_id, 3)
    grant = {"decision": "approve", "grant": {"uses": 3, "when": "arguments.i < 50"}}
    bad = {"decision": "approve", "grant": {"when": "argument.i < 50"}}
    assert (
        "did you mean 'arguments'"
        in problem(house.answer(task_id, asked[0]["id"], bad), 422, "INVALID_REQUEST")["message"]
    )
    house.answer(task_id, asked[0]["id"], grant).raise_for_status()
    [beyond] = house.open(task_id)
    assert beyond["details"]["arguments"] == {"i": 60}
    house.answer(task_id, beyond["id"], "approve").raise_for_status()
    [used_up] = house.open(task_id)
    assert used_up["details"]["arguments"] == {"i": 11}
    house.answer(task_id, used_up["id"], "approve").raise_for_status()
    assert house.ended(task_id)["output"] == [10, 60, 11]
    assert house.made(task_id) == 6


def test_approved_call_is_not_asked_again_after_a_repair(house: House) -> None:
    """Neither one that was made, nor the same call of the mended program whose answer was an error."""
    plans(
        house.stub,
        "a = skills.pay(i=200)['i']\n1/0",
        "a = skills.pay(i=200)['i']\nresult = a",
        skills='["pay"]',
    )
    task_id = house.ask("agent:writer", "pay 200")
    [asked] = house.open(task_id)
    assert "agent 'writer'" in asked["text"]
    house.answer(task_id, asked["id"], "approve").raise_for_status()
    task = house.ended(task_id)
    assert (task["output"], task["repairs"]) == (200, 1)
    assert len(house.questions(task_id)) == 1
    assert house.made(task_id) == 1


def test_loop_is_told_of_a_denial_and_obeys_the_agents_own_rules(house: House) -> None:
    """Its file takes `wipe` out of the rules, and puts `note` with 7 into them."""
    uses = [Use("note", {"i": 7}, "a"), Use("wipe", {"i": 1}, "b"), Use("note", {"i": 8}, "c")]
    house.stub.rule(".", calling(*uses), times=1)
    house.stub.rule(".", '{"answer": "so be it"}')
    task_id = house.ask("agent:looper", "go")
    [asked] = house.open(task_id)
    assert asked["details"]["arguments"] == {"i": 7}
    house.answer(task_id, asked["id"], "deny").raise_for_status()
    assert house.ended(task_id)["state"] == "DONE"
    results = {one.id: one.text for one in house.stub.requests[-1].results}
    assert "not allowed" in results["a"]
    assert house.made(task_id) == 2


def test_grant_of_a_loop_survives_continue_as_new(house: House) -> None:
    """Each turn is a run of its own: the history is full after ten events."""
    for _ in range(2):
        house.stub.rule(".", calling(Use("note", {"i": 7})), times=1)
    house.stub.rule(".", "Done.")
    task_id = house.ask("agent:looper", "go", tuning={"bound_events": 10})
    [asked] = house.open(task_id)
    house.answer(task_id, asked["id"], {"decision": "approve", "grant": {"uses": 1}}).raise_for_status()
    task = house.ended(task_id)
    assert (task["output"], house.made(task_id), len(house.questions(task_id))) == ("Done.", 2, 1)


def test_agent_that_is_called_as_a_skill_and_a_nested_call_go_the_same_way(house: House) -> None:
    house.stub.rule(".", calling(Use("plain", {"task": "say hello"})), times=1)
    house.stub.rule(".", '{"answer": "hello"}')
    task_id = house.ask("agent:caller", "go")
    [asked] = house.open(task_id)
    assert (asked["details"]["skill"], len(house.stub.requests)) == ("plain", 1)
    house.answer(task_id, asked["id"], "approve").raise_for_status()
    assert house.ended(task_id)["state"] == "DONE"
    nested = house.ask("agent:buyer", {"text": "buy"})
    [asked] = house.open(nested)
    assert (asked["details"]["skill"], house.made(nested)) == ("pay", 0)
    house.answer(nested, asked["id"], "approve").raise_for_status()
    assert house.ended(nested)["output"] == {"bought": 500}
    assert house.made(nested) == 1


def tells(house: House, agent: str, step: str, reply: Reply, times: int | None = None) -> None:
    """What the model says to this step of this agent."""

    def fits(request: Request) -> bool:
        return f"You are {agent}." in request.system and step in request.last

    house.stub.rule(fits, reply, times=times)


def programs(house: House, agent: str, source: str, *skills: str) -> None:
    tells(house, agent, PLAN, json.dumps({"selected_skills": skills}))
    tells(house, agent, PROGRAM, fenced(source))


def delegates(house: House, master: str, *tasks: str, step: str = DELEGATE) -> None:
    steps = [{"task": task, "delegateTo": "worker"} for task in tasks]
    tells(house, master, step, f"<plan>{json.dumps({'steps': steps})}</plan>")


CAREFUL = "result = [skills.note(i=i)['i'] for i in (8, 7)] + [skills.wipe(i=1)['i']]"


def test_rules_of_a_master_bind_its_subagents_and_lift_none_of_theirs(house: House) -> None:
    """`note` with 7 is the master's business; that it trusts `wipe` is not the worker's."""
    delegates(house, "master", "Do it")
    programs(house, "worker", CAREFUL, "note", "wipe")
    task_id = house.ask("agent:master", "go")
    [asked] = house.open(task_id)
    assert (asked["details"]["skill"], asked["details"]["arguments"]) == ("note", {"i": 7})
    assert asked["details"]["why"] == "calls with arguments.i == 7 need a word, says agent 'master'"
    assert asked["text"].startswith("May agent 'worker' call note(i=7)?")
    assert house.made(task_id) == 1
    house.answer(task_id, asked["id"], "approve").raise_for_status()
    [asked] = house.open(task_id)
    assert (asked["details"]["skill"], house.made(task_id)) == ("wipe", 2)
    house.answer(task_id, asked["id"], "approve").raise_for_status()
    assert house.ended(task_id)["output"] == [8, 7, 1]
    assert house.made(task_id) == 3


def test_rules_bind_agents_that_are_called_as_skills_however_deep(house: House) -> None:
    programs(house, "patron", "result = skills.clerk(task='do it')", "clerk")
    tells(house, "clerk", "", calling(Use("worker", {"task": "do it"})), times=1)
    tells(house, "clerk", "", "done")
    programs(house, "worker", "result = [skills.note(i=i)['i'] for i in (8, 7, 7)]", "note")
    task_id = house.ask("agent:patron", "go")
    [asked] = house.open(task_id)
    assert asked["details"]["why"].endswith("says agent 'patron'")
    assert house.made(task_id) == 1
    house.answer(task_id, asked["id"], {"decision": "approve", "grant": {"uses": 1}}).raise_for_status()
    assert house.ended(task_id)["output"] == "done"
    assert house.made(task_id) == 3


def test_rules_of_an_agent_are_its_own_when_nobody_is_above_it(house: House) -> None:
    programs(house, "worker", "result = skills.note(i=7)['i']", "note")
    task_id = house.ask("agent:worker", "go")
    assert (house.ended(task_id)["output"], house.questions(task_id)) == (7, [])


def test_delegated_step_waits_for_a_word_where_a_rule_names_its_agent(house: House) -> None:
    delegates(house, "chooser", "Look", "Pay Ann", "Pay Bob")
    programs(house, "worker", "result = inputs['task']")
    tells(house, "chooser", MERGE, "all paid")
    task_id = house.ask("agent:chooser", "go")
    asked = house.open(task_id, 2)
    assert {one["details"]["arguments"]["task"] for one in asked} == {"Pay Ann", "Pay Bob"}
    wait(lambda: house.api.get(f"/tasks/{task_id}")["state"] == "WAITING")
    assert [one["id"] for one in house.api.get("/tasks", parent_id=task_id)] == [f"{task_id}/chooser-worker"]
    grant = {"decision": "approve", "grant": {"uses": 1, "when": "arguments.task.contains('Bob')"}}
    paying = next(one for one in asked if one["details"]["arguments"]["task"] == "Pay Ann")
    house.answer(task_id, paying["id"], grant).raise_for_status()
    assert house.ended(task_id)["output"] == "all paid"
    assert {one["state"] for one in house.questions(task_id)} == {"answered"}
    rows = house.api.get("/audit", task_id=task_id)["entries"]
    assert [row["details"]["skill"] for row in rows] == ["worker", "worker"]


def test_denied_step_never_begins_and_is_planned_anew(house: House) -> None:
    delegates(house, "chooser", "Pay Ann")
    tells(house, "chooser", "wrong account", '{"answer": "nobody was paid"}')
    task_id = house.ask("agent:chooser", "go")
    [asked] = house.open(task_id)
    house.answer(task_id, asked["id"], {"decision": "deny", "reason": "wrong account"}).raise_for_status()
    task = house.ended(task_id)
    assert (task["state"], house.api.get("/tasks", parent_id=task_id)) == ("DONE", [])
    [step] = task["workflow_state"]["state_data"]["step_results"]
    assert (step["status"], "not allowed" in step["error"]) == ("failed", True)
    cancelled = house.ask("agent:chooser", "go")
    house.open(cancelled)
    house.api.http.post(f"/tasks/{cancelled}/cancel").raise_for_status()
    assert house.ended(cancelled)["state"] == "CANCELLED"
    assert [one["state"] for one in house.questions(cancelled)] == ["withdrawn"]


def test_approved_and_granted_survives_continue_as_new(house: House) -> None:
    source = (
        "a = skills.wipe(i=1)['i']\nfor i in range(12):\n    skills.note(i=i)\n"
        "b = skills.ask(text='on?')\nresult = [a, skills.wipe(i=2)['i']]"
    )
    task_id = str(house.api.submit(source, tuning={"bound_events": 60})["id"])
    [asked] = house.open(task_id)
    grant = {"decision": "approve", "grant": {"uses": 1}}
    house.answer(task_id, asked["id"], grant).raise_for_status()
    [on] = house.open(task_id, kind="clarification")
    house.answer(task_id, on["id"], "yes").raise_for_status()
    task = house.ended(task_id)
    assert task["output"] == [1, 2]
    assert house.made(task_id) == 14
    approvals = [one for one in house.questions(task_id) if one["kind"] == "approval"]
    assert len(approvals) == 1


def test_open_questions_of_all_tasks_are_listed(house: House) -> None:
    task_id = house.program("result = skills.wipe(i=3)['i']")
    house.open(task_id)

    def listed() -> list[Any]:
        found = house.api.get("/questions")["questions"]
        return [one["question"]["id"] for one in found if one["task_id"] == task_id]

    [asked] = house.open(task_id)
    assert wait(listed) == [asked["id"]]
    assert house.api.http.get("/questions", headers={"X-Tenant-Id": "other"}).json()["questions"] == []
    house.api.http.post(f"/tasks/{task_id}/cancel").raise_for_status()
    assert house.ended(task_id)["state"] == "CANCELLED"
    assert [one["state"] for one in house.questions(task_id)] == ["withdrawn"]
