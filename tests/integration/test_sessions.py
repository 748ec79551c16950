"""Conversations over HTTP: an API process, worker processes, and a stub model on loopback."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.api import PROJECT, Api, problem
from tests.support.authors import PLAN, PROGRAM, fenced, says
from tests.support.skill_folders import write_files
from tests.support.stack import Stack, until
from tests.support.stub_llm import Fault, Request, StubLlm

TALKER = """
name: talker
system_prompt: You talk.
skills: []
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
"""
DOER = TALKER.replace("talker", "doer").replace("[]", "[echo, ask, noop]")
BRIEF = TALKER.replace("talker", "brief") + "session: {{idle_timeout_seconds: 1}}\n"
WATCHER = TALKER.replace("talker", "watcher") + (
    "execution_mode: continuous\ncontinuous_config: {{idle_timeout_seconds: 1, max_conversation_history: 100}}\n"
)
ASKING = "result = skills.ask(text='Which one?')"
MANY = 3
"""MAX_SESSIONS of the worker."""


def project(folder: Path, url: str) -> Path:
    made = shutil.copytree(PROJECT, folder / "project")
    agents = {"talker": TALKER, "doer": DOER, "brief": BRIEF, "watcher": WATCHER}
    files = {f"agents/{name}.yaml": text.format(url=url) for name, text in agents.items()}
    write_files(made, {"holdfast.yaml": "default_agent: talker\n", **files})
    return made


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("sessions")
    stack = Stack(folder / "home", project=project(folder, model.url))
    try:
        stack.start_server()
        stack.start_worker(MAX_SESSIONS=str(MANY)).wait_up()
        yield stack
    finally:
        stack.close()


def new_session() -> str:
    return f"s-{uuid4()}"


def say(api: Api, session_id: str, text: str, **fields: Any) -> dict[str, Any]:
    response = api.http.post(f"/sessions/{session_id}/messages", json={"text": text, **fields})
    assert response.status_code == 202, response.text
    taken: dict[str, Any] = response.json()
    return taken


def over(api: Api, task_id: str, seconds: float = 40) -> dict[str, Any]:
    """The task once it is over."""
    deadline = time.monotonic() + seconds
    while True:
        task: dict[str, Any] = api.get(f"/tasks/{task_id}", wait=5)
        if task["state"] not in ("PENDING", "RUNNING", "WAITING"):
            return task
        assert time.monotonic() < deadline, task


def told(api: Api, session_id: str, text: str, **fields: Any) -> dict[str, Any]:
    """The turn of a message, once it is over."""
    return over(api, say(api, session_id, text, **fields)["task_id"])


def asked_last(stub: StubLlm) -> Request:
    return stub.requests[-1]


def words(request: Request) -> list[str]:
    """What was said, in order, without the system prompt."""
    return [text for _, text in request.messages]


def test_the_second_prompt_holds_the_first_turn_and_that_of_another_session_does_not(api: Api, stub: StubLlm) -> None:
    stub.rule(lambda request: "What is my name" in request.last, "You are Alice.")
    stub.rule("My name is Alice", "Hello Alice.")
    one = new_session()
    first = told(api, one, "My name is Alice.")
    second = told(api, one, "What is my name?")
    assert (first["output"], second["output"]) == ("Hello Alice.", "You are Alice.")
    assert words(asked_last(stub)) == ["My name is Alice.", "Hello Alice.", "What is my name?"]
    told(api, new_session(), "What is my name?")
    assert words(asked_last(stub)) == ["What is my name?"]
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 2))
    shown = api.get(f"/sessions/{one}")
    assert (shown["turns"], [turn["said"] for turn in shown["recent"]]) == (
        2,
        ["My name is Alice.", "What is my name?"],
    )
    assert (shown["state"], shown["title"], shown["running"]) == ("active", "My name is Alice.", None)


@pytest.mark.slow
def test_messages_are_answered_one_after_another_in_the_order_of_their_arrival(api: Api, stub: StubLlm) -> None:
    stub.rule("number 0", "zero", delay_s=1.0, times=1)
    stub.rule(".", lambda request: f"heard {request.last}")
    one = new_session()
    taken = [say(api, one, f"number {k}") for k in range(4)]
    assert [(each["turn"], each["ahead"]) for each in taken] == [(1, 0), (2, 1), (3, 2), (4, 3)]
    shown = api.get(f"/sessions/{one}")
    assert (shown["running"]["said"], [turn["number"] for turn in shown["queued"]]) == ("number 0", [2, 3, 4])
    assert api.get(f"/tasks/{taken[3]['task_id']}")["state"] == "PENDING"
    over(api, taken[3]["task_id"])
    assert words(asked_last(stub)) == [
        *("number 0", "zero", "number 1", "heard number 1", "number 2", "heard number 2", "number 3"),
    ]
    said = api.get(f"/sessions/{one}/messages", limit=3)
    assert [(turn["said"], turn["answer"]) for turn in said] == [
        (f"number {k}", f"heard number {k}") for k in (3, 2, 1)
    ]


class Watcher:
    """Hears a session's events in a thread of its own."""

    def __init__(self, api: Api, session_id: str, after: str = "") -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.over = threading.Event()
        self._url, self._after = f"http://127.0.0.1:{api.port}/sessions/{session_id}/events", after
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        headers = {"Last-Event-ID": self._after} if self._after else {}
        with (
            contextlib.suppress(httpx2.TransportError),
            httpx2.stream("GET", self._url, headers=headers, trust_env=False, timeout=60) as response,
        ):
            fields: dict[str, str] = {}
            for line in response.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                if "data" in fields:
                    self.events.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
                fields = {}
        self.over.set()

    def turns(self) -> list[tuple[str, str, str | None]]:
        return [(data["said"], data["state"], data["answer"]) for event, _, data in self.events if event == "turn"]

    def ended(self, count: int, seconds: float = 20) -> "Watcher":
        deadline = time.monotonic() + seconds
        while sum(state not in ("PENDING", "RUNNING") for _, state, _ in self.turns()) < count:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.02)
        return self


@pytest.mark.slow
def test_several_watchers_hear_the_same_turns_and_one_goes_on_where_it_stopped(api: Api, stub: StubLlm) -> None:
    stub.rule(".", lambda request: f"heard {request.last}", delay_s=0.5)
    one = new_session()
    first = say(api, one, "first")
    watchers = [Watcher(api, one), Watcher(api, one)]
    second = say(api, one, "second")
    heard = [watcher.ended(2).events for watcher in watchers]
    plain = [[(kind, name, data) for kind, name, data in events if kind != "delta"] for events in heard]
    assert plain[0] == plain[1]
    turns = [(data["said"], data["state"], data["answer"]) for kind, _, data in plain[0] if kind == "turn"]
    assert [turn for turn in turns if turn[1] == "DONE"] == [
        ("first", "DONE", "heard first"),
        ("second", "DONE", "heard second"),
    ]
    assert {data["task_id"] for _, _, data in plain[0]} == {first["task_id"], second["task_id"]}
    end_of_first = next(name for kind, name, data in plain[0] if kind == "turn" and data["state"] == "DONE")
    later = Watcher(api, one, end_of_first).ended(1)
    assert [turn[0] for turn in later.turns()] == ["second", "second"]
    whole = Watcher(api, one, "0").ended(2)
    assert [turn[0] for turn in whole.turns() if turn[1] == "DONE"] == ["first", "second"]
    api.http.delete(f"/sessions/{one}")
    assert all(watcher.over.wait(10) for watcher in [*watchers, later, whole])


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "mode"), [("brief", "chat"), ("watcher", "continuous")])
async def test_an_idle_session_hibernates_and_the_next_message_wakes_it_with_its_history(
    api: Api, stub: StubLlm, client: Client, agent: str, mode: str
) -> None:
    stub.rule(".", lambda request: f"heard {request.last}")
    one = new_session()
    told(api, one, "before", agent=agent)
    handle = client.get_workflow_handle(f"default/session:{one}")

    async def rests() -> bool:
        return (await handle.describe()).status == WorkflowExecutionStatus.COMPLETED

    await until(rests)
    asleep = api.get(f"/sessions/{one}")
    assert (asleep["state"], asleep["turns"], asleep["idle_seconds"], asleep["mode"]) == ("idle", 1, 1.0, mode)
    assert [turn["answer"] for turn in asleep["recent"]] == ["heard before"]
    assert told(api, one, "after", agent=agent)["state"] == "DONE"
    assert words(asked_last(stub)) == ["before", "heard before", "after"]
    assert say(api, one, "third")["turn"] == 3


@pytest.mark.slow
def test_of_too_many_sessions_those_idle_longest_hibernate(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "yes")
    sessions = [new_session() for _ in range(MANY + 1)]
    for one in sessions:
        told(api, one, "hello")

    def states() -> list[str]:
        return [api.get(f"/sessions/{one}")["state"] for one in sessions]

    asyncio.run(until(lambda: states()[0] == "idle"))
    assert states()[-1] == "active"
    told(api, sessions[0], "again")
    assert words(asked_last(stub)) == ["hello", "yes", "again"]


@pytest.mark.slow
def test_the_next_message_answers_the_one_open_question(api: Api, stub: StubLlm) -> None:
    says(stub, PLAN, '{"selected_skills": ["ask"], "reasoning": "it must be asked"}')
    says(stub, PROGRAM, fenced(ASKING))
    one = new_session()
    asking = say(api, one, "Take one", agent="doer")
    asyncio.run(until(lambda: api.get(f"/tasks/{asking['task_id']}")["state"] == "WAITING"))
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["questions"]))
    shown = api.get(f"/sessions/{one}")
    assert (shown["running"]["state"], [each["text"] for each in shown["questions"]]) == ("WAITING", ["Which one?"])
    answer = say(api, one, "the red one", idempotency_key="red")
    assert (answer["task_id"], answer["answered"]) == (asking["task_id"], shown["questions"][0]["id"])
    assert over(api, asking["task_id"])["output"] == "the red one"
    again = say(api, one, "the red one", idempotency_key="red")
    assert (again["task_id"], again["answered"]) == (answer["task_id"], answer["answered"])
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 1))


@pytest.mark.slow
def test_a_turn_that_fails_or_is_cancelled_is_part_of_a_conversation_that_goes_on(api: Api, stub: StubLlm) -> None:
    says(stub, "broken", "", fault=Fault(status=400, message="no such thing"))
    says(stub, "slow one", "late", delay_s=20)
    one = new_session()
    assert told(api, one, "this is broken")["state"] == "ERROR"
    slow = say(api, one, "the slow one")
    waiting = say(api, one, "never begun")
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["running"]))
    assert api.http.post(f"/tasks/{waiting['task_id']}/cancel").status_code == 202
    assert api.http.post(f"/tasks/{slow['task_id']}/cancel").status_code == 202
    assert over(api, slow["task_id"])["state"] == "CANCELLED"
    assert over(api, waiting["task_id"])["state"] == "CANCELLED"
    assert told(api, one, "and now?")["output"] == "OK"
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 3))
    shown = api.get(f"/sessions/{one}")
    assert [(turn["said"], turn["state"]) for turn in shown["recent"]] == [
        ("this is broken", "ERROR"),
        ("the slow one", "CANCELLED"),
        ("and now?", "DONE"),
    ]
    assert words(asked_last(stub))[0] == "this is broken"
    assert not any("never begun" in request.text for request in stub.requests)


def test_the_same_key_is_the_same_turn(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "once", delay_s=0.3)
    one, key = new_session(), str(uuid4())
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: say(api, one, "hello", idempotency_key=key), range(4)))
    assert len({each["task_id"] for each in taken}) == 1
    over(api, taken[0]["task_id"])
    assert say(api, one, "hello", idempotency_key=key)["task"]["state"] == "DONE"
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 1))
    assert len(stub.requests) == 1


@pytest.mark.slow
def test_a_turn_that_waits_long_is_handed_over_again_and_stays_one_turn(api: Api, stack: Stack) -> None:
    one = new_session()
    asking = api.submit(ASKING, session_id=one)["id"]
    waiting = api.submit("result = 'second'", session_id=one)["id"]
    (question,) = asyncio.run(until(lambda: api.get(f"/tasks/{asking}/questions")))
    assert made_longer_ago(stack, waiting), "it is kept how it begins"
    asyncio.run(until(lambda: not kept_begin(stack, waiting)))
    view = api.get(f"/sessions/{one}")
    assert [turn["task_id"] for turn in [view["running"], *view["queued"]]] == [asking, waiting]
    assert api.get(f"/tasks/{waiting}")["state"] == "PENDING"
    assert api.http.post(f"/tasks/{asking}/questions/{question['id']}", json={"answer": "red"}).status_code == 200
    assert [over(api, each)["output"] for each in (asking, waiting)] == ["red", "second"]
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 2))
    assert api.get(f"/sessions/{one}")["queued"] == []


def made_longer_ago(stack: Stack, task_id: str) -> bool:
    """Set back when a task was recorded, by a minute; whether it is kept how it begins."""
    with contextlib.closing(sqlite3.connect(stack.home / "holdfast.db", timeout=10)) as database, database:
        this = "UPDATE tasks SET created_at = datetime(created_at, '-1 minute') || '.000000' WHERE id = ?"
        database.execute(this, (task_id,))
    return kept_begin(stack, task_id)


def kept_begin(stack: Stack, task_id: str) -> bool:
    with contextlib.closing(sqlite3.connect(stack.home / "holdfast.db", timeout=10)) as database:
        ((kept,),) = database.execute("SELECT begins IS NOT NULL FROM tasks WHERE id = ?", (task_id,))
    return bool(kept)


@pytest.mark.slow
def test_tasks_of_every_endpoint_are_turns_and_programs_hand_variables_on(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "yes")
    one = new_session()
    program = api.submit("session['n'] = 41\nresult = 'kept'", session_id=one)
    assert over(api, program["id"])["output"] == "kept"
    asyncio.run(until(lambda: api.get(f"/sessions/{one}/variables") == {"n": 41}))
    assert over(api, api.submit("session['n'] += 1\nresult = session['n']", session_id=one)["id"])["output"] == 42
    skill = api.http.post("/tasks", json={"type": "skill:echo", "input": {"i": 3}, "session_id": one}).json()
    assert over(api, skill["id"])["state"] == "DONE"
    older = api.http.post("/agent/execute", json={"task": "older words", "sessionId": one}).json()
    assert over(api, older["taskId"])["output"] == "yes"
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 4))
    assert api.get(f"/sessions/{one}")["variables"] == ["n"]
    assert len(words(asked_last(stub))) == 7


@pytest.mark.slow
def test_a_closed_session_stops_its_turns_and_takes_no_message(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "late", delay_s=20)
    one = new_session()
    running, waiting = say(api, one, "long"), say(api, one, "behind")
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["running"]))
    assert api.http.delete(f"/sessions/{one}").json()["state"] == "closed"
    assert [over(api, each["task_id"])["state"] for each in (running, waiting)] == ["CANCELLED", "CANCELLED"]
    problem(api.http.post(f"/sessions/{one}/messages", json={"text": "more"}), 409, "CONFLICT")
    problem(api.http.post("/tasks", json={"type": "agent", "input": "more", "session_id": one}), 409, "CONFLICT")
    asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 1))
    assert api.get(f"/sessions/{one}")["recent"][0]["state"] == "CANCELLED"


def test_a_session_can_be_made_before_its_first_message(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "yes")
    made = api.http.post("/sessions", json={"agent": "talker", "model": "openai-compatible:other"})
    assert made.status_code == 201, made.text
    one = made.json()["id"]
    assert (made.json()["state"], made.json()["agent"], made.json()["model"]["model"]) == ("idle", "talker", "other")
    problem(api.http.post("/sessions", json={"id": one}), 409, "CONFLICT")
    problem(api.http.post("/sessions", json={"agent": "nobody"}), 404, "AGENT_NOT_FOUND")
    assert one in [each["id"] for each in api.get("/sessions", limit=1)]
    page = api.http.get("/sessions", params={"limit": 1})
    older = api.http.get(page.headers["link"].partition(">")[0][1:])
    assert older.status_code == 200 and one not in [each["id"] for each in older.json()]


def test_wrong_input_is_told(api: Api) -> None:
    nowhere = new_session()
    for path in ("", "/messages", "/events", "/variables"):
        problem(api.http.get(f"/sessions/{nowhere}{path}"), 404, "NOT_FOUND")
    problem(api.http.delete(f"/sessions/{nowhere}"), 404, "NOT_FOUND")
    problem(api.http.post(f"/sessions/{nowhere}/messages", json={"text": " "}), 422, "INVALID_REQUEST")
    part = {"type": "blob", "ref": "0" * 64, "size_bytes": 1}
    problem(api.http.post(f"/sessions/{nowhere}/messages", json={"parts": [part]}), 422, "INVALID_REQUEST")
    problem(
        api.http.post(f"/sessions/{nowhere}/messages", json={"text": "x", "agent": "nobody"}), 404, "AGENT_NOT_FOUND"
    )
    problem(api.http.get("/sessions", params={"cursor": "x"}), 400, "INVALID_CURSOR")
    problem(api.http.get(f"/sessions/{nowhere}"), 404, "NOT_FOUND")


def test_a_session_of_another_tenant_is_none(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "yes")
    one = new_session()
    told(api, one, "mine")
    other = {"X-Tenant-Id": "other"}
    problem(api.http.get(f"/sessions/{one}", headers=other), 404, "NOT_FOUND")
    problem(api.http.delete(f"/sessions/{one}", headers=other), 404, "NOT_FOUND")
    assert one not in [each["id"] for each in api.http.get("/sessions", headers=other).json()]
    response = api.http.post(f"/sessions/{one}/messages", json={"text": "theirs"}, headers=other)
    asyncio.run(until(lambda: api.http.get(f"/sessions/{one}", headers=other).json()["turns"] == 1))
    assert response.status_code == 202 and words(asked_last(stub)) == ["theirs"]


async def test_a_terminated_session_wakes_with_what_it_knew(api: Api, stub: StubLlm, client: Client) -> None:
    stub.rule(".", lambda request: f"heard {request.last}")
    one = new_session()
    told(api, one, "before")
    await until(lambda: api.get(f"/sessions/{one}")["turns"] == 1)
    await client.get_workflow_handle(f"default/session:{one}").terminate("by a test")
    assert api.get(f"/sessions/{one}")["state"] == "idle"
    assert told(api, one, "after")["output"] == "heard after"
    assert words(asked_last(stub)) == ["before", "heard before", "after"]


async def history_bytes(client: Client, workflow_id: str) -> int:
    return sum(event.ByteSize() for event in (await client.get_workflow_handle(workflow_id).fetch_history()).events)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["talker", "doer"])
async def test_a_turn_takes_less_than_25_kb_of_history_beside_its_program(
    api: Api, stub: StubLlm, client: Client, agent: str, say: Callable[[str], None]
) -> None:
    says(stub, PLAN, '{"selected_skills": ["echo"], "reasoning": "it fits"}')
    says(stub, PROGRAM, fenced("result = skills.echo(i=1)['i']"))
    stub.rule(".", "word " * 100)
    one, count = new_session(), 8
    tasks = [told(api, one, f"number {k}", agent=agent)["id"] for k in range(count)]
    own = await history_bytes(client, f"default/session:{one}") / count
    turns = sum([await history_bytes(client, f"default/{task}") for task in tasks]) / count
    say(f"{own:.0f} bytes a turn of the session's workflow, {turns:.0f} of the task's")
    assert own + turns < 25_000


def test_a_session_has_any_name_of_one_line(api: Api, stub: StubLlm) -> None:
    stub.rule(".", "yes")
    one = f"Gespräch über 会話 %2F? & {uuid4()}"
    path = f"/sessions/{quote(one, safe='')}"
    assert api.http.post("/sessions", json={"id": one}).headers["location"] == path
    for text in ("first", "second"):
        over(api, api.http.post(f"{path}/messages", json={"text": text}).json()["task_id"])
    page = api.http.get(f"{path}/messages", params={"limit": 1})
    older = api.http.get(page.headers["link"].partition(">")[0][1:]).json()
    assert ([turn["said"] for turn in page.json()], [turn["said"] for turn in older]) == (["second"], ["first"])
    problem(api.http.post(f"{path}/messages", json={"text": "x", "agent": "a" * 191}), 422, "INVALID_REQUEST")


# what dies in between


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Stack]:
    """A stack of which everything is killed."""
    folder = tmp_path_factory.mktemp("doomed")
    stack = Stack(folder / "home", project=project(folder, model.url))
    try:
        stack.start_server()
        yield stack
    finally:
        stack.close()


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_conversation_goes_on_after_everything_was_killed(doomed: Stack, stub: StubLlm) -> None:
    """In the middle of a turn the worker, between turns all of it; and a message that comes while there is no worker."""
    stub.rule(lambda request: "slow" in request.last, "slowly", delay_s=1.0)
    stub.rule(".", lambda request: f"heard {request.last}")
    one = new_session()
    address = f"127.0.0.1:{doomed.port}"
    api = Api(doomed.home, doomed.project, TEMPORAL_ADDRESS=address).start()
    try:
        worker = doomed.start_worker().wait_up()
        told(api, one, "first")
        slow = say(api, one, "a slow one")
        asyncio.run(until(lambda: any("a slow one" in request.last for request in stub.requests)))
        worker.kill()
        left = say(api, one, "left", idempotency_key="left")
        assert left["turn"] == 0
        worker = doomed.start_worker().wait_up()
        assert [over(api, each["task_id"])["output"] for each in (slow, left)] == ["slowly", "heard left"]
        asyncio.run(until(lambda: api.get(f"/sessions/{one}")["turns"] == 3))
        worker.kill()
        api.close()
        assert doomed.server is not None
        doomed.server.kill()
        doomed.start_server()
        worker = doomed.start_worker().wait_up()
        api = Api(doomed.home, doomed.project, TEMPORAL_ADDRESS=address).start()
        assert say(api, one, "left", idempotency_key="left")["task_id"] == left["task_id"]
        assert told(api, one, "last")["output"] == "heard last"
        assert words(asked_last(stub)) == [
            *("first", "heard first", "a slow one", "slowly", "left", "heard left", "last"),
        ]
        answered = [request.last for request in stub.requests]
        assert (answered.count("first"), answered.count("left"), answered.count("last")) == (1, 1, 1)
    finally:
        api.close()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_what_was_recorded_begins_once_though_its_api_was_killed_before_it_was_started(
    doomed: Stack, stub: StubLlm
) -> None:
    """The server stands still, so that no start arrives; then it and the API are killed. Nobody sends anything again."""
    stub.rule(".", lambda request: f"heard {request.last}")
    one, address = new_session(), f"127.0.0.1:{doomed.port}"
    doomed.start_worker().wait_up()
    with contextlib.ExitStack() as stack:
        killed = api_of(stack, doomed, address)
        told(killed, one, "first")
        assert doomed.server is not None
        os.kill(doomed.server.pid, signal.SIGSTOP)
        pool, lost = stack.enter_context(ThreadPoolExecutor(3)), []
        program = {"type": "program", "program": "result = inputs['n'] + 1", "input": {"n": 41}}
        asked = [("/tasks", program), *((f"/sessions/{one}/messages", {"text": text}) for text in ("second", "third"))]
        for number, (path, body) in enumerate(asked, 1):
            lost.append(pool.submit(killed.http.post, path, json=body))
            tasks = asyncio.run(until(lambda number=number: pending(killed, number)))
        assert killed.process is not None
        killed.process.kill()
        # A slow machine kills it after the first ones were told that they wait.
        assert all(
            isinstance(each.exception(30), httpx2.TransportError) or each.result().is_server_error for each in lost
        )
        doomed.server.kill()
        doomed.start_server()
        apis = [api_of(stack, doomed, address) for _ in range(2)]
        assert [over(apis[0], task["id"], 90)["output"] for task in tasks] == ["heard third", "heard second", 42]
        asyncio.run(until(lambda: apis[1].get(f"/sessions/{one}")["turns"] == 3))
        assert [request.last for request in stub.requests] == ["first", "second", "third"]
        ids = [f"default/{task['id']}" for task in tasks]
        assert asyncio.run(until(lambda: counted(doomed, ids))) == dict.fromkeys(ids, 1)


def api_of(stack: contextlib.ExitStack, doomed: Stack, address: str) -> Api:
    api = Api(doomed.home, doomed.project, TEMPORAL_ADDRESS=address)
    stack.callback(api.close)
    return api.start()


def pending(api: Api, number: int) -> list[dict[str, Any]]:
    """Tasks that are recorded, and not begun; empty until they are so many."""
    found: list[dict[str, Any]] = api.get("/tasks", state="PENDING")
    return found if len(found) == number else []


async def counted(stack: Stack, ids: list[str]) -> dict[str, int]:
    """How many runs each workflow has; empty until all have one."""
    client = await stack.client()
    runs = {each: (await client.count_workflows(f"WorkflowId = '{each}'")).count for each in ids}
    return runs if all(runs.values()) else {}
