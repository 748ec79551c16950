"""`holdfast.Client` and `AsyncClient` over real sockets: what they send, and what they do when the wire breaks."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import AsyncClient, Client, run_agent
from holdfast.client import NoHoldfast
from holdfast.contracts.message import BlobPart
from holdfast.contracts.task import TaskRequest
from holdfast.errors import Conflict, Forbidden, NoTemporal, NotFound, UserError
from tests.support.fake_api import TASK_ID, FakeApi, fake_api, task

EVENTS = f"/tasks/{TASK_ID}/events"
PROGRAM = TaskRequest(type="program", program="result = 1")
QUESTION = {"id": "q.1", "text": "How many?", "asked_at": 1.0}

Call = Callable[..., Any]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("API_KEY", raising=False)
    with fake_api() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, api: FakeApi) -> Call:
    """Calls a method of either client by its name; iterators come as lists."""

    def sync(name: str, *args: Any, **kwargs: Any) -> Any:
        with Client(api.url, "k") as client:
            found = getattr(client, name)(*args, **kwargs)
            return list(found) if name in ("events", "tasks", "sessions", "messages") else found

    async def asynchronous(name: str, *args: Any, **kwargs: Any) -> Any:
        async with AsyncClient(api.url, "k") as client:
            found = getattr(client, name)(*args, **kwargs)
            return [one async for one in found] if name in ("events", "tasks", "sessions", "messages") else await found

    if request.param == "sync":
        return sync
    return lambda *args, **kwargs: asyncio.run(asynchronous(*args, **kwargs))


def test_both_clients_have_the_same_methods():
    names = {name for name in vars(Client) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncClient) if not name.startswith("_")}


def test_importing_holdfast_loads_nothing():
    code = "import sys, holdfast; print([m for m in ('pydantic', 'httpx2', 'yaml', 'asyncio') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ran.stdout.strip() == "[]", ran.stderr


def test_the_package_names_its_client_and_nothing_else():
    assert holdfast.Client is Client
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        holdfast.Clint  # noqa: B018


def test_a_task_is_waited_for_to_its_end(api, call):
    api.says("POST", "/tasks", task("PENDING"))
    api.says("GET", f"/tasks/{TASK_ID}", task("RUNNING"), task("RUNNING"), task("DONE", output="Hi"))
    assert call("run", "Say hi").output == "Hi"
    assert api.bodies("POST", "/tasks") == [{"type": "agent", "input": "Say hi"}]


def test_a_task_can_be_the_next_turn_of_a_session(api, call):
    api.says("POST", "/tasks", task("PENDING"))
    call("submit", "And then?", session_id="s 1")
    assert api.bodies("POST", "/tasks") == [{"type": "agent", "input": "And then?", "session_id": "s 1"}]


def test_a_message_that_got_lost_is_sent_again_with_the_same_key(api, call):
    api.drops("POST", "/sessions/s%201/messages", 2)
    taken = {"session_id": "s 1", "task_id": TASK_ID, "turn": 3, "ahead": 1, "task": task("PENDING")}
    api.says("POST", "/sessions/s%201/messages", taken)
    image = BlobPart(ref="ab" * 32, media_type="image/png", size_bytes=3, name="a.png")
    taken = call("say", "s 1", "Look", parts=[image], model="offline:offline", agent="assistant")
    assert (taken.turn, taken.ahead, taken.task.id) == (3, 1, TASK_ID)
    assert len(set(api.sent("idempotency-key"))) == 1
    assert api.bodies("POST", "/sessions/s%201/messages")[-1] == {
        "text": "Look",
        "parts": [{"type": "blob", "ref": "ab" * 32, "media_type": "image/png", "size_bytes": 3, "name": "a.png"}],
        "agent": "assistant",
        "model": {"provider": "offline", "model": "offline"},
    }


def test_a_message_with_a_wrong_model_is_not_sent(api, call):
    with pytest.raises(UserError, match="provider:model"):
        call("say", "s", "Look", model="claude")
    assert api.asked == []


def test_a_session_is_looked_at_listed_and_closed(api, call):
    line = {
        "id": "s",
        "state": "active",
        "turns": 2,
        "created_at": "2026-01-02T03:04:05Z",
        "seen_at": "2026-01-02T03:04:05Z",
    }
    turn = {
        "task_id": "t",
        "type": "agent",
        "said": "Hi",
        "state": "DONE",
        "status": "done",
        "created_at": line["seen_at"],
    }
    api.says("GET", "/sessions/s", line)
    api.says("GET", "/sessions/s/messages", [turn | {"answer": 42, "total_cost": 0.5}])
    api.says("GET", "/sessions", [line])
    api.says("DELETE", "/sessions/s", line | {"state": "closed"})
    assert [(one.answer, one.total_cost) for one in call("messages", "s")] == [(42, 0.5)]
    assert [one.id for one in call("sessions")] == ["s"]
    assert (call("session", "s").state, call("close_session", "s").state) == ("active", "closed")


def test_waiting_ends_at_a_question(api, call):
    api.says("GET", f"/tasks/{TASK_ID}", task("RUNNING"), task("WAITING", questions=[QUESTION]))
    assert [question.text for question in call("wait", TASK_ID).questions] == ["How many?"]


def test_waiting_ends_in_time(api, call):
    api.says("GET", f"/tasks/{TASK_ID}", task("RUNNING"))
    assert call("wait", TASK_ID, seconds=0.1).state == "RUNNING"


def test_an_agent_and_its_skills_are_named(api, call):
    api.says("POST", "/tasks", task("PENDING"))
    call("submit", "Look", agent="reviewer", skills=["code-analysis"], limits={"run_seconds": 5}, key="mine")
    sent = {
        "type": "agent:reviewer",
        "input": "Look",
        "skills": ["code-analysis"],
        "limits": {"run_seconds": 5.0},
        "idempotency_key": "mine",
    }
    assert api.bodies("POST", "/tasks") == [sent]
    assert api.sent("idempotency-key") == [None]


def test_a_wrong_option_is_told_before_anything_is_sent(api, call):
    with pytest.raises(UserError, match=r"limits\.run_seconds"):
        call("submit", "Look", limits={"run_seconds": -1})
    assert api.asked == []


def test_a_submission_that_got_lost_is_sent_again_with_the_same_key(api, call):
    api.drops("POST", "/tasks", 2)
    api.says("POST", "/tasks", task("PENDING"))
    assert call("send", PROGRAM).id == TASK_ID
    keys = api.sent("idempotency-key")
    assert (len(keys), len(set(keys)), keys[0] is not None) == (3, 1, True)


def test_two_submissions_have_two_keys(api, call):
    api.says("POST", "/tasks", task("PENDING"))
    call("send", PROGRAM)
    call("send", PROGRAM)
    assert len(set(api.sent("idempotency-key"))) == 2


def test_an_answer_that_got_lost_is_not_sent_again(api, call):
    api.drops("POST", f"/tasks/{TASK_ID}/questions/q.1", 9)
    with pytest.raises(NoHoldfast, match="broke during POST"):
        call("answer", TASK_ID, "q.1", 12)
    assert len(api.asked) == 1


def test_a_refusal_is_not_sent_again(api, call):
    api.refuses("POST", "/tasks", 503, "TEMPORAL_UNAVAILABLE", "no Temporal")
    with pytest.raises(NoTemporal):
        call("send", PROGRAM)
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NOT_FOUND", NotFound),
        (409, "CONFLICT", Conflict),
        (401, "UNAUTHORIZED", Forbidden),
        (422, "UNKNOWN_TASK_TYPE", UserError),
    ],
)
def test_a_problem_body_becomes_the_error_that_the_api_raised(api, call, status, code, kind):
    api.refuses("GET", f"/tasks/{TASK_ID}", status, code, "said so")
    with pytest.raises(kind, match="said so") as raised:
        call("task", TASK_ID)
    assert raised.value.details["code"] == code
    assert raised.value.details["trace_id"] == "ab" * 16


def test_nobody_there_is_told_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with Client("http://127.0.0.1:1", "k") as client, pytest.raises(NoHoldfast, match="start it with `holdfast up`"):
        client.tasks(1).__next__()


def test_the_key_comes_from_the_environment_and_is_sent(api, monkeypatch):
    monkeypatch.setenv("API_KEY", "hf_secret")
    monkeypatch.setenv("HOLDFAST_URL", api.url)
    api.says("POST", "/tasks", task("PENDING"))
    api.says("GET", f"/tasks/{TASK_ID}", task("DONE", output=4))
    assert run_agent("2 + 2").output == 4
    assert set(api.sent("authorization")) == {"Bearer hf_secret"}


def test_pages_follow_each_other_up_to_the_limit(api, call):
    api.says("GET", "/tasks", [task(), task()])
    api.links["/tasks"] = ['</tasks?cursor=c>; rel="next"']
    assert len(call("tasks", 3)) == 3


def test_a_stream_that_breaks_goes_on_behind_the_last_event(api, call):
    first = [("7", "status", {"state": "RUNNING"}), ("", "delta", {"text": "Hel"})]
    second = [("9", "call", {"skill": "read-file"})]
    api.streams(EVENTS, first, [], second, [("12", "done", {"state": "DONE"})])
    found = call("events", TASK_ID)
    assert [event.name for event in found] == ["status", "delta", "call", "done"]
    assert found[0].data == {"state": "RUNNING"}
    assert api.sent("last-event-id") == [None, "7", "7", "9"]


def test_a_stream_can_begin_behind_an_event(api, call):
    api.streams(EVENTS, [("12", "done", {})])
    call("events", TASK_ID, after="9")
    assert api.sent("last-event-id") == ["9"]


def test_a_stream_of_an_unknown_task_is_an_error(api, call):
    api.refuses("GET", EVENTS, 404, "NOT_FOUND", "no such task")
    with pytest.raises(NotFound, match="no such task"):
        call("events", TASK_ID)


def test_something_that_is_no_stream_is_an_error_at_once(api, call):
    api.says("GET", EVENTS, {"not": "a stream"})
    with pytest.raises(NoHoldfast, match="text/event-stream"):
        call("events", TASK_ID)
    assert len(api.asked) == 1
