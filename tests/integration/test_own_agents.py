"""A project's own agents, tools and workflows in Python: over HTTP, with a worker and a stub model."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import PROJECT, Api, until
from tests.support.own_project import FILES
from tests.support.skill_folders import write_files
from tests.support.stack import Stack, WorkerProcess
from tests.support.stub_llm import Fault, StubLlm

pytestmark = pytest.mark.slow

KEY = "sk-ant-of-a-test-0123456789"


@pytest.fixture
def stub(model: StubLlm) -> StubLlm:
    model.reset()
    return model


def start_worker(stack: Stack, model: StubLlm) -> WorkerProcess:
    return stack.start_worker(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=model.url).wait_up()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("own agents")
    project = Path(shutil.copytree(PROJECT, folder / "project"))
    write_files(project, FILES)
    stack = Stack(folder / "home", project=project)
    try:
        stack.start_server()
        start_worker(stack, model)
        yield stack
    finally:
        stack.close()


def done(api: Api, type: str, given: Any, tenant: str = "default", **fields: Any) -> dict[str, Any]:  # noqa: A002
    """The task, once it is over."""
    whose = {"X-Tenant-Id": tenant}
    response = api.http.post("/tasks", json={"type": type, "input": given, **fields}, headers=whose)
    assert response.status_code == 201, response.text
    url = f"/tasks/{response.json()['id']}"
    over = ("DONE", "ERROR", "TIMED_OUT")
    found: dict[str, Any] = until(lambda: (task := api.http.get(url, headers=whose).json())["state"] in over and task)
    return found


def test_the_old_platforms_agent_runs_as_it_stands(api: Api, stub: StubLlm) -> None:
    stub.rule("Summarize: a long tale", "short")
    task = done(api, "agent:summarizer", {"text": "a long tale"})
    assert (task["state"], task["output"]) == ("DONE", {"summary": "short"}), task["error"]
    assert len(stub.requests) == 1
    assert 0 < task["input_tokens"] < 100  # Measured, so that the agent's own word does not count.


def test_an_agent_calls_tools_and_the_model_each_as_a_recorded_call(api: Api, stub: StubLlm) -> None:
    stub.rule("first", "one")
    stub.rule("second", "two")
    task = done(api, "agent:clerk", {"text": "hi"})
    found = task["output"]
    assert task["state"] == "DONE", task["error"]
    assert found["loud"] == {"success": True, "result": "HI", "error": None, "metadata": {}}
    assert (found["total"], found["llm"], found["word"]) == (42, ["one", "two"], "LOUD")
    assert "arguments.text" in found["wrong"]
    assert found["home"] == []
    journal = api.get(f"/tasks/{task['id']}/journal")
    assert sorted(entry["skill"] for entry in journal["entries"]) == ["adder", "agent:clerk", "llm", "llm", "shout"]
    assert stub.requests[-1].system == "Be brief"


def test_an_agent_has_one_instance_for_each_tenant(api: Api) -> None:
    first, second = (done(api, "agent:clerk", {"text": "hi"})["output"] for _ in range(2))
    assert (second["pid"], second["served"]) == (first["pid"], first["served"] + 1)
    other = done(api, "agent:clerk", {"text": "hi"}, tenant="other")["output"]
    assert (other["served"], other["pid"] != first["pid"]) == (1, True)


def test_usage_that_an_agent_tells_counts_where_nothing_was_measured(api: Api) -> None:
    task = done(api, "agent:crash", {"how": "cost"})
    assert (task["state"], task["output"]) == ("DONE", {"found": 1}), task["error"]
    assert (task["input_tokens"], task["output_tokens"], task["total_cost"]) == (100, 50, 0.5)
    assert task["model_used"] == "openai:gpt-0"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("exit", "the process of agent 'crash' died: exit code 3"),
        ("raise", "agent 'crash' raised ValueError: no such luck (agents/crash_agent.py:11)"),
        ("loop", "agent 'crash' ran longer than its 1 s (limits.run_seconds)"),
        ("set", "agent 'crash': the answer is not JSON: answer.found is of type set"),
        ("tool", "no skill named 'nothing-there'"),
        ("usage", "usage: found 'a lot'; allowed is a mapping"),
    ],
)
def test_what_goes_wrong_in_an_agent_is_said(api: Api, how: str, says: str) -> None:
    task = done(api, "agent:crash", {"how": how}, limits={"run_seconds": 1} if how == "loop" else {})
    assert task["state"] == "ERROR"
    assert says in task["error"]


def test_a_skill_that_an_agent_may_not_use_is_denied_and_recorded(api: Api) -> None:
    task = done(api, "agent:thief", {})
    assert task["state"] == "DONE", task["error"]
    assert task["output"]["found"]["success"] is False
    assert "'echo' is not granted to this task; it may use: 'shout'" in task["output"]["found"]["error"]
    [entry] = [one for one in api.get(f"/tasks/{task['id']}/journal")["entries"] if one["skill"] == "echo"]
    assert entry["error"]["type"] == "SkillDenied"


def test_tools_are_skills_like_any_other(api: Api) -> None:
    names = {skill["name"]: skill for skill in api.get("/skills")}
    assert (names["shout"]["effect"], names["adder"]["effect"]) == ("pure", "pure")
    assert done(api, "tool:adder", {"a": 1})["output"] == 3
    task = api.submit("result = [skills.shout(text='a'), skills.adder(1, b=5)]")
    found = until(lambda: (one := api.get(f"/tasks/{task['id']}"))["state"] == "DONE" and one)
    assert found["output"] == ["A", 6]
    failed = done(api, "tool:shout", {"text": "mumble"})
    assert failed["state"] == "ERROR"
    assert "that cannot be shouted" in failed["error"]


def test_a_projects_own_workflow_calls_agents_and_skills(api: Api, stub: StubLlm) -> None:
    stub.rule("Summarize: a long tale", "short")
    task = done(api, "workflow:Billing", {"text": "a long tale"})
    assert task["state"] == "DONE", task["error"]
    output = task["output"]
    assert (output["loud"], output["again"], output["rate"]) == ("SHORT", [3, 4], 7)
    assert "that cannot be shouted" in output["refused"]
    assert task["input_tokens"] > 0
    parts = {one["id"].rpartition("/")[2] for one in task["subtasks"]}
    assert parts == {"summarizer", "shout", "adder", "adder-2", "shout-2"}


def test_a_broken_workflow_file_is_named_and_the_others_work(api: Api, stack: Stack) -> None:
    messages = [one["message"] for one in api.get("/errors")["errors"]]
    assert any("workflows/broken.py:1: ModuleNotFoundError" in message for message in messages), messages
    assert "own_workflow.broken" in stack.workers[0].log.read_text()


def test_a_failure_of_a_projects_workflow_is_that_of_its_task(api: Api) -> None:
    task = done(api, "workflow:Billing", {"wrong": True})
    assert (task["state"], task["failure"]["type"], task["error"]) == ("ERROR", "Unbillable", "nothing to bill")


def test_a_killed_worker_repeats_no_finished_request_of_an_agent(api: Api, stack: Stack, stub: StubLlm) -> None:
    stub.rule("first", "one")
    stub.rule("second", times=1, fault=Fault(hang_s=30))
    stub.rule("second", "two")
    task = api.http.post("/tasks", json={"type": "agent:clerk", "input": {"text": "hi"}}).json()
    until(lambda: any("second" in request.last for request in stub.requests))
    stack.workers[-1].kill()
    start_worker(stack, stub)
    found = until(lambda: (one := api.get(f"/tasks/{task['id']}"))["state"] == "DONE" and one)
    assert found["output"]["llm"] == ["one", "two"]
    assert sum("first" in request.last for request in stub.requests) == 1
    journal = api.get(f"/tasks/{task['id']}/journal")["entries"]
    assert sorted(entry["skill"] for entry in journal) == ["adder", "agent:clerk", "llm", "llm", "shout"]
