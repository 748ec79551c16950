"""The older platforms' task API: agents and tools by name, what is told of names that nobody knows, retries."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Client
from tests.support.api import PROJECT, Api, problem
from tests.support.skill_folders import write_files
from tests.support.stack import Stack
from tests.support.stub_llm import Fault, StubLlm

AGENT = """
name: {name}
system_prompt: You are the {name}.
skills: []
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
retry: {{max_retries: 2, delay_seconds: 0.1}}
"""


FLOW = """
name: refine
coordination_type: iterative_refinement
steps:
  - {name: draft, agent: talker}
  - {name: never, skill: calculator, input: {expression: "1"}, condition: "iteration > 5"}
  - {name: check, agent: judge}
"""


@pytest.fixture
def stub(model: StubLlm) -> StubLlm:
    model.reset()
    return model


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("task api")
    project = shutil.copytree(PROJECT, folder / "project")
    agents = {f"agents/{name}.yaml": AGENT.format(name=name, url=model.url) for name in ("talker", "judge")}
    write_files(project, {**agents, "flows/refine.yaml": FLOW})
    stack = Stack(folder / "home", project=project)
    api = Api(stack.home, project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    try:
        stack.start_server()
        stack.start_worker().wait_up(120)
        yield api.start(120)
    finally:
        api.close()
        stack.close()


def post(api: Api, path: str, status: int = 201, **body: Any) -> dict[str, Any]:
    response = api.http.post(path, json=body)
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    return found


def ended(api: Api, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = api.get(f"/tasks/{task_id}", wait=30)
    assert task["status"] in ("done", "error"), task
    return task


def test_an_agent_and_a_tool_are_asked_by_name(api: Api, stub: StubLlm) -> None:
    stub.rule("capital", "Paris")
    asked = post(api, "/tasks/agent", agent_type="talker", input={"prompt": "capital?"}, user_id="a@example.com")
    assert (asked["type"], asked["status"], len(asked["user_id_hash"])) == ("agent:talker", "pending", 64)
    called = post(api, "/tasks/tool", tool_name="calculator", input={"expression": "6 * 7"})
    assert called["type"] == "tool:calculator"
    assert ended(api, asked["id"])["output"] == "Paris"
    assert ended(api, called["id"])["output"] == {"expression": "6 * 7", "result": 42}


@pytest.mark.parametrize(
    ("path", "body", "code", "known"),
    [
        ("/tasks/agent", {"agent_type": "nobody", "input": "x"}, "AGENT_NOT_FOUND", "talker"),
        ("/tasks/tool", {"tool_name": "nothing", "input": {}}, "SKILL_NOT_FOUND", "calculator"),
        ("/tasks", {"type": "agent:nobody", "input": "x"}, "AGENT_NOT_FOUND", "talker"),
        ("/tasks", {"type": "tool:nothing", "input": {}}, "SKILL_NOT_FOUND", "calculator"),
        ("/tasks", {"type": "workflow:nothing", "input": {}}, "WORKFLOW_NOT_FOUND", "refine"),
        ("/agents/nobody/invoke", {"task_data": {"prompt": "x"}}, "AGENT_NOT_FOUND", "talker"),
    ],
)
def test_a_name_that_nobody_knows_is_answered_with_those_that_there_are(
    api: Api, path: str, body: dict[str, Any], code: str, known: str
) -> None:
    error = problem(api.http.post(path, json=body), 404, code)["error"]
    assert known in error["details"]["available"]
    assert known in error["message"]


def test_arguments_of_a_tool_are_checked_with_a_message_that_helps(api: Api) -> None:
    wrong = api.http.post("/tasks/tool", json={"tool_name": "calculator", "input": {"expresion": "1"}})
    assert "did you mean 'expression'" in problem(wrong, 422, "INVALID_SKILL_INPUT")["message"]


def test_a_huge_power_is_an_error_of_the_task_and_harms_nothing(api: Api) -> None:
    task = ended(api, post(api, "/tasks/tool", tool_name="calculator", input={"expression": "9 ** 9 ** 9"})["id"])
    assert task["status"] == "error"
    assert "too large" in task["error"]


@pytest.mark.parametrize("body", [{"task_data": {"prompt": "capital?"}}, {"prompt": "capital?"}])
def test_invoking_an_agent_starts_it_and_waits_if_told_so(api: Api, stub: StubLlm, body: dict[str, Any]) -> None:
    stub.rule("capital", "Paris")
    started = post(api, "/agents/talker/invoke", 200, **body)
    assert (started["agent_name"], started["status"], started["output"]) == ("talker", "started", None)
    assert ended(api, started["execution_id"])["output"] == "Paris"
    answered = post(api, "/agents/talker/invoke?wait=30", 200, **body)
    assert (answered["status"], answered["output"]) == ("completed", "Paris")


def test_what_stands_beside_task_data_is_refused(api: Api) -> None:
    wrong = api.http.post("/agents/talker/invoke", json={"task_data": {"prompt": "x"}, "promt": "y"})
    assert "'promt'" in problem(wrong, 422, "INVALID_REQUEST")["message"]


def test_a_model_that_fails_twice_is_asked_three_times(api: Api, stub: StubLlm) -> None:
    stub.rule(".", times=2, fault=Fault(status=500))
    stub.rule(".", "Paris")
    assert post(api, "/agents/talker/invoke?wait=30", 200, prompt="capital?")["output"] == "Paris"
    assert len(stub.requests) == 3


def test_a_model_that_fails_three_times_fails_the_task_after_two_retries(api: Api, stub: StubLlm) -> None:
    stub.rule(".", fault=Fault(status=500))
    failed = post(api, "/agents/talker/invoke?wait=30", 200, prompt="capital?")
    task = api.get(f"/tasks/{failed['execution_id']}")
    assert (failed["status"], task["status"], len(stub.requests)) == ("failed", "error", 3)
    assert task["failure"]["details"]["retry_count"] == 2


def test_lists_filter_by_status_and_by_who_asked(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "Paris")
    done = ended(api, post(api, "/tasks/agent", agent_type="talker", input="x", user_id=" Me@Example.com ")["id"])
    failed = ended(api, post(api, "/tasks/tool", tool_name="calculator", input={"expression": "1 / 0"})["id"])
    found = api.get("/tasks", status_filter="done")
    assert {task["status"] for task in found} == {"done"}
    assert done["id"] in [task["id"] for task in found]
    assert failed["id"] in [task["id"] for task in api.get("/tasks", status_filter="error")]
    mine = api.get("/tasks", user_id_hash=done["user_id_hash"])
    assert {task["user_id_hash"] for task in mine} == {done["user_id_hash"]}
    created = [task["created_at"] for task in api.get("/tasks", limit=5)]
    assert created == sorted(created, reverse=True) and len(created) == 5
    assert api.get("/tasks", tenant_id="nobody") == []


def test_two_rounds_are_told_as_subtasks_and_each_is_there_in_full(api: Api, stub: StubLlm) -> None:
    stub.rule("You are the judge", '{"approved": false}', times=1)
    stub.rule("You are the judge", '{"approved": true}')
    stub.rule("You are the talker", "draft")
    made = post(api, "/tasks", type="workflow:refine", input={"topic": "bees"})
    seen = watched(api, made["id"])
    task = ended(api, made["id"])
    ran = [one for one in task["subtasks"] if one["state"] != "SKIPPED"]
    assert [(one["name"], one["agent_type"], one["iteration"], one["status"]) for one in ran] == [
        ("draft", "talker", 1, "done"),
        ("check", "judge", 1, "done"),
        ("draft", "talker", 2, "done"),
        ("check", "judge", 2, "done"),
    ]
    assert all(one["input_tokens"] > 0 and one["input"] and one["output"] is not None for one in ran)
    skipped = [one for one in task["subtasks"] if one["state"] == "SKIPPED"]
    assert [(one["iteration"], one["reason"]) for one in skipped] == [
        (1, "its condition is false: iteration > 5"),
        (2, "its condition is false: iteration > 5"),
    ]
    assert task["workflow_state"]["current_iteration"] == 2
    assert task["workflow_state"]["max_iterations"] == 3
    assert made["id"] in [one["id"] for one in api.get("/tasks", limit=20)]
    assert {one["id"] for one in ran}.isdisjoint(one["id"] for one in api.get("/tasks", limit=200))
    assert {one["id"] for one in ran} == {one["id"] for one in api.get("/tasks", parent_id=made["id"])}
    child = api.http.get(f"/tasks/{made['id']}?path=check.2").json()
    assert (child["id"], child["state"], child["type"]) == (f"{made['id']}/check.2", "DONE", "agent:judge")
    assert [step["kind"] for step in api.http.get(f"/tasks/{made['id']}/steps?path=check.2").json()] == ["llm"]
    kinds = [(step["kind"], step["name"]) for step in api.get(f"/tasks/{made['id']}/steps")]
    assert [name for kind, name in kinds if kind == "child"] == [
        "draft",
        "never",
        "check",
        "draft.2",
        "never.2",
        "check.2",
    ]
    problem(api.http.get(f"/tasks/{made['id']}", params={"path": "check.9"}), 404, "NOT_FOUND")
    problem(api.http.get(f"/tasks/{made['id']}", params={"path": "a b"}), 422, "INVALID_REQUEST")
    steps = [(one["name"], one["iteration"], one["state"]) for one in seen if one["state"] != "skipped"]
    assert steps == [
        (name, number, how) for number in (1, 2) for name in ("draft", "check") for how in ("started", "done")
    ]


def watched(api: Api, task_id: str) -> list[dict[str, Any]]:
    """The steps that the stream of events tells."""
    with Client(str(api.http.base_url)) as client:
        return [event.data for event in client.events(task_id) if event.name == "step"]
