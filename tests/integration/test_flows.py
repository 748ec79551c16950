"""Declared flows over HTTP: each kind, over a stub model and skills that note when they begin and end."""

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import PROJECT, Api, problem
from tests.support.skill_folders import write_files
from tests.support.stack import Stack
from tests.support.stub_llm import Request, StubLlm

AGENT = """
name: {name}
system_prompt: You are the {name}.
skills: []
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
"""
FLOWS = {
    "line": """
coordination_type: sequential
steps:
  - {name: first, agent: writer}
  - {name: never, agent: writer, condition: "iteration > 5"}
  - {name: second, agent: judge}
""",
    "refine": """
coordination_type: iterative_refinement
max_iterations: 3
steps:
  - {name: draft, agent: writer}
  - {name: review, agent: judge}
""",
    "many": """
coordination_type: parallel
steps:
  - {name: a, skill: echo, input: {i: 1, ms: 700}}
  - {name: b, skill: echo, input: {i: 2, ms: 700}}
  - {name: c, program: "result = skills.echo(i=3, ms=700)['i'] + inputs['base']"}
""",
    "graph": """
coordination_type: dag
input_schema: {type: object, required: [n], properties: {n: {type: integer}}}
steps:
  - {name: left, skill: echo, input: {i: "${input.n}", ms: 300}}
  - {name: right, skill: echo, input: {i: 2, ms: 600}}
  - name: join
    program: "result = inputs['l'] + inputs['r']"
    input: {l: "${steps.left.output.i}", r: "${steps.right.output.i}"}
    depends_on: [left, right]
  - {name: nested, flow: inner, depends_on: [join], input: {n: "${steps.join.output}"}}
  - {name: extra, skill: echo, input: {i: 9}, condition: "input.n > 100", depends_on: [join]}
""",
    "inner": """
coordination_type: sequential
steps:
  - {name: only, skill: echo, input: {i: "${input.n}"}}
""",
    "asking": """
coordination_type: sequential
steps:
  - {name: which, ask: {text: "Which, of ${input.n}?", options: [red, blue]}}
  - {name: use, program: "result = inputs['c']", input: {c: "${steps.which.output}"}}
""",
    "undo": """
coordination_type: dag
steps:
  - {name: take, skill: echo, input: {i: 1}}
  - {name: fails, program: "1 / 0", depends_on: [take], retry: {max_retries: 1, delay_seconds: 0}, on_failure: "compensate:back"}
  - {name: after, skill: echo, input: {i: 5}, depends_on: [fails]}
  - {name: back, skill: echo, input: {i: 7}}
""",
    "goes_on": """
coordination_type: dag
steps:
  - {name: fails, program: "1 / 0", on_failure: continue}
  - {name: after, program: "result = inputs", input: "${steps.fails.state}", depends_on: [fails]}
""",
    "slow": """
coordination_type: sequential
steps:
  - {name: late, skill: echo, input: {i: 1, ms: 20000}, timeout_seconds: 1}
""",
}


@pytest.fixture
def stub(model: StubLlm) -> StubLlm:
    model.reset()
    return model


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("flows")
    project = shutil.copytree(PROJECT, folder / "project")
    agents = {f"agents/{name}.yaml": AGENT.format(name=name, url=model.url) for name in ("writer", "judge")}
    flows = {f"flows/{name}.yaml": f"name: {name}\n{text}" for name, text in FLOWS.items()}
    write_files(project, {**agents, **flows})
    stack = Stack(folder / "home", project=project)
    one = Api(stack.home, project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    try:
        stack.start_server()
        stack.start_worker().wait_up()
        yield one.start()
    finally:
        one.close()
        stack.close()


def asked(api: Api, flow: str, given: Any = None, **fields: Any) -> str:
    response = api.http.post("/tasks", json={"type": f"workflow:{flow}", "input": given, **fields})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def ran(api: Api, flow: str, given: Any = None, **fields: Any) -> dict[str, Any]:
    return over(api, asked(api, flow, given, **fields))


def over(api: Api, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = {"state": ""}
    deadline = time.monotonic() + 60
    while task["state"] not in ("DONE", "ERROR", "CANCELLED", "TIMED_OUT"):
        assert time.monotonic() < deadline, task
        task = api.get(f"/tasks/{task_id}", wait=20)
    return task


def given_to(request: Request) -> Any:
    return json.loads(request.last)


pytestmark = pytest.mark.slow


def test_a_sequence_hands_on_what_came_before_and_skips_what_its_condition_denies(api: Api, stub: StubLlm) -> None:
    stub.rule("You are the writer", "bees hum")
    stub.rule("You are the judge", '```json\n{"approved": false}\n```')
    task = ran(api, "line", {"topic": "bees"})
    assert task["state"] == "DONE", task
    assert task["output"] == {
        "status": "completed",
        "step_outputs": ["bees hum", {"approved": False}],
        "final_output": {"approved": False},
    }
    assert given_to(stub.requests[-1]) == {
        "topic": "bees",
        "original_topic": "bees",
        "previous_output": "bees hum",
        "research_findings": "bees hum",
    }
    assert [(one["name"], one["state"]) for one in task["subtasks"]] == [
        ("first", "DONE"),
        ("never", "SKIPPED"),
        ("second", "DONE"),
    ]
    assert task["llm_calls"] == 2
    assert task["input_tokens"] == sum(one["input_tokens"] for one in task["subtasks"]) > 0


def test_a_refinement_stops_when_it_is_approved(api: Api, stub: StubLlm) -> None:
    stub.rule("You are the writer", '{"findings": 1}', times=1)
    stub.rule("You are the writer", '{"findings": 2}')
    stub.rule("You are the judge", '{"approved": false, "feedback": "more"}', times=1)
    stub.rule("You are the judge", '{"approved": true}')
    task = ran(api, "refine", {"topic": "bees"})
    assert task["output"] == {
        "status": "completed_converged",
        "iterations": 2,
        "final_assessment": {"approved": True},
        "research_findings": {"findings": 2},
    }
    second = next(given_to(one) for one in stub.requests if "previous_feedback" in one.last)
    assert second == {"topic": "bees", "previous_feedback": {"approved": False, "feedback": "more"}}
    assert [(one["name"], one["iteration"]) for one in task["subtasks"]] == [
        ("draft", 1),
        ("review", 1),
        ("draft", 2),
        ("review", 2),
    ]
    assert task["workflow_state"]["current_iteration"] == 2


def test_a_refinement_that_nobody_approves_ends_at_its_last_round(api: Api, stub: StubLlm) -> None:
    stub.rule("You are the writer", "words")
    stub.rule("You are the judge", "no JSON here")
    task = ran(api, "refine", "bees", tuning={"bound_events": 30})
    assert task["state"] == "DONE", task
    assert (task["output"]["status"], task["output"]["iterations"]) == ("completed_max_iterations", 3)
    assert len(task["subtasks"]) == 6


def test_parallel_steps_overlap(api: Api) -> None:
    began = time.monotonic()
    task = ran(api, "many", {"base": 10})
    took = time.monotonic() - began
    assert {name: one if name == "c" else one["i"] for name, one in task["output"]["step_outputs"].items()} == {
        "a": 1,
        "b": 2,
        "c": 13,
    }
    starts = [line for line in effects(api, task) if line[0] == "begin"]
    ends = [line for line in effects(api, task) if line[0] == "end"]
    assert len(starts) == len(ends) == 3
    assert max(line[4] for line in starts[:2]) < min(line[4] for line in ends), took


def test_a_join_waits_for_all_and_a_flow_is_a_step_of_another(api: Api) -> None:
    task = ran(api, "graph", {"n": 40})
    outputs = task["output"]["step_outputs"]
    assert outputs["join"] == 42
    assert outputs["nested"]["final_output"]["i"] == 42
    assert "extra" not in outputs
    states = {one["name"]: one["state"] for one in task["subtasks"]}
    assert states == {"left": "DONE", "right": "DONE", "join": "DONE", "nested": "DONE", "extra": "SKIPPED"}


def test_a_flow_refuses_an_input_that_does_not_fit_at_the_door(api: Api) -> None:
    response = api.http.post("/tasks", json={"type": "workflow:graph", "input": {"n": "forty"}})
    assert "flow 'graph' cannot take this: input.n" in problem(response, 422, "INVALID_REQUEST")["detail"]
    response = api.http.post("/tasks", json={"type": "workflow:grap", "input": {}})
    body = problem(response, 404, "WORKFLOW_NOT_FOUND")
    assert "did you mean 'graph'" in body["detail"]


def test_a_step_asks_and_the_flow_goes_on_with_the_answer(api: Api) -> None:
    task_id = asked(api, "asking", {"n": 2})
    deadline = time.monotonic() + 30
    while (task := api.get(f"/tasks/{task_id}"))["state"] != "WAITING":
        assert time.monotonic() < deadline, task
        time.sleep(0.1)
    [question] = task["questions"]
    assert question["text"] == "Which, of 2?"
    wrong = api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "green"})
    assert wrong.status_code in (400, 422), wrong.text
    answered = api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "blue"})
    assert answered.status_code == 200, answered.text
    task = over(api, task_id)
    assert task["output"]["final_output"] == "blue"


def test_a_step_that_fails_is_tried_again_then_undone_and_the_flow_fails(api: Api) -> None:
    task = ran(api, "undo")
    assert task["state"] == "ERROR"
    assert "step 'fails' (program) failed" in task["error"]
    states = {one["name"]: one["state"] for one in task["subtasks"]}
    assert states["back"] == "DONE"
    assert states["fails"] == "ERROR"
    assert "after" not in states or states["after"] in ("PENDING", "SKIPPED", "CANCELLED")
    assert sum(line[0] == "begin" for line in effects(api, task)) == 2


def test_a_step_may_fail_and_the_others_see_it(api: Api) -> None:
    task = ran(api, "goes_on")
    assert task["state"] == "DONE", task
    assert task["output"]["step_outputs"]["after"] == "failed"


def test_a_step_has_a_time_limit_of_its_own(api: Api) -> None:
    task = ran(api, "slow")
    assert task["state"] == "ERROR"
    assert "step 'late' (skill echo) failed" in task["error"]


def test_cancelling_a_flow_cancels_what_it_started(api: Api) -> None:
    task_id = asked(api, "slow", limits={"task_seconds": 60})
    deadline = time.monotonic() + 30
    while not (task := api.get(f"/tasks/{task_id}"))["subtasks"]:
        assert time.monotonic() < deadline, task
        time.sleep(0.05)
    assert api.http.post(f"/tasks/{task_id}/cancel").status_code == 202
    task = over(api, task_id)
    assert task["state"] == "CANCELLED"
    assert [one["state"] for one in task["subtasks"]] == ["CANCELLED"]


def effects(api: Api, task: dict[str, Any]) -> list[list[Any]]:
    """What the skills of a task and of its steps noted."""
    path = api.home / "workspaces" / "default" / "default" / "effects.log"
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return [line for line in lines if line[1].startswith(task["id"])]
