"""Tasks of agents and skills over HTTP: an API process, a worker process, and a stub model on loopback."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from holdfast.ids import workflow_id
from tests.support.api import PROJECT, Api, problem, until
from tests.support.authors import fenced, plans
from tests.support.skill_folders import write_files
from tests.support.stack import Stack, running
from tests.support.stub_llm import Fault, StubLlm, calling
from tests.support.stub_wires import Use

COUNTER = """
name: counter
system_prompt: You count.
skills: [echo, ask, noop]
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
"""
TALKER = COUNTER.replace("counter", "talker").replace("[echo, ask, noop]", "[]")
NOBODY = "01a21429-87d5-7bb0-adda-9fb2423d8db9"
TEN = "total = 0\nfor k in range(10):\n    total += skills.echo(i=k)['i']\nresult = total"
ASKING = "first = await skills.echo(i=1)\nresult = await skills.ask(text='Which?', options=['red', 'blue'])"
BAD = "x = skills.echo(i=1)\nresult = x['nothing']"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("agent api")
    project = shutil.copytree(PROJECT, folder / "project")
    agents = {"agents/counter.yaml": COUNTER.format(url=model.url), "agents/talker.yaml": TALKER.format(url=model.url)}
    write_files(project, {"holdfast.yaml": "default_agent: counter\n", **agents})
    stack = Stack(folder / "home", project=project)
    with running(stack):
        yield stack


def execute(api: Api, task: str, **fields: Any) -> dict[str, Any]:
    response = api.http.post("/agent/execute", json={"task": task, **fields})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def finished(api: Api, task_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get("/agent/results", taskId=task_id)
        return None if found["success"] is None else found

    found: dict[str, Any] = until(look)
    return found


def ask(api: Api, kind: str, given: Any = None, **fields: Any) -> dict[str, Any]:
    response = api.http.post("/tasks", json={"type": kind, "input": given, **fields})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def ended(api: Api, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = api.get(f"/tasks/{task_id}", wait=40)
    assert task["state"] in ("DONE", "ERROR", "CANCELLED", "TIMED_OUT"), task
    return task


def open_question(api: Api, task_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        asked: list[dict[str, Any]] = api.get(f"/tasks/{task_id}/questions")
        return next((one for one in asked if one["state"] == "open"), None)

    found: dict[str, Any] = until(look)
    return found


def show(api: Api, task_id: str) -> str:
    """What `holdfast show` prints."""
    command = [sys.executable, "-m", "cli.main", "show", task_id]
    done = subprocess.run(command, cwd=api.project, env=api.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tokens(stub: StubLlm, *replies: str) -> int:
    return sum(one.size_bytes // 4 for one in stub.requests) + sum(max(1, len(reply) // 4) for reply in replies)


# the older agent system's calls


def test_execute_does_not_wait_for_the_task(api: Api, stub: StubLlm, say: Callable[[str], None]) -> None:
    stub.rule(".", '{"answer": "late"}', delay_s=2)
    took, ids = [], []
    for _ in range(3):
        began = time.monotonic()
        ids.append(execute(api, "hi")["taskId"])
        took.append(time.monotonic() - began)
    say(f"{min(took) * 1000:.0f} ms to submit a task")
    assert min(took) < 1
    assert {finished(api, task_id)["output"] for task_id in ids} == {"late"}


async def test_result_of_a_submission_has_true_counts(api: Api, stub: StubLlm, client: Client) -> None:
    plans(stub, TEN)
    sent = execute(api, "add ten numbers", sessionId="s1", availableSkills=["echo", "noop"])
    assert list(sent) == ["success", "message", "taskId", "task", "sessionId"]
    assert (sent["success"], sent["task"], sent["sessionId"]) == (True, "add ten numbers", "s1")
    assert (await client.get_workflow_handle(workflow_id("default", sent["taskId"])).describe()).status
    found = finished(api, sent["taskId"])
    assert (found["success"], found["status"], found["output"], found["error"]) == (True, "completed", 45, None)
    assert (found["task"], found["sessionId"], found["taskId"]) == ("add ten numbers", "s1", sent["taskId"])
    replies = ('{"selected_skills": ["echo"], "reasoning": "it fits"}', fenced(TEN))
    expected = {"llmCalls": len(stub.requests), "skillCalls": 10, "totalTokens": tokens(stub, *replies)}
    assert found["metadata"] == expected
    assert expected["llmCalls"] == 2
    assert 0 < found["executionTime"] < 40_000
    task = api.get(f"/tasks/{sent['taskId']}")
    assert task["input_tokens"] + task["output_tokens"] == expected["totalTokens"]
    assert (task["model_used"], task["llm_calls"]) == ("openai-compatible:stub", 2)
    assert task["total_cost"] is None, "the stub's price is not known"


def test_session_is_made_where_none_is_given(api: Api, stub: StubLlm) -> None:
    stub.rule(".", '{"answer": "hello"}')
    first, second = execute(api, "hi"), execute(api, "hi", sessionId=None)
    assert first["sessionId"] != second["sessionId"]
    assert finished(api, first["taskId"])["output"] == finished(api, second["taskId"])["output"] == "hello"
    assert api.get("/agent/results", sessionId=first["sessionId"])[0]["taskId"] == first["taskId"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "task: is missing in the body"),
        ({"task": ""}, "task: found ''"),
        ({"task": " \n"}, "task: found ' \\n'"),
        ({"task": 7}, "task: found 7"),
        ({"task": "x", "availableSkills": "echo"}, "availableSkills: found 'echo'; input should be a valid list"),
        ({"task": "x", "availableSkills": [7]}, "availableSkills.0: found 7"),
        ({"task": "x", "sessionId": ""}, "sessionId: found ''"),
        ({"task": "x", "systemPrompt": 1}, "systemPrompt: found 1"),
        ([], "body: found []"),
        (b"{", "body: not JSON"),
        (b'{"task": "half \\ud800"}', "half of a surrogate pair"),
    ],
)
def test_submission_that_is_wrong_is_a_400_and_starts_nothing(api: Api, body: Any, says: str) -> None:
    tenant = {"x-tenant-id": f"t{uuid4().hex[:8]}", "content-type": "application/json"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = problem(api.http.post("/agent/execute", content=content, headers=tenant), 400, "BAD_REQUEST")
    assert says in told["message"]
    assert told["error"]["details"]["fields"]
    assert api.http.get("/tasks", headers=tenant).json() == []


def test_unknown_skill_of_a_submission_is_named_with_what_is_close(api: Api) -> None:
    response = api.http.post("/agent/execute", json={"task": "x", "availableSkills": ["ecko"]})
    assert "no skill named 'ecko'; did you mean 'echo'?" in problem(response, 422, "INVALID_REQUEST")["message"]


@pytest.mark.parametrize("task_id", [NOBODY, "no-such", "", "\x00"])
def test_result_of_an_unknown_task_is_a_404(api: Api, task_id: str) -> None:
    problem(api.http.get("/agent/results", params={"taskId": task_id}), 404, "NOT_FOUND")


def test_results_of_a_session_are_listed_newest_first(api: Api, stub: StubLlm) -> None:
    stub.rule(".", '{"answer": "yes"}')
    ids = [execute(api, f"question {n}", sessionId="many")["taskId"] for n in range(12)]
    for task_id in ids:
        finished(api, task_id)
    finished(api, execute(api, "other", sessionId="few")["taskId"])
    found = api.get("/agent/results", sessionId="many")
    assert [one["taskId"] for one in found] == ids[:1:-1]
    assert {one["success"] for one in found} == {True}
    assert [one["task"] for one in api.get("/agent/results", sessionId="many", limit=2)] == [
        "question 11",
        "question 10",
    ]
    assert len(api.get("/agent/results", sessionId="many", limit=1000)) == 12
    assert api.get("/agent/results", sessionId="nobody") == []


def test_prompt_and_skills_of_a_submission_are_honoured(api: Api, stub: StubLlm) -> None:
    plans(stub, TEN)
    sent = execute(api, "add ten numbers", availableSkills=["echo"], systemPrompt="You add, in Suebian.")
    assert finished(api, sent["taskId"])["output"] == 45
    assert "You add, in Suebian." in stub.requests[0].text
    assert "You count." not in stub.requests[0].text
    assert "echo" in stub.requests[0].text
    assert "noop" not in stub.requests[0].text


def test_task_that_fails_is_no_success_and_says_why(api: Api, stub: StubLlm) -> None:
    plans(stub, BAD)
    sent = ask(api, "agent", "one", limits={"max_repairs": 1}, session_id="s2")
    found = finished(api, sent["id"])
    assert (found["success"], found["status"], found["output"]) == (False, "failed", None)
    assert "line 2" in found["error"]
    assert (found["metadata"]["llmCalls"], found["metadata"]["skillCalls"]) == (len(stub.requests), 1)
    task = api.get(f"/tasks/{sent['id']}")
    assert (task["state"], task["repairs"], task["failure"]["type"]) == ("ERROR", 1, "KeyError")


# tasks in plain words, seen as they run


def test_agents_task_is_seen_from_plan_to_answer(api: Api, stub: StubLlm) -> None:
    plans(stub, ASKING, skills='["echo", "ask"]')
    task_id = ask(api, "agent:counter", {"prompt": "choose", "of": ["red", "blue"]}, session_id="s3")["id"]
    question = open_question(api, task_id)
    until(lambda: api.get(f"/tasks/{task_id}")["state"] == "WAITING")
    task = api.get(f"/tasks/{task_id}")
    assert (task["status"], task["calls_done"], task["llm_calls"], task["name"]) == ("running", 1, 2, "counter")
    assert [one["id"] for one in task["questions"]] == [question["id"]]
    assert api.get("/agent/results", taskId=task_id)["success"] is None
    assert api.get(f"/tasks/{task_id}/program")["source"].strip() == ASKING
    kinds = [(step["kind"], step["name"]) for step in api.get(f"/tasks/{task_id}/steps")]
    story = [("llm", "plan"), ("llm", "program"), ("program", "version 1"), ("call", "echo")]
    assert kinds == [*story, ("question", "clarification")]
    problem(
        api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "green"}), 422, "INVALID_REQUEST"
    )
    answered = api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "blue"})
    assert (answered.status_code, answered.json()["state"]) == (200, "answered")
    problem(api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "red"}), 409, "CONFLICT")
    assert ended(api, task_id)["output"] == "blue"
    assert '"of": ["red", "blue"]' in stub.requests[0].text
    steps = api.get(f"/tasks/{task_id}/steps")
    assert [(step["kind"], step["name"]) for step in steps] == [*story, ("question", "clarification")]
    assert steps[0]["model"] == "openai-compatible:stub"
    assert (steps[0]["cost"], steps[2]["state"]) == (None, "DONE")
    journal = api.get(f"/tasks/{task_id}/journal")
    assert (journal["source"].strip(), [entry["skill"] for entry in journal["entries"]]) == (ASKING, ["echo", "ask"])
    assert journal["inputs"] == {"prompt": "choose", "of": ["red", "blue"]}


def test_mended_program_is_the_one_that_is_shown(api: Api, stub: StubLlm) -> None:
    plans(stub, BAD, TEN)
    task = ended(api, ask(api, "agent", "add")["id"])
    assert (task["state"], task["output"], task["repairs"], task["llm_calls"]) == ("DONE", 45, 1, 3)
    program = api.get(f"/tasks/{task['id']}/program")
    assert (program["number"], program["source"].strip()) == (2, TEN)
    steps = [step["name"] for step in api.get(f"/tasks/{task['id']}/steps") if step["kind"] in ("llm", "program")]
    assert sorted(steps) == ["plan", "program", "program", "version 2"]


def test_answer_without_a_program_has_none_to_show(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "Paris")
    task = ended(api, ask(api, "agent:talker", "Capital of France?")["id"])
    assert (task["output"], task["llm_calls"], task["calls_done"]) == ("Paris", 1, 0)
    told = problem(api.http.get(f"/tasks/{task['id']}/program"), 404, "NOT_FOUND")
    assert "ended without one" in told["message"]
    assert [step["kind"] for step in api.get(f"/tasks/{task['id']}/steps")] == ["llm"]
    assert api.get(f"/tasks/{task['id']}/journal")["entries"] == []
    assert api.get(f"/tasks/{task['id']}/questions") == []


def test_model_that_is_busy_is_seen_with_the_time_of_the_next_try(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "", fault=Fault(status=429, headers={"retry-after": "600"}, message="slow down"))
    task_id = ask(api, "agent", "count")["id"]
    line = until(lambda: api.get(f"/tasks/{task_id}")["waiting"])[0]
    assert re.fullmatch(r"llm\.plan, attempt 2: .*429.*; next try at (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC", line), line
    task = api.get(f"/tasks/{task_id}")
    assert (task["state"], task["phase"], task["llm_calls"]) == ("RUNNING", "planning", 0)
    told = problem(api.http.get(f"/tasks/{task_id}/program"), 404, "NOT_FOUND")
    assert "has no program yet (planning)" in told["message"]
    assert api.get(f"/tasks/{task_id}/steps") == []
    assert api.get(f"/tasks/{task_id}/journal")["source"] == ""
    assert len(stub.requests) == 1
    assert api.http.post(f"/tasks/{task_id}/cancel").status_code == 202
    assert ended(api, task_id)["state"] == "CANCELLED"
    assert api.get(f"/tasks/{task_id}")["waiting"] == []


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_outage_of_a_minute_is_seen_and_waited_out(api: Api, stub: StubLlm, say: Callable[[str], None]) -> None:
    plans(stub, TEN)
    stub.stop()
    down_at = time.monotonic()
    try:
        task_id = ask(api, "agent", "count")["id"]
        [line] = until(lambda: api.get(f"/tasks/{task_id}")["waiting"])
        assert re.match(r"llm\.plan, attempt \d+: .*next try at", line), line
        shown = show(api, task_id)
        assert re.search(r"waits for +llm\.plan, attempt \d+", shown), shown
        time.sleep(60 - (time.monotonic() - down_at))
        task = api.get(f"/tasks/{task_id}")
        assert (task["state"], task["llm_calls"], bool(task["waiting"])) == ("RUNNING", 0, True)
    finally:
        stub.start()
    up_at = time.monotonic()
    task = ended(api, task_id)
    say(f"done {time.monotonic() - up_at:.1f} s after the model was back")
    assert (task["state"], task["output"], task["llm_calls"], task["waiting"]) == ("DONE", 45, 2, [])
    assert len(stub.requests) == 2
    assert time.monotonic() - up_at < 30


async def test_terminated_task_of_an_agent_is_noticed_with_what_it_did_until_then(
    api: Api, stub: StubLlm, client: Client
) -> None:
    plans(stub, ASKING, skills='["echo", "ask"]')
    task_id = ask(api, "agent", "choose")["id"]
    open_question(api, task_id)
    await client.get_workflow_handle(workflow_id("default", task_id)).terminate(reason="not needed")
    task = until(lambda: (found := api.get(f"/tasks/{task_id}"))["state"] == "ERROR" and found)
    assert (task["failure"]["type"], task["total_cost"]) == ("Terminated", None)
    assert (task["llm_calls"], task["calls_done"]) == (len(stub.requests), 1)
    assert [step["kind"] for step in api.get(f"/tasks/{task_id}/steps")][:2] == ["llm", "llm"]
    assert api.get(f"/tasks/{task_id}/journal")["source"].strip() == ASKING


def test_same_key_asks_the_model_once(api: Api, stub: StubLlm) -> None:
    stub.rule(".", '{"answer": "once"}')
    body = {"type": "agent", "input": "say it", "idempotency_key": str(uuid4())}
    first = api.http.post("/tasks", json=body).json()
    ended(api, first["id"])
    again = api.http.post("/tasks", json={**body, "limits": {}, "skills": None})
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert (again.json()["id"], again.json()["output"], len(stub.requests)) == (first["id"], "once", 1)
    problem(api.http.post("/tasks", json={**body, "model": "openai:other"}), 422, "IDEMPOTENCY_MISMATCH")


async def test_search_attributes_name_agent_and_session(api: Api, stub: StubLlm, client: Client) -> None:
    stub.rule(".", '{"answer": "ok"}')
    sent = execute(api, "find me", sessionId="s-search")
    described = await client.get_workflow_handle(workflow_id("default", sent["taskId"])).describe()
    found = {pair.key.name: pair.value for pair in described.typed_search_attributes.search_attributes}
    assert found["TaskType"] == "agent:counter"
    assert (found["TaskName"], found["SessionId"]) == ("counter", "s-search")
    assert "find me" not in str(found)
    finished(api, sent["taskId"])


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"type": "agent:clark", "input": "x"}, 404, "AGENT_NOT_FOUND", "no agent named 'clark'"),
        ({"type": "agent", "input": ""}, 422, "INVALID_REQUEST", "input: found ''"),
        ({"type": "agent", "input": "x", "skills": ["read-file"]}, 422, "INVALID_REQUEST", "may not use 'read-file'"),
        ({"type": "agent", "input": "x", "model": "gpt"}, 422, "INVALID_REQUEST", "expected 'provider:model'"),
        (
            {"type": "agent", "input": "x", "model": {"provider": "openai", "api_base": "http://evil.example"}},
            422,
            "INVALID_REQUEST",
            "api_base cannot be set by a request",
        ),
        ({"type": "agent", "input": "x", "strategy": "loops"}, 422, "INVALID_REQUEST", "strategy: found 'loops'"),
        ({"type": "agent", "input": "x", "session_id": "a\nb"}, 422, "INVALID_REQUEST", "session_id"),
        ({"type": "skill:ecko", "input": {}}, 404, "SKILL_NOT_FOUND", "did you mean 'echo'?"),
        ({"type": "skill:echo", "input": {"i": "x"}}, 422, "INVALID_SKILL_INPUT", "arguments.i"),
        ({"type": "tool:echo", "input": None}, 422, "INVALID_SKILL_INPUT", "'i'"),
    ],
)
def test_task_that_cannot_run_is_refused_and_not_kept(
    api: Api, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    tenant = {"x-tenant-id": f"t{uuid4().hex[:8]}"}
    assert says in problem(api.http.post("/tasks", json=body, headers=tenant), status, code)["message"]
    assert api.http.get("/tasks", headers=tenant).json() == []


# skills


@pytest.mark.parametrize("kind", ["skill", "tool"])
def test_skill_task_is_one_recorded_call(api: Api, stack: Stack, stub: StubLlm, kind: str) -> None:
    task = ended(api, ask(api, f"{kind}:Echo", {"i": 7, "size": 3000})["id"])
    assert (task["state"], task["type"], task["output"]["i"]) == ("DONE", f"{kind}:echo", 7)
    assert (task["calls_done"], task["llm_calls"], task["total_cost"]) == (1, 0, 0.0)
    assert len(stack.effects(task["id"])) == 2, "one begin, one end"
    steps = api.get(f"/tasks/{task['id']}/steps")
    assert [(step["kind"], step["name"], step["state"]) for step in steps] == [("call", "echo", "answered")]
    journal = api.get(f"/tasks/{task['id']}/journal")
    assert [entry["value"]["pad"] for entry in journal["entries"]] == ["y" * 3000]
    told = problem(api.http.get(f"/tasks/{task['id']}/program"), 404, "NOT_FOUND")
    assert "it is one call of a skill" in told["message"]
    assert stub.requests == []


def test_skill_task_that_fails_is_an_error(api: Api) -> None:
    task = ended(api, ask(api, "skill:boom", {"i": 1})["id"])
    assert (task["state"], task["output"]) == ("ERROR", None)
    assert task["failure"]["message"]


def test_skill_ask_is_a_question_of_its_task(api: Api) -> None:
    task_id = ask(api, "skill:ask", {"text": "Which?", "options": ["red", "blue"]})["id"]
    question = open_question(api, task_id)
    assert (question["text"], question["options"]) == ("Which?", ["red", "blue"])
    assert api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "red"}).status_code == 200
    assert ended(api, task_id)["output"] == "red"


# operations


def test_health_counts_a_good_and_a_bad_run_and_names_the_models(api: Api, stub: StubLlm) -> None:
    before = api.get("/health")
    assert set(before["services"]) == {"api", "agent", "sandbox", "llm", "temporal", "store", "worker"}
    assert before["services"]["llm"].startswith("ok")
    assert before["database"] == "connected"
    ended(api, api.submit("result = 1")["id"])
    ended(api, api.submit("1 / 0")["id"])
    after = api.get("/health")["metrics"]
    change = {name: after[name] - before["metrics"][name] for name in ("successfulTasks", "failedTasks", "totalTasks")}
    assert change == {"successfulTasks": 1, "failedTasks": 1, "totalTasks": 2}
    assert after["averageExecutionTime"] > 0
    assert stub.requests == [], "no model is asked for a health check"


def test_system_shows_the_living_registry(api: Api, stack: Stack) -> None:
    system = api.get("/api/system")
    assert {"assistant", "counter", "talker", "master"} <= set(system["agents"])
    assert "content_review" in system["flows"]
    assert {"echo", "code-analysis"} <= set(system["skills"])
    assert (len(system["workers"]), system["sandboxes"]) == (1, ["local"])
    assert system["metrics"] == api.get("/health")["metrics"]
    assert api.get("/api/skills") == api.get("/skills")
    assert api.get("/api/skills/Code_Analysis") == api.get("/skills/code-analysis")
    late = Path(stack.project) / "agents" / "late.yaml"
    try:
        late.write_text("name: late\n")
        assert "late" in api.get("/api/system")["agents"]
    finally:
        late.unlink()


def test_what_the_model_says_is_not_logged(api: Api, stub: StubLlm, stack: Stack) -> None:
    stub.rule(".", '{"answer": "a secret answer"}')
    ended(api, ask(api, "agent", "a secret question")["id"])
    logs = api.log.read_text() + "".join(worker.log.read_text() for worker in stack.workers)
    assert "secret" not in logs


def test_the_model_is_told_of_files_and_mends_what_cannot_be_handed_out(api: Api, stub: StubLlm) -> None:
    sent = api.http.post("/files", params={"name": "x.csv"}, content=b"4,2").json()
    link = "import os; os.symlink('/etc/shadow', 'out/copy')"
    plans(stub, link, "open('out/copy', 'w').write(open('in/x.csv').read()); result = 'copied'")
    files = [{"ref": sent["ref"], "name": "x.csv"}]
    task = ended(api, ask(api, "agent", "copy it", files=files)["id"])
    assert (task["state"], task["output"], task["repairs"]) == ("DONE", "copied", 1), task
    assert api.http.get(f"/tasks/{task['id']}/files/copy").content == b"4,2"
    assert [one["name"] for one in task["files"]] == ["copy"]
    told = [one.last for one in stub.requests]
    assert all("x.csv (3 bytes)" in said for said in told[:2])
    assert "'out/copy': Too many levels of symbolic links" in told[2]


def test_files_for_an_agent_that_runs_no_program_are_refused(api: Api) -> None:
    sent = api.http.post("/files", content=b"x").json()
    body = {"type": "agent:talker", "input": "hi", "files": [{"ref": sent["ref"], "name": "x"}]}
    assert "no program would read them" in problem(api.http.post("/tasks", json=body), 422, "INVALID_REQUEST")["detail"]


def test_loop_is_told_by_its_steps_and_its_journal(api: Api, stub: StubLlm) -> None:
    stub.rule(
        lambda request: len(request.results) < 4, lambda request: calling(Use("echo", {"i": len(request.results)}))
    )
    stub.rule(
        lambda request: "stop" not in request.text, calling(Use("ask", {"text": "Go on?"}), Use("boom", {"i": 1}))
    )
    body = {"strategy": "loop", "tuning": {"bound_events": 20}}
    task_id = ask(api, "agent:counter", "count", **body)["id"]
    question = open_question(api, task_id)
    turns = [f"turn {number}: echo" for number in range(1, 5)]
    running = api.get(f"/tasks/{task_id}/steps")
    assert [one["detail"] for one in running if one["kind"] == "llm"] == [*turns, "turn 5: ask, boom"]
    assert [one["name"] for one in running if one["kind"] == "call"] == ["echo"] * 4 + ["boom"]
    api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json={"value": "stop"}).raise_for_status()
    task = ended(api, task_id)
    assert (task["state"], task["output"], task["calls_done"], task["llm_calls"]) == ("DONE", "OK", 6, 6)
    done = api.get(f"/tasks/{task_id}/steps")
    assert [one["detail"] for one in done if one["kind"] == "llm"] == [*turns, "turn 5: ask, boom", "turn 6: answer"]
    assert [one["name"] for one in done if one["kind"] == "question"] == ["clarification"]
    entries = api.get(f"/tasks/{task_id}/journal")["entries"]
    assert [(one["skill"], one["state"]) for one in entries[:4]] == [("echo", "answered")] * 4
    states = {one["skill"]: (one["state"], one["scope"]) for one in entries[4:]}
    assert states == {"ask": ("answered", "loop"), "boom": ("failed", "loop")}
    assert "is not granted to this task" in next(one["error"]["message"] for one in entries if one["skill"] == "boom")
    assert "6 done, 0 open" in show(api, task_id)
