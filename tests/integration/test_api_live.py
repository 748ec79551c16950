"""The API with a Temporal server and a worker that are really there."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from holdfast.ids import task_id_from_key, workflow_id
from tests.support.api import Api, problem
from tests.support.api import until as until_within
from tests.support.stack import Stack, running

ASKING = """
import asyncio
first = await skills.echo(i=1, tag="one")
colour = await skills.ask(text="Which colour?", options=["red", "blue"])
print("asked")
result = {"first": first["i"], "colour": colour, "who": inputs["user_email"] if inputs else None}
"""


until = partial(until_within, seconds=30)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("live"))
    with running(stack):
        yield stack


def open_question(api: Api, task_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        questions: list[dict[str, Any]] = api.get(f"/tasks/{task_id}/questions")
        return next((one for one in questions if one["state"] == "open"), None)

    found: dict[str, Any] = until(look)
    return found


def ended(api: Api, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = api.get(f"/tasks/{task_id}", wait=30)
    assert task["state"] in ("DONE", "ERROR", "CANCELLED", "TIMED_OUT"), task
    return task


def test_everything_is_healthy_with_server_and_worker(api: Api, stack: Stack) -> None:
    health = until(lambda: (found := api.http.get("/health").json())["status"] == "healthy" and found)
    llm = health["services"].pop("llm")
    assert llm == "ok: offline only, no model is set up"
    assert set(health["services"].values()) == {"ok"}
    assert api.get("/health/ready") == {"status": "ready", "dependencies": {"temporal": "ok", "store": "ok"}}
    assert {queue for worker in api.get("/workers") for queue in worker["queues"]} >= {"agents", "skills", "sandbox"}


def test_who_asks_may_wait_for_the_end_in_the_same_request(api: Api) -> None:
    asked = {"type": "program", "program": "result = skills.echo(i=6)['i'] * 7"}
    response = api.http.post("/tasks", params={"wait": 30}, json=asked)
    assert (response.status_code, response.json()["state"], response.json()["output"]) == (201, "DONE", 42)
    slow = {"type": "program", "program": "skills.echo(i=1, ms=3000)"}
    response = api.http.post("/tasks", params={"wait": 0.5}, json=slow)
    assert (response.status_code, response.json()["status"]) == (201, "running")
    assert ended(api, response.json()["id"])["state"] == "DONE"


def test_task_runs_to_its_end_and_tells_its_story(api: Api) -> None:
    program = """```python
answers = [await skills.echo(i=n, size=300) for n in range(3)]
result = [a["i"] for a in answers]
```"""
    response = api.http.post("/tasks", json={"type": "program", "program": program, "input": {"n": 3}})
    assert response.status_code == 201
    created = response.json()
    assert (created["status"], created["state"]) == ("pending", "PENDING")
    assert response.headers["location"] == f"/tasks/{created['id']}"
    task = ended(api, created["id"])
    assert (task["status"], task["state"], task["output"], task["input"]) == ("done", "DONE", [0, 1, 2], {"n": 3})
    assert task["calls_done"] == 3
    assert task["trace_id"] == created["trace_id"] == response.headers["x-trace-id"]
    assert api.get(f"/tasks/{task['id']}/result")["output"] == [0, 1, 2]
    journal = api.get(f"/tasks/{task['id']}/journal")
    assert journal["format"] == 1
    assert [entry["arguments"]["i"] for entry in journal["entries"]] == [0, 1, 2]
    assert [entry["value"]["pad"] for entry in journal["entries"]] == ["y" * 300] * 3
    assert [entry["state"] for entry in journal["entries"]] == ["answered"] * 3
    assert journal["seed"] > 0
    assert journal["inputs"] == {"n": 3}
    program_now = api.get(f"/tasks/{task['id']}/program")
    assert (program_now["first_line"], program_now["number"]) == (2, 1)
    assert program_now["source"] == journal["source"]
    steps = api.get(f"/tasks/{task['id']}/steps")
    assert [(step["kind"], step["name"]) for step in steps] == [("program", "version 1"), *[("call", "echo")] * 3]
    assert steps[1]["detail"] == "i=0, size=300"


def test_program_that_fails_is_an_error_with_the_users_own_line(api: Api) -> None:
    task = ended(api, api.submit("<code>\nx = 1\n1 / 0\n</code>")["id"])
    assert (task["status"], task["state"], task["failure"]["type"]) == ("error", "ERROR", "ZeroDivisionError")
    assert "line 3" in json.dumps(task["failure"])


def test_question_is_shown_answered_once_and_finishes_the_task(api: Api) -> None:
    task_id = api.submit(ASKING)["id"]
    question = open_question(api, task_id)
    assert (question["text"], question["options"]) == ("Which colour?", ["red", "blue"])
    place = f"/tasks/{task_id}/questions"
    until(lambda: api.get(f"/tasks/{task_id}")["state"] == "WAITING")
    problem(api.http.post(f"{place}/nope", json={"answer": "red"}), 404, "NOT_FOUND")
    problem(api.http.post(f"{place}/{question['id']}", json={"answer": "green"}), 422, "INVALID_REQUEST")
    problem(api.http.post(f"{place}/{question['id']}", json={}), 422, "INVALID_REQUEST")
    first = api.http.post(f"{place}/{question['id']}", json={"value": "blue"})
    assert (first.status_code, first.json()["state"], first.json()["answer"]) == (200, "answered", "blue")
    problem(api.http.post(f"{place}/{question['id']}", json={"answer": "red"}), 409, "CONFLICT")
    task = ended(api, task_id)
    assert (task["output"], task["stdout"]) == ({"first": 1, "colour": "blue", "who": None}, "asked\n")
    kinds = [(step["kind"], step["state"]) for step in api.get(f"/tasks/{task_id}/steps")]
    assert kinds == [("program", "DONE"), ("call", "answered"), ("question", "answered")]


def test_mended_source_is_checked_before_it_is_taken(api: Api) -> None:
    task_id = api.submit("x = await skills.echo(i=1)\nresult = x['i'] / 0", on_error="ask")["id"]
    question = open_question(api, task_id)
    place = f"/tasks/{task_id}/questions/{question['id']}"
    problem(api.http.post(place, json={"answer": "x = = 1"}), 422, "INVALID_PROGRAM")
    problem(api.http.post(place, json={"answer": 7}), 422, "INVALID_REQUEST")
    mended = "```python\nx = await skills.echo(i=1)\nresult = x['i'] / 1\n```"
    assert api.http.post(place, json={"answer": mended}).status_code == 200
    task = ended(api, task_id)
    assert (task["output"], task["repairs"], task["calls_done"]) == (1, 1, 1)
    program = api.get(f"/tasks/{task_id}/program")
    assert (program["number"], program["source"]) == (2, "x = await skills.echo(i=1)\nresult = x['i'] / 1")


def test_same_key_starts_one_task_however_often_it_is_sent(api: Api, stack: Stack) -> None:
    key = str(uuid4())
    body = {"type": "program", "program": "result = (await skills.echo(i=5))['i']", "idempotency_key": key}
    first = api.http.post("/tasks", json=body)
    ended(api, first.json()["id"])
    again = api.http.post("/tasks", json=body)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.json()["id"] == first.json()["id"] == task_id_from_key("default", key)
    assert (again.json()["state"], again.json()["output"]) == ("DONE", 5)
    assert len(stack.effects(first.json()["id"])) == 2, "one begin, one end"


def test_cancelled_task_ends_soon_and_only_once(api: Api) -> None:
    task_id = api.submit(ASKING)["id"]
    open_question(api, task_id)
    problem(api.http.get(f"/tasks/{task_id}/result"), 409, "CONFLICT")
    assert api.http.post(f"/tasks/{task_id}/cancel").status_code == 202
    assert ended(api, task_id)["state"] == "CANCELLED"
    problem(api.http.post(f"/tasks/{task_id}/cancel"), 409, "CONFLICT")


async def test_task_that_was_terminated_in_temporal_is_noticed(api: Api, client: Client) -> None:
    task_id = api.submit(ASKING)["id"]
    open_question(api, task_id)
    await client.get_workflow_handle(workflow_id("default", task_id)).terminate(reason="not needed")
    task = until(lambda: (found := api.get(f"/tasks/{task_id}"))["state"] == "ERROR" and found)
    assert task["failure"]["type"] == "Terminated"
    assert "not needed" in task["error"]
    assert task_id in [one["id"] for one in api.get("/tasks", status_filter="error")]
    problem(api.http.post(f"/tasks/{task_id}/cancel"), 409, "CONFLICT")


async def test_mail_is_nowhere_in_history_database_or_logs(api: Api, stack: Stack, client: Client) -> None:
    mail = "Ada.Lovelace@Example.org"
    expected = hashlib.sha256(mail.lower().encode()).hexdigest()
    task_id = api.submit(ASKING, user_id=mail, input={"user_email": mail})["id"]
    question = open_question(api, task_id)
    body = {"answer": "red", "user_id": mail}
    assert api.http.post(f"/tasks/{task_id}/questions/{question['id']}", json=body).json()["answered_by"] == expected
    assert ended(api, task_id)["output"]["who"] == expected
    handle = client.get_workflow_handle(workflow_id("default", task_id))
    history = (await handle.fetch_history()).to_json()
    described = await handle.describe()
    assert expected in str(described.typed_search_attributes)
    assert "lovelace" not in history.lower()
    kept = [path for path in stack.home.rglob("*") if path.is_file()]
    assert [path for path in kept if b"lovelace" in path.read_bytes().lower()] == []


async def test_one_trace_id_from_request_to_workflow(api: Api, client: Client) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    body = {"type": "program", "program": "result = 1"}
    task = api.http.post("/tasks", json=body, headers=headers).json()
    described = await client.get_workflow_handle(workflow_id("default", task["id"])).describe()
    assert await described.memo() == {"trace_id": trace, "catalogue": task["catalogue"]}
    assert trace in str(described.typed_search_attributes)


@pytest.mark.slow
def test_without_a_worker_tasks_are_taken_and_questions_say_why_not(stack: Stack, api: Api) -> None:
    stack.workers[-1].kill()
    try:
        task_id = api.submit("result = 2")["id"]
        task = api.get(f"/tasks/{task_id}")
        assert task["state"] == "PENDING"
        assert task["note"]
        assert (
            "try again" in problem(api.http.get(f"/tasks/{task_id}/questions"), 503, "TEMPORAL_UNAVAILABLE")["message"]
        )
    finally:
        stack.start_worker().wait_up()
    assert ended(api, task_id)["output"] == 2


@pytest.mark.slow
def test_server_lost_in_the_middle_loses_no_task(stack: Stack, api: Api) -> None:
    """The server goes away and comes back, with its history; the API notices both without a restart."""
    waiting = api.submit(ASKING)["id"]
    question = open_question(api, waiting)
    assert stack.server is not None
    until(lambda: waiting in [task["id"] for task in api.get("/tasks", state="WAITING")])
    stack.server.kill()
    task = api.get(f"/tasks/{waiting}")
    assert task["state"] in ("RUNNING", "WAITING")
    assert task["note"]
    key = {"type": "program", "program": "result = 3", "idempotency_key": str(uuid4())}
    problem(api.http.post("/tasks", json=key), 503, "TEMPORAL_UNAVAILABLE")
    assert api.http.get("/health/ready").status_code == 503
    stack.start_server()
    until(lambda: api.http.get("/health/ready").status_code == 200)
    assert ended(api, until(lambda: api.http.post("/tasks", json=key).json().get("id")))["output"] == 3
    until(lambda: api.http.post(f"/tasks/{waiting}/questions/{question['id']}", json={"answer": "red"}).is_success)
    assert ended(api, waiting)["output"]["colour"] == "red"
