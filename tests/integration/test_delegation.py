"""A master and its subagents, over HTTP: plans over agents, their children, what is denied, failed, asked, cancelled."""

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import PROJECT, Api
from tests.support.authors import DELEGATE, MERGE, PLAN, PROGRAM, REPAIR, fenced
from tests.support.skill_folders import write_files
from tests.support.stack import Stack
from tests.support.stub_llm import Reply, Request, Rule, StubLlm, calling
from tests.support.stub_wires import Use

AGENT = """
name: {name}
description: Looks after {name} things.
system_prompt: You are {name}.
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
{more}
"""
AGENTS = {
    "boss": "strategy: delegate\nsubagents: [code-reviewer, security_auditor, counter]\nskills: [noop]",
    "code-reviewer": "skills: [echo]\nlimits: {timeout_seconds: 60}",
    "security-auditor": "skills: [echo, ask]",
    "counter": "skills: [echo]",
    "caller": "skills: [noop]\nsubagents: [counter, security-auditor]",
    "looper": "strategy: loop\nskills: [noop]\nsubagents: [counter]",
}
SLOW = "r = skills.echo(i={i}, ms=1200)\nresult = 'from {i}'"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def agents(stub: StubLlm) -> dict[str, str | bytes]:
    """Their files, over this model."""
    return {f"agents/{name}.yaml": AGENT.format(name=name, url=stub.url, more=more) for name, more in AGENTS.items()}


@pytest.fixture
def stub(model: StubLlm) -> StubLlm:
    model.reset()
    return model


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("delegation")
    project = shutil.copytree(PROJECT, folder / "project")
    write_files(project, agents(model))
    one = Stack(folder / "home", project=project)
    try:
        one.start_server()
        one.start_worker().wait_up()
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    one = Api(stack.home, stack.project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    try:
        yield one.start()
    finally:
        one.close()


def tells(stub: StubLlm, agent: str, step: str, reply: str, times: int | None = None, delay_s: float = 0) -> Rule:
    """What the model says to this step of this agent."""

    def fits(request: Request) -> bool:
        return f"You are {agent}." in request.system and step in request.last

    return stub.rule(fits, reply, times=times, delay_s=delay_s)


def programs(stub: StubLlm, agent: str, source: str, skills: str = '["echo"]', times: int | None = None) -> None:
    tells(stub, agent, PLAN, f'{{"selected_skills": {skills}}}', times)
    tells(stub, agent, PROGRAM, fenced(source), times)


def plan(*steps: dict[str, Any], reasoning: str = "each knows its field") -> str:
    return f"<plan>{json.dumps({'steps': steps, 'reasoning': reasoning})}</plan>"


def asked(api: Api, agent: str, text: str, **fields: Any) -> str:
    response = api.http.post("/tasks", json={"type": f"agent:{agent}", "input": text, **fields})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def over(api: Api, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = {"state": ""}
    deadline = time.monotonic() + 90
    while task["state"] not in ("DONE", "ERROR", "CANCELLED", "TIMED_OUT"):
        assert time.monotonic() < deadline, task
        task = api.get(f"/tasks/{task_id}", wait=20)
    return task


def seen(api: Api, task_id: str, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + 40
    while (task := api.get(f"/tasks/{task_id}"))["state"] != state:
        assert time.monotonic() < deadline, task
        time.sleep(0.1)
    return dict(task)


def children(api: Api, task_id: str) -> list[dict[str, Any]]:
    """The tasks that a task started, the first one first."""
    found: list[dict[str, Any]] = api.get("/tasks", parent_id=task_id)
    return found[::-1]


TWO = (
    {"task": "Find bugs", "delegateTo": "CodeReviewer", "reason": "it knows code"},
    {"task": "Find holes: ${x} and ${input}", "delegateTo": "security_auditor", "reason": "it knows attacks"},
)


def test_two_subagents_work_at_the_same_time_and_the_master_itself(api: Api, stack: Stack, stub: StubLlm) -> None:
    tells(stub, "boss", DELEGATE, plan(*TWO, {"task": "Count", "reason": "nobody else"}))
    programs(stub, "code-reviewer", SLOW.format(i=1))
    programs(stub, "security-auditor", SLOW.format(i=2))
    programs(stub, "boss", "skills.noop(i=3)\nresult = 'counted'", '["noop"]')
    merged = tells(stub, "boss", MERGE, "One report: bugs, holes, a count.")
    task = over(api, asked(api, "boss", "Review this code and audit its security"))
    assert task["state"] == "DONE", task
    assert task["output"] == "One report: bugs, holes, a count."
    [words] = [one.last for one in stub.requests if MERGE in one.last]
    assert all(part in words for part in ("## code-reviewer: Find bugs", "from 1", "from 2", "counted"))
    assert merged.used == 1
    parts = [one["id"].rpartition("/")[2] for one in children(api, task["id"])]
    assert sorted(parts) == ["boss-code-reviewer", "boss-security-auditor", "boss-self"]
    begins = {line[1]: line[4] for line in stack.effects() if line[0] == "begin"}
    ends = {line[1]: line[4] for line in stack.effects() if line[0] == "end"}
    one, two = (f"{task['id']}/boss-{name}" for name in ("code-reviewer", "security-auditor"))
    assert max(begins[one], begins[two]) < min(ends[one], ends[two])
    assert task["llm_calls"] == 8
    assert task["input_tokens"] == sum(request.size_bytes // 4 for request in stub.requests)
    told = task["workflow_state"]["state_data"]
    assert told["status"] == "completed"
    assert told["participating_agents"] == ["code-reviewer", "security-auditor", "boss"]
    assert [(row["step"], row["status"]) for row in told["step_results"]] == [
        ("code-reviewer", "completed"),
        ("security-auditor", "completed"),
        ("self", "completed"),
    ]
    holes = next(one.last for one in stub.requests if "You are security-auditor." in one.system)
    assert "Find holes: ${x} and ${input}" in holes
    assert "Review this code and audit its security" in holes


def test_a_step_behind_others_gets_what_they_found(api: Api, stub: StubLlm) -> None:
    first = {"task": "Find bugs", "delegateTo": "code-reviewer"}
    tells(stub, "boss", DELEGATE, plan(first, {"task": "Count them", "delegateTo": "counter", "after": [1]}))
    programs(stub, "code-reviewer", "result = ['a bug', 'another bug']")
    programs(stub, "counter", "result = len(inputs['results']['code-reviewer'])")
    tells(stub, "boss", MERGE, "Two bugs.")
    task = over(api, asked(api, "boss", "How many bugs?"))
    assert (task["output"], task["state"]) == ("Two bugs.", "DONE")
    assert "## counter: Count them\n\n2" in next(one.last for one in stub.requests if MERGE in one.last)


def test_a_plan_with_an_agent_that_is_not_there_is_made_again(api: Api, stub: StubLlm) -> None:
    tells(stub, "boss", DELEGATE, plan({"task": "x", "delegateTo": "code-revewer"}))
    tells(stub, "boss", "did you mean 'code-reviewer'?", plan({"task": "Find bugs", "delegateTo": "code-reviewer"}))
    programs(stub, "code-reviewer", "result = 'one bug'")
    task = over(api, asked(api, "boss", "Review this"))
    assert (task["output"], task["state"]) == ("one bug", "DONE")
    assert not [one for one in stub.requests if MERGE in one.last]


def test_a_failed_step_is_planned_anew_once(api: Api, stub: StubLlm) -> None:
    tells(stub, "boss", DELEGATE, plan(TWO[0], {"task": "Count", "delegateTo": "counter"}))
    tells(stub, "boss", "- step 2 (counter): ", plan({"task": "Count by hand", "delegateTo": "security-auditor"}))
    programs(stub, "code-reviewer", "result = 'bugs'")
    programs(stub, "counter", "raise ValueError('cannot count')")
    tells(stub, "counter", REPAIR, fenced("raise ValueError('cannot count')"))
    programs(stub, "security-auditor", "result = 'three'")
    tells(stub, "boss", MERGE, "Bugs, three of them.")
    task = over(api, asked(api, "boss", "Review and count", limits={"max_repairs": 0}))
    assert (task["output"], task["state"]) == ("Bugs, three of them.", "DONE")
    words = next(one.last for one in stub.requests if MERGE in one.last)
    assert "three" in words
    assert "cannot count" not in words
    states = {row["step"]: row["status"] for row in task["workflow_state"]["state_data"]["step_results"]}
    assert states == {"code-reviewer": "completed", "counter": "failed", "security-auditor": "completed"}


def test_a_task_of_which_every_step_fails_fails(api: Api, stub: StubLlm) -> None:
    tells(stub, "boss", DELEGATE, plan({"task": "Count", "delegateTo": "counter"}))
    tells(stub, "boss", "These steps failed", plan({"task": "Count again", "delegateTo": "counter"}))
    programs(stub, "counter", "raise ValueError('cannot count')")
    tells(stub, "counter", REPAIR, fenced("raise ValueError('cannot count')"))
    task = over(api, asked(api, "boss", "Count"))
    assert task["state"] == "ERROR"
    assert "every step of the plan failed" in task["error"]
    assert "cannot count" in task["error"]
    assert [one["id"].rpartition("/")[2] for one in children(api, task["id"])] == ["boss-counter", "boss-counter-2"]


def test_a_call_outside_of_a_subagents_skills_is_denied_and_recorded(api: Api, stack: Stack, stub: StubLlm) -> None:
    source = "try:\n    result = getattr(skills, 'boom')(i=1)\nexcept Exception as e:\n    result = str(e)"
    tells(stub, "boss", DELEGATE, plan({"task": "Find bugs", "delegateTo": "code-reviewer"}))
    programs(stub, "code-reviewer", source)
    task = over(api, asked(api, "boss", "Review this"))
    assert task["output"] == "skill 'boom' is not granted to this task; it may use: 'echo'"
    child = children(api, task["id"])[0]["id"]
    steps = api.http.get(f"/tasks/{task['id']}/steps", params={"path": "boss-code-reviewer"}).json()
    assert [(one["name"], one["state"]) for one in steps if one["kind"] == "call"] == [("boom", "failed")]
    lines = [json.loads(line) for line in stack.workers[0].log.read_text().splitlines() if "skill.denied" in line]
    told = [{**line, **line["metadata"]} for line in lines]
    assert [(one["agent_name"], one["skill"]) for one in told if one["task_id"] == child] == [("code-reviewer", "boom")]


def test_a_question_of_a_subagent_is_answered_at_the_root(api: Api, stub: StubLlm) -> None:
    tells(stub, "boss", DELEGATE, plan(TWO[1]))
    programs(stub, "security-auditor", "result = skills.ask(text='Which branch?')", '["ask"]')
    task_id = asked(api, "boss", "Audit")
    [question] = seen(api, task_id, "WAITING")["questions"]
    assert question["text"] == "Which branch?"
    answered = api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "main"})
    assert answered.status_code == 200, answered.text
    assert over(api, task_id)["output"] == "main"


def test_cancelling_the_master_ends_its_children(api: Api, stub: StubLlm) -> None:
    tells(stub, "boss", DELEGATE, plan(*TWO))
    for agent in ("code-reviewer", "security-auditor"):
        programs(stub, agent, "skills.echo(i=1, ms=60000)")
    task_id = asked(api, "boss", "Review and audit")
    deadline = time.monotonic() + 30
    while len([one for one in children(api, task_id) if one["state"] == "RUNNING"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    assert api.http.post(f"/tasks/{task_id}/cancel").status_code in (200, 202)
    task = over(api, task_id)
    assert task["state"] == "CANCELLED"
    assert {one["state"] for one in children(api, task["id"])} == {"CANCELLED"}


# agents that a program calls


def test_a_program_calls_agents_as_skills_and_a_repair_repeats_none(api: Api, stack: Stack, stub: StubLlm) -> None:
    calls = (
        "import asyncio\nfound = await asyncio.gather(*[skills.counter(task=f'Count {n}', input=n) for n in (1, 2)])\n"
    )
    programs(stub, "caller", f"{calls}raise ValueError('once')", '["counter"]')
    tells(stub, "caller", REPAIR, fenced(f"{calls}result = found"))
    programs(stub, "counter", "n = inputs['input']\nskills.echo(i=n, ms=800)\nresult = n * 10")
    task = over(api, asked(api, "caller", "Count to two"))
    assert (task["state"], task["output"], task["repairs"]) == ("DONE", [10, 20], 1)
    assert len(children(api, task["id"])) == 2
    assert all(one["id"].startswith(f"{task['id']}/program/") for one in children(api, task["id"]))
    lines = [line for line in stack.effects() if line[1].startswith(f"{task['id']}/")]
    begins, ends = ([line[4] for line in lines if line[0] == what] for what in ("begin", "end"))
    assert (len(begins), len(ends)) == (2, 2)
    assert max(begins) < min(ends)
    assert task["input_tokens"] == sum(request.size_bytes // 4 for request in stub.requests)
    assert task["suspensions"] >= 1


def test_a_called_agent_outlives_a_continue_as_new_and_is_not_doubled(api: Api, stack: Stack, stub: StubLlm) -> None:
    source = "result = skills.counter(task='Count')"
    programs(stub, "caller", source, '["counter"]')
    programs(stub, "counter", "skills.echo(i=7, ms=3000)\nresult = 'seven'")
    task = over(api, asked(api, "caller", "Count", tuning={"bound_events": 20}))
    assert (task["state"], task["output"]) == ("DONE", "seven")
    lines = [line for line in stack.effects() if line[1].startswith(f"{task['id']}/")]
    assert [line[0] for line in lines] == ["begin", "end"]


def test_a_question_of_a_called_agent_is_answered_at_the_root(api: Api, stub: StubLlm) -> None:
    programs(stub, "caller", "result = skills.security_auditor(task='Audit')", '["security-auditor"]')
    programs(stub, "security-auditor", "result = skills.ask(text='Which branch?')", '["ask"]')
    task_id = asked(api, "caller", "Audit", tuning={"bound_events": 20})
    [question] = seen(api, task_id, "WAITING")["questions"]
    answered = api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "main"})
    assert answered.status_code == 200, answered.text
    assert over(api, task_id)["output"] == "main"


def test_cancelling_a_program_ends_the_agents_that_it_called(api: Api, stub: StubLlm) -> None:
    programs(stub, "caller", "result = skills.counter(task='Count')", '["counter"]')
    programs(stub, "counter", "skills.echo(i=1, ms=60000)")
    task_id = asked(api, "caller", "Count")
    deadline = time.monotonic() + 30
    while not [one for one in children(api, task_id) if one["state"] == "RUNNING"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    assert api.http.post(f"/tasks/{task_id}/cancel").status_code in (200, 202)
    task = over(api, task_id)
    assert task["state"] == "CANCELLED"
    assert [one["state"] for one in children(api, task["id"])] == ["CANCELLED"]


def test_a_failed_agent_is_an_error_that_the_program_can_catch(api: Api, stub: StubLlm) -> None:
    source = "try:\n    skills.counter(task='Count')\nexcept SkillError as e:\n    result = e.message"
    programs(stub, "caller", source, '["counter"]')
    programs(stub, "counter", "raise ValueError('cannot count')")
    tells(stub, "counter", REPAIR, fenced("raise ValueError('cannot count')"))
    task = over(api, asked(api, "caller", "Count"))
    assert task["state"] == "DONE", task
    assert "cannot count" in task["output"]


def test_a_killed_worker_repeats_no_finished_step(tmp_path_factory: pytest.TempPathFactory, stub: StubLlm) -> None:
    """A worker of its own dies when one child is over and the other one works."""
    folder = tmp_path_factory.mktemp("killed")
    project = shutil.copytree(PROJECT, folder / "project")
    write_files(project, agents(stub))
    stack = Stack(folder / "home", project=project)
    api = Api(stack.home, project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    try:
        stack.start_server()
        worker = stack.start_worker().wait_up()
        api.start()
        tells(stub, "boss", DELEGATE, plan(TWO[0], {"task": "Count", "delegateTo": "counter"}))
        programs(stub, "code-reviewer", "skills.echo(i=1)\nresult = 'bugs'")
        programs(stub, "counter", "skills.echo(i=2)\nskills.echo(i=3, ms=3000)\nresult = 'three'")
        tells(stub, "boss", MERGE, "Bugs, three of them.")
        task_id = asked(api, "boss", "Review and count")
        deadline = time.monotonic() + 40
        while not [one for one in children(api, task_id) if one["state"] == "DONE"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        worker.kill()
        stack.start_worker().wait_up()
        task = over(api, task_id)
        assert (task["state"], task["output"]) == ("DONE", "Bugs, three of them.")
        reviewed = [line for line in stack.effects() if line[1].endswith("boss-code-reviewer")]
        assert [line[0] for line in reviewed] == ["begin", "end"]
        assert len([one for one in stub.requests if "You are code-reviewer." in one.system]) == 2
        assert len([one for one in stub.requests if DELEGATE in one.last]) == 1
    finally:
        api.close()
        stack.close()


def test_loop_calls_an_agent_as_a_tool(api: Api, stub: StubLlm) -> None:
    programs(stub, "counter", "result = skills.echo(i=4)['i']")

    def turn(request: Request) -> Reply:
        return "Four." if request.results else calling(Use("counter", {"task": "count to four"}))

    stub.rule(lambda request: "You are looper." in request.system, turn)
    task_id = asked(api, "looper", "count")
    task = over(api, task_id)
    assert (task["state"], task["output"], task["calls_done"]) == ("DONE", "Four.", 1)
    [last] = [one for one in stub.requests if "You are looper." in one.system and one.results]
    assert [one.text for one in last.results] == ["4"]
    assert task["llm_calls"] == len(stub.requests) == 4
    [subtask] = task["subtasks"]
    assert (subtask["agent_type"], subtask["state"], subtask["output"]) == ("counter", "DONE", 4)
