"""Events: what comes in starts whom it should, once; what tasks do is published, and posted to who asked for it."""

import asyncio
import base64
import hashlib
import hmac
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.events import Routing
from activities.records import Recorder
from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, Library
from holdfast.contracts.base import Failure
from holdfast.contracts.event import Event, EventJob
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import ProgramResult, RecordChange
from holdfast.ids import new_task_id, new_trace_id
from store.admission import Admission
from store.database import Database
from store.publishing import Publisher, ready
from store.records import NewTask, Records
from tests.support.api import PROJECT, Api, problem
from tests.support.skill_folders import write_files
from tests.support.stack import Stack
from tests.support.webhooks import Receiver

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
ECHO = "steps: [{name: note, skill: echo, input: {i: 1}}]"


def listening(name: str, *topics: str, steps: str = ECHO, extra: str = "") -> str:
    return f"name: {name}\ncoordination: reactive\ntriggers: {{events: {list(topics)}}}\n{extra}{steps}\n"


def files(receiver: Receiver) -> dict[str, str | bytes]:
    return {
        "holdfast.yaml": "",
        "agents/asked.yaml": "name: asked\nskills: []\nevent_subscriptions: [slack.command.ask, task.submitted.general]",
        "agents/ping.yaml": "name: ping\nskills: []\nevent_subscriptions: [game.start, agent.output.pong]",
        "agents/pong.yaml": "name: pong\nskills: []\nevent_subscriptions: [agent.output.ping]",
        "agents/keeper.yaml": "name: keeper\nskills: []\nexecution_mode: continuous\nevent_subscriptions: [keep.*]",
        "agents/off.yaml": "name: off\nenabled: false\nevent_subscriptions: ['#']",
        "agents/broken.yaml": "name: broken\nevent_subscriptions: ['shop..order']",
        "flows/one.yaml": listening("one", "shop.*.paid"),
        "flows/many.yaml": listening("many", "shop.#", "shop.order.*"),
        "flows/picky.yaml": listening("picky", "strict.*", extra="input_schema: {type: object, required: [n]}\n"),
        "flows/watcher.yaml": listening("watcher", "agent.task.failed", "task.cancelled"),
        "flows/fails.yaml": "name: fails\nsteps: [{skill: boom, input: {i: 1}}]",
        "webhooks.yaml": (
            "webhooks:\n"
            f"- {{url: '{receiver.url}/all', topics: [agent.task.*]}}\n"
            f"- {{url: '{receiver.url}/hook', topics: [hook.#], secret: HOOK_KEY_SECRET}}\n"
            f"- {{url: '{receiver.url}/gone', topics: [gone.now]}}\n"
            f"- {{url: '{receiver.url}/moved', topics: [moved.now]}}\n"
        ),
    }


class Bus:
    def __init__(self, api: Api, receiver: Receiver) -> None:
        self.api, self.receiver = api, receiver

    def send(self, topic: str, payload: Any = None, **fields: Any) -> dict[str, Any]:
        response = self.api.http.post("/events", json={"topic": topic, "payload": payload, **fields})
        assert response.status_code == 202, response.text
        found: dict[str, Any] = response.json()
        return found

    def seen(self, event_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/events/{event_id}")
        return found

    def routed(self, event_id: str, seconds: float = 30) -> dict[str, Any]:
        return self.until(lambda: (seen := self.seen(event_id))["state"] != "accepted" and seen, seconds)

    def until(self, condition: Any, seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "not within the time"
            time.sleep(0.05)
        return found

    def ended(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/tasks/{task_id}", wait=60)
        return found


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as one:
        yield one


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("bus")
    project = write_files(shutil.copytree(PROJECT, folder / "project"), files(receiver))
    one = Stack(folder / "home", project=project)
    try:
        one.start_server()
        one.start_worker(HOOK_KEY_SECRET=SECRET).wait_up()
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def bus(house: Stack, receiver: Receiver) -> Iterator[Bus]:
    api = Api(house.home, house.project, TEMPORAL_ADDRESS=f"127.0.0.1:{house.port}").start()
    yield Bus(api, receiver)
    api.close()


# -- in


def test_event_starts_exactly_the_matching_agent_once_however_often_it_comes(bus: Bus) -> None:
    answers = [bus.send("slack.command.ask", {"prompt": "How are we?"}, event_id="ask-1") for _ in range(3)]
    assert [answer["duplicate"] for answer in answers] == [False, True, True]
    seen = bus.routed("ask-1")
    assert list(seen["started"]) == ["agent:asked"]
    task = bus.ended(seen["started"]["agent:asked"])
    assert (task["state"], task["input"]) == ("DONE", {"prompt": "How are we?"})
    assert seen["data"] == {"prompt": "How are we?"}
    assert bus.send("slack.command.ask", {"prompt": "again"}, event_id="ask-1")["duplicate"]
    mine = [one for one in bus.api.get("/tasks", type="agent:asked") if one["trace_id"] == seen["trace_id"]]
    assert len(mine) == 1


@pytest.mark.slow
async def test_event_whose_row_was_dropped_repeats_no_task(house: Stack, bus: Bus) -> None:
    def sent() -> bool:
        with closing(sqlite3.connect(house.home / "holdfast.db")) as database, database:
            database.execute("DELETE FROM events WHERE id = 'dropped-1'")
        duplicate: bool = bus.send("shop.order.paid", {"n": 1}, event_id="dropped-1")["duplicate"]
        return duplicate

    assert not sent()
    first = bus.routed("dropped-1")["started"]
    before = {task_id: bus.ended(task_id) for task_id in first.values()}
    assert (sent(), bus.seen("dropped-1")["state"]) == (True, "accepted"), "Temporal knows its workflow"

    # As the workflow of an event that Temporal knows no more would do it anew.
    settings = house.settings
    database, client, blobs = await Database.open(settings), await house.client(), BlobStore(settings.blobs)
    library = Library(settings.project, BUILTIN, blobs)
    admission, publisher = (
        Admission(settings, Records(database), library, blobs),
        Publisher(database, blobs, library, ready(client)),
    )
    routing = Routing(settings, client, admission, library, blobs, publisher)
    event = Event(id="dropped-1", topic="shop.order.paid", data={"n": 1}, at=time.time(), trace_id=new_trace_id())
    try:
        again = await ActivityEnvironment().run(routing.route, EventJob(event=event))
    finally:
        await database.close()
    assert (again.started, again.refused) == (first, {})
    assert {task_id: bus.ended(task_id) for task_id in first.values()} == before
    assert bus.seen("dropped-1")["started"] == first


def test_wildcards_match_and_each_flow_is_started_once_per_event(bus: Bus) -> None:
    started = {topic: sorted(bus.routed(bus.send(topic, {})["event_id"])["started"]) for topic in SHOP}
    assert started == SHOP


SHOP = {
    "shop.order.paid": ["workflow:many", "workflow:one"],
    "shop.order.sent": ["workflow:many"],
    "shop": ["workflow:many"],
    "shopping.order.paid": [],
    "a.shop.order.paid": [],
}


def test_all_forms_of_an_event_come_in(bus: Bus) -> None:
    cloud = {"specversion": "1.0", "id": "c1", "source": "/till/7", "type": "shop.order.paid", "data": {"n": 1}}
    headers = {"content-type": "application/cloudevents+json"}
    structured = bus.api.http.post("/events", json=cloud, headers=headers)
    assert (structured.status_code, structured.json()["duplicate"]) == (202, False), structured.text
    again = {"ce-specversion": "1.0", "ce-id": "c1", "ce-source": "/till/7", "ce-type": "shop.order.paid"}
    assert bus.api.http.post("/events", json={"n": 1}, headers=again).json()["duplicate"]
    other = bus.api.http.post("/events", json=cloud | {"source": "/till/8"}, headers=headers)
    assert not other.json()["duplicate"]
    batch = [cloud | {"id": "c2"}, cloud | {"id": "c3"}, cloud]
    answer = bus.api.http.post("/events", json=batch, headers={"content-type": "application/cloudevents-batch+json"})
    assert [one["duplicate"] for one in answer.json()["events"]] == [False, False, True]
    older = {"event_id": "e1", "event_type": "shop.order.paid", "payload": {"n": 2}, "priority": "high"}
    assert bus.api.http.post("/events", json=older).status_code == 202
    seen = bus.routed("c2")
    assert (seen["source"], sorted(seen["started"])) == ("/till/7", ["workflow:many", "workflow:one"])


def test_what_is_wrong_with_an_event_is_told_and_nothing_is_kept(bus: Bus) -> None:
    send = bus.api.http.post
    refused = {"topic": "refused.whole"}
    assert "wildcard" in problem(send("/events", json={"topic": "refused.*"}), 422, "INVALID_REQUEST")["message"]
    assert "allowed" in problem(send("/events", json={"what": 1}), 422, "INVALID_REQUEST")["message"]
    assert "event 1 of the batch" in send("/events", json=[refused, {"topic": ""}]).json()["message"]
    problem(send("/events", content=b"x", headers={"content-type": "text/plain"}), 415, "UNSUPPORTED_MEDIA_TYPE")
    problem(send("/events", json=refused | {"payload": "x" * 300_000}), 413, "TOO_LARGE")
    problem(bus.api.http.get("/events/nothing"), 404, "NOT_FOUND")
    # Events that tasks of other tests send meanwhile may come and go on.
    kept = bus.api.get("/events", limit=1000)["events"]
    assert kept and not [one for one in kept if one["topic"].startswith("refused") or not one["topic"]]


def test_malformed_pattern_keeps_its_file_out_and_is_named(bus: Bus) -> None:
    errors = [one for one in bus.api.get("/errors")["errors"] if one["file"] == "agents/broken.yaml"]
    assert [one["key"] for one in errors] == ["event_subscriptions[0]"]
    assert "a word is empty" in errors[0]["message"]


@pytest.mark.slow
def test_subscriber_that_cannot_take_the_event_is_told_and_another_is_started(bus: Bus) -> None:
    seen = bus.routed(bus.send("strict.shape", {"m": 1})["event_id"])
    assert "'n'" in seen["refused"]["workflow:picky"]
    assert seen["started"] == {}
    assert list(bus.routed(bus.send("strict.shape", {"n": 1})["event_id"])["started"]) == ["workflow:picky"]


def test_event_that_expired_starts_nothing_and_says_so(bus: Bus) -> None:
    event = bus.send("shop.order.paid", {}, timestamp=time.time() - 100, ttl_seconds=30)
    seen = bus.routed(event["event_id"])
    assert (seen["state"], seen["started"]) == ("stopped", {})
    assert "expired" in seen["reason"]


def test_events_of_another_tenant_are_not_found(bus: Bus) -> None:
    found = bus.api.http.post("/events", json={"topic": "shop.x"}, headers={"X-Tenant-Id": "acme"}).json()
    problem(bus.api.http.get(f"/events/{found['event_id']}"), 404, "NOT_FOUND")
    task = bus.until(lambda: bus.api.get(f"/events/{found['event_id']}", tenant_id="acme")["started"])["workflow:many"]
    assert bus.api.get(f"/tasks/{task}", tenant_id="acme")["tenant_id"] == "acme"


def test_pages_of_events_repeat_and_miss_none(bus: Bus) -> None:
    sent = [bus.send("page.me")["event_id"] for _ in range(5)]
    found, cursor = [], None
    while True:
        page = bus.api.get("/events", topic="page.me", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [one["event_id"] for one in page["events"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == sent[::-1]


# -- out


def test_submission_and_end_of_a_task_are_heard_by_a_webhook(bus: Bus) -> None:
    task = bus.api.submit("result = 42")
    both = [f"{task['id']}.execute", f"{task['id']}.completed"]
    heard = bus.until(lambda: len(found := _heard(bus, "/all", both)) == 2 and found)
    assert [one["type"] for one in heard] == ["agent.task.execute", "agent.task.completed"]
    end = heard[1]["data"]
    assert (end["task_id"], end["state"], end["output"], end["error"]) == (task["id"], "DONE", 42, None)
    assert (heard[1]["depth"], heard[1]["source"]) == (0, "holdfast/default")


def _heard(bus: Bus, path: str, ids: list[str]) -> list[dict[str, Any]]:
    """What an address was posted of these events, in their order."""
    events = {one.event["id"]: one.event for one in bus.receiver.at(path)}
    return [events[one] for one in ids if one in events]


def test_end_of_a_task_is_seen_by_a_flow_that_subscribed(bus: Bus) -> None:
    task = bus.api.submit("1/0", limits={"max_repairs": 0})
    seen = bus.routed(bus.until(lambda: _event(bus, f"{task['id']}.failed"))["event_id"])
    assert seen["topic"] == "agent.task.failed"
    assert (seen["data"]["task_id"], seen["data"]["state"], seen["depth"]) == (task["id"], "ERROR", 0)
    watcher = bus.ended(seen["started"]["workflow:watcher"])
    assert (watcher["state"], watcher["input"]["task_id"]) == ("DONE", task["id"])
    deeper = bus.until(lambda: _event(bus, f"{watcher['id']}.completed"))
    assert (deeper["depth"], deeper["parent_event_id"]) == (1, seen["event_id"])


def test_cancelled_task_is_told_as_such(bus: Bus) -> None:
    task = bus.api.submit("skills.echo(i=1, ms=30000)")
    bus.until(lambda: bus.api.get(f"/tasks/{task['id']}")["calls_open"])
    bus.api.http.delete(f"/tasks/{task['id']}")
    assert bus.until(lambda: _event(bus, f"{task['id']}.cancelled"))["topic"] == "task.cancelled"


def test_what_nobody_subscribed_to_is_not_published(bus: Bus) -> None:
    task = bus.ended(bus.api.http.post("/tasks", json={"type": "agent:asked", "input": "Hi"}).json()["id"])
    assert task["state"] == "DONE"
    bus.until(lambda: _event(bus, f"{task['id']}.completed"))
    assert _event(bus, f"{task['id']}.output") is None


async def test_worker_that_died_behind_the_record_publishes_when_it_is_asked_again(house: Stack, bus: Bus) -> None:
    settings, task = house.settings, TaskRef(task_id=new_task_id(), trace_id=new_trace_id())
    database, client = await Database.open(settings), await house.client()
    blobs, failure = BlobStore(settings.blobs), Failure(type="Wrong", message="no")
    publisher = Publisher(database, blobs, Library(settings.project, BUILTIN, blobs), ready(client))
    recorder = Recorder(Records(database), blobs, publisher)
    try:
        new = NewTask(tenant="default", id=task.task_id, type="program", trace_id=task.trace_id)
        await Records(database).create(new)
        await Records(database).change("default", task.task_id, "ERROR", failure=failure.model_dump())
        assert _event(bus, f"{task.task_id}.failed") is None
        for _ in range(2):
            change = RecordChange(task=task, state="ERROR", result=ProgramResult(state="ERROR", error=failure))
            await ActivityEnvironment().run(recorder.save_record, change)
    finally:
        await database.close()
    seen = await asyncio.to_thread(bus.routed, f"{task.task_id}.failed")
    assert (seen["data"]["error"], list(seen["started"])) == ("no", ["workflow:watcher"])


async def test_event_waits_for_room_and_starts_what_it_should_then(house: Stack) -> None:
    settings = house.settings.model_copy(update={"max_tenant_tasks": 1})
    database, client = await Database.open(settings), await house.client()
    blobs = BlobStore(settings.blobs)
    library = Library(settings.project, BUILTIN, blobs)
    records = Records(database)
    admission = Admission(settings, records, library, blobs)
    routing = Routing(settings, client, admission, library, blobs, Publisher(database, blobs, library, ready(client)))
    event = Event(id="full-1", tenant="full", topic="shop.order.sent", at=time.time(), trace_id=new_trace_id())
    other = NewTask(tenant="full", id=new_task_id(), type="program", trace_id=event.trace_id)
    try:
        await records.create(other)
        with pytest.raises(ApplicationError, match="Nothing was recorded") as found:
            await ActivityEnvironment().run(routing.route, EventJob(event=event))
        assert (found.value.type, found.value.non_retryable) == ("TooManyTasks", False)
        assert found.value.next_retry_delay is not None
        await records.change("full", other.id, "CANCELLED")
        first = await ActivityEnvironment().run(routing.route, EventJob(event=event))
        assert list(first.started) == ["workflow:many"]
        assert await ActivityEnvironment().run(routing.route, EventJob(event=event)) == first
    finally:
        await database.close()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_two_agents_that_answer_each_other_are_stopped_by_depth(bus: Bus) -> None:
    first = bus.send("game.start", "Hello")
    trace = bus.seen(first["event_id"])["trace_id"]

    def outputs() -> list[dict[str, Any]]:
        """What was published of these agents, the newest first."""
        time.sleep(0.5)
        events = bus.api.get("/events", limit=200)["events"]
        named = [one for one in events if one["topic"] in ("game.start", "agent.output.ping", "agent.output.pong")]
        return [one for one in named if bus.seen(one["event_id"])["trace_id"] == trace]

    last = bus.until(lambda: [one for one in outputs() if one["state"] == "stopped"], 150)
    assert ([one["depth"] for one in last], "depth 8" in last[0]["reason"]) == ([8], True)
    assert [one["depth"] for one in outputs()] == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    players = Counter(kind for one in outputs() for kind in one["started"])
    assert players == {"agent:ping": 4, "agent:pong": 4}


def _event(bus: Bus, event_id: str) -> dict[str, Any] | None:
    response = bus.api.http.get(f"/events/{event_id}")
    return response.json() if response.status_code == 200 else None


# -- webhooks


@pytest.mark.slow
def test_webhook_is_signed_and_comes_again_until_it_is_taken(bus: Bus) -> None:
    bus.receiver.answers["/hook"] = [503, 429]
    event = bus.send("hook.deep.down", {"n": 1}, event_id="hooked")
    bus.until(lambda: [one for one in bus.receiver.at("/hook") if one.status == 204])
    taken = bus.receiver.at("/hook")
    assert [one.status for one in taken] == [503, 429, 204]
    assert {one.headers["webhook-id"] for one in taken} == {event["event_id"]}
    last = taken[-1]
    signed = f"hooked.{last.headers['webhook-timestamp']}.".encode() + last.body
    mac = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
    assert last.headers["webhook-signature"] == f"v1,{mac}"
    assert last.headers["content-type"] == "application/cloudevents+json"
    said = last.event
    assert (said["specversion"], said["id"], said["type"], said["data"]) == (
        "1.0",
        "hooked",
        "hook.deep.down",
        {"n": 1},
    )
    outcome = bus.until(lambda: bus.seen("hooked")["posted"][0]["outcome"])
    assert outcome == "delivered: 204"


@pytest.mark.parametrize(("path", "status"), [("gone", 410), ("moved", 302)])
def test_webhook_that_refuses_is_asked_once_and_no_redirect_is_followed(bus: Bus, path: str, status: int) -> None:
    bus.receiver.answers[f"/{path}"] = [status] * 9
    event = bus.send(f"{path}.now")
    posted = bus.until(lambda: [one for one in bus.seen(event["event_id"])["posted"] if one["outcome"]])
    assert f"answered {status}" in posted[0]["outcome"]
    assert len(bus.receiver.at(f"/{path}")) == 1
    assert bus.receiver.at("/elsewhere") == []


@pytest.mark.slow
def test_callback_url_is_told_the_end_by_posts_that_are_retried(bus: Bus) -> None:
    bus.receiver.answers["/back"] = [500]
    task = bus.api.submit("1/0", limits={"max_repairs": 0}, callback_url=f"{bus.receiver.url}/back")
    bus.until(lambda: len(bus.receiver.at("/back")) == 2)
    said = bus.receiver.at("/back")[-1].event
    assert (said["type"], said["id"]) == ("agent.task.failed", f"{task['id']}.failed")
    assert (said["data"]["task_id"], said["data"]["state"]) == (task["id"], "ERROR")
    assert "division by zero" in said["data"]["error"]


# -- agentrunner's API


def test_body_in_agentrunners_words_is_told_by_its_keys_and_answered_202(bus: Bus) -> None:
    body = {"agent_name": "asked", "task_data": {"prompt": "Hi"}, "priority": "high", "timeout_seconds": 60}
    back = f"{bus.receiver.url}/older"
    response = bus.api.http.post("/tasks", json={**body, "callback_url": back})
    assert response.status_code == 202, response.text
    task = bus.ended(response.json()["id"])
    assert (task["type"], task["state"], task["input"]) == ("agent:asked", "DONE", {"prompt": "Hi"})
    bus.until(lambda: bus.receiver.at("/older"))
    assert bus.receiver.at("/older")[0].event["type"] == "agent.task.completed"
    assert bus.api.http.post("/tasks", json={"type": "agent:asked", "input": "Hi"}).status_code == 201
    wrong = problem(bus.api.http.post("/tasks", json={**body, "priority": "soon"}), 422, "INVALID_REQUEST")
    assert "priority" in wrong["message"]
    problem(bus.api.http.post("/tasks", json={**body, "agent_name": "nobody"}), 404, "AGENT_NOT_FOUND")


@pytest.mark.slow
def test_delete_cancels_once_and_409_says_that_a_task_is_over(bus: Bus) -> None:
    task = bus.api.submit("skills.ask(text='ever?')")
    bus.until(lambda: bus.api.get(f"/tasks/{task['id']}")["state"] == "WAITING")
    assert bus.api.http.delete(f"/tasks/{task['id']}").status_code == 202
    assert bus.ended(task["id"])["state"] == "CANCELLED"
    problem(bus.api.http.delete(f"/tasks/{task['id']}"), 409, "CONFLICT")


def test_collaborative_task_is_taken_by_the_master(bus: Bus) -> None:
    response = bus.api.http.post("/collaborative/tasks", json={"task_data": {"prompt": "Compare two words"}})
    assert (response.status_code, response.json()["type"]) == (202, "agent:master"), response.text
    found = bus.api.get(f"/collaborative/tasks/{response.json()['id']}")
    assert found["id"] == response.json()["id"]
    bus.api.http.delete(f"/tasks/{found['id']}")


@pytest.mark.slow
def test_events_of_a_continuous_agent_are_turns_of_its_one_session(bus: Bus) -> None:
    def turn(number: int) -> str:
        event = bus.send("keep.this", {"prompt": f"Number {number}"})
        task = bus.routed(event["event_id"])["started"]["agent:keeper"]
        ended = bus.ended(task)
        assert (ended["state"], ended["session_id"]) == ("DONE", "agent:keeper")
        return task

    tasks = [turn(1), turn(2)]
    restarted = bus.api.http.post("/agents/keeper/restart").json()
    assert restarted["restarted"], restarted
    bus.until(lambda: bus.api.get("/sessions/agent:keeper")["state"] == "idle")
    tasks.append(turn(3))
    session = bus.until(lambda: (seen := bus.api.get("/sessions/agent:keeper"))["turns"] == 3 and seen)
    assert [one["task_id"] for one in session["recent"]] == tasks
    assert {one["event"] for one in session["recent"]} == {"keep.this"}


def test_workers_and_agents_say_how_they_are(bus: Bus) -> None:
    [worker] = bus.until(lambda: bus.api.get("/workers"))
    assert {"agents", "llm", "skills", "sandbox"} <= set(worker["queues"])
    health = bus.api.get("/agents/asked/health")
    assert (health["status"], health["healthy"]) == ("ready", True)
    assert bus.api.get("/agents/off/health")["status"] == "disabled"
    bus.ended(bus.api.http.post("/tasks", json={"agent_name": "asked", "task_data": "Hi"}).json()["id"])
    stats = bus.api.get("/agents/asked/stats")
    assert stats["total_executions"] == stats["successful"] + stats["failed"] + stats["in_work"] > 0
    assert not bus.api.http.post("/agents/asked/restart").json()["restarted"]
    problem(bus.api.http.get("/agents/nobody/stats"), 404, "AGENT_NOT_FOUND")


@pytest.mark.slow
def test_events_are_sent_and_listed_at_a_terminal(bus: Bus) -> None:
    def holdfast(*words: str) -> str:
        command = [sys.executable, "-m", "cli.main", "events", *words]
        done = subprocess.run(
            command, cwd=bus.api.project, env=bus.api.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert holdfast("send", "shop.order.sent", '{"n": 1}', "--id", "typed-1") == "typed-1"
    bus.routed("typed-1")
    assert "workflow:many" in holdfast("list", "--topic", "shop.order.sent", "--limit", "5")
    assert "shop.order.sent" in holdfast("show", "typed-1")
