"""WebSockets of two API processes over one store: what each tells, to whom, and what stops nobody."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.test_api_live import ASKING, ended, until
from tests.support.api import Api
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

KEY = "secret & more"
NOBODY = "01a21429-87d5-7bb0-adda-9fb2423d8db9"


@pytest.fixture(scope="module")
def apis(stack: Stack) -> Iterator[list[Api]]:
    """Two processes over one store. Both want a key."""
    address = f"127.0.0.1:{stack.port}"
    made = [Api(stack.home, TEMPORAL_ADDRESS=address, API_KEY=KEY) for _ in range(2)]
    for number, api in enumerate(made):
        api.log = stack.home / f"api-{number}.log"
        api.http.headers["X-API-Key"] = KEY
        api.start(120)
    yield made
    for api in made:
        api.close()


@contextmanager
def opened(api: Api, path: str = "/ws", key: str | None = KEY, **headers: str) -> Iterator[ClientConnection]:
    sent = {**({"X-API-Key": key} if key else {}), **headers}
    with connect(f"ws://127.0.0.1:{api.port}{path}", additional_headers=sent, proxy=None) as ws:
        yield ws


def heard(
    ws: ClientConnection, task_id: str, seconds: float = 40, until_state: tuple[str, ...] = ("DONE", "ERROR")
) -> list[dict[str, Any]]:
    """All messages about a task up to such a state."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds
    while not found or found[-1]["state"] not in until_state:
        message = json.loads(ws.recv(timeout=deadline - time.monotonic()))
        found += [message] if message["task_id"] == task_id else []
    return found


@pytest.mark.parametrize(
    ("program", "end", "output"), [("result = {'n': 1}", "done", {"n": 1}), ("1 / 0", "error", None)]
)
def test_one_run_is_told_from_pending_over_running_to_its_end(
    apis: list[Api], program: str, end: str, output: Any
) -> None:
    with opened(apis[0]) as ws:
        task = apis[1].submit(program)
        told = heard(ws, task["id"])
    assert [one["status"] for one in told] == ["pending", "running", end]
    assert [one["output"] for one in told] == [None, None, output]
    assert set(told[0]) >= {"task_id", "status", "type", "output", "error", "updated_at"}
    assert {one["type"] for one in told} == {"program"}
    assert (told[-1]["error"] is None) == (end == "done")
    assert all(before["updated_at"] <= after["updated_at"] for before, after in pairwise(told))


def test_a_wait_for_people_is_told_and_what_is_done_stays_done(apis: list[Api]) -> None:
    with opened(apis[0]) as ws, opened(apis[1]) as other:
        task = apis[0].submit(ASKING)
        told = heard(ws, task["id"], until_state=("WAITING",))
        assert [one["state"] for one in told] == ["PENDING", "RUNNING", "WAITING"]
        [question] = apis[0].get(f"/tasks/{task['id']}/questions")
        apis[1].http.post(f"/tasks/{task['id']}/questions/{question['id']}", json={"answer": "red"}).raise_for_status()
        told += heard(ws, task["id"])
        assert {"PENDING", "DONE"} <= {one["state"] for one in heard(other, task["id"])}
        apis[0].http.post(f"/tasks/{task['id']}/cancel")
        with pytest.raises(TimeoutError):
            heard(ws, task["id"], seconds=1)
    assert told[-1]["state"] == "DONE"
    assert {one["status"] for one in told[1:-1]} == {"running"}


def test_nobody_hears_of_another_tenants_tasks(apis: list[Api]) -> None:
    with opened(apis[0], "/ws?tenant_id=acme") as acme, opened(apis[0], **{"X-Tenant-Id": "umbrella"}) as umbrella:
        other = apis[0].submit("result = 1", tenant_id="umbrella")
        own = apis[0].submit("result = 2", tenant_id="acme")
        told = [json.loads(acme.recv(timeout=40)) for _ in range(3)]
        assert {one["task_id"] for one in told} == {own["id"]}
        assert [one["task_id"] for one in heard(umbrella, other["id"])] == [other["id"]] * 3
        with pytest.raises(TimeoutError):
            acme.recv(timeout=0.6)


def test_ping_is_answered_and_sockets_are_counted(apis: list[Api]) -> None:
    before = apis[0].get("/health")["websocket_connections"]
    with opened(apis[0]) as ws, opened(apis[0]):
        ws.send("hello")
        ws.send("ping")
        assert ws.recv(timeout=5) == "pong"
        assert apis[0].get("/health")["websocket_connections"] == before + 2
    until(lambda: apis[0].get("/health")["websocket_connections"] == before)


def test_one_task_is_told_as_its_stream_of_events_and_the_socket_closes(apis: list[Api]) -> None:
    task = apis[0].submit("first = await skills.echo(i=1)\nresult = first['i']")
    with opened(apis[1], f"/ws/tasks/{task['id']}") as ws:
        told = list(map(json.loads, ws))
    assert ws.protocol.close_code == 1000
    assert [one["event"] for one in told if one["event"] == "call"] == ["call", "call"]
    assert next(one["state"] for one in told if one["event"] == "status") == "PENDING"
    assert (told[-1]["event"], told[-1]["state"]) == ("done", "DONE")
    with opened(apis[0], f"/ws/tasks/{task['id']}?last_event_id={told[-2]['id']}") as ws:
        assert [json.loads(one)["event"] for one in ws] == ["done"]


@pytest.mark.parametrize(
    ("path", "key", "headers", "status"),
    [
        ("/ws", None, {}, 401),
        ("/ws", "wrong", {}, 403),
        ("/ws?api_key=wrong", None, {}, 403),
        ("/ws", KEY, {"Origin": "http://evil.example"}, 403),
        (f"/ws/tasks/{NOBODY}", KEY, {}, 404),
        (f"/ws/tasks/{NOBODY}?last_event_id=x", KEY, {}, 404),
        ("/ws/tasks/none", KEY, {}, 403),
        ("/ws/nothing", KEY, {}, 403),
    ],
)
def test_who_may_not_come_in_is_told_so_before_the_socket_opens(
    apis: list[Api], path: str, key: str | None, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(apis[0], path, key, **headers):
        pass
    assert refused.value.response.status_code == status
    if path == "/ws":
        assert json.loads(refused.value.response.body or b"")["error"]["code"] in ("UNAUTHORIZED", "FORBIDDEN")


def test_key_in_the_address_opens_and_stands_in_no_log(apis: list[Api]) -> None:
    with opened(apis[0], "/ws?api_key=secret%20%26%20more&tenant_id=acme", key=None) as ws:
        ws.send("ping")
        assert ws.recv(timeout=5) == "pong"
    for path in ("/ws?api_key=secret%20%26%20more", "/ws?tenant_id=acme&api%5Fkey=secret%20%26%20more"):
        with pytest.raises(InvalidStatus), opened(apis[0], path, key=None, Origin="http://evil.example"):
            pass
    log = apis[0].log.read_text()
    assert "/ws?tenant_id=acme" in log
    assert "secret" not in log


def test_a_reader_that_does_not_read_stops_nobody_else(apis: list[Api]) -> None:
    with opened(apis[0]) as ws, socket.create_connection(("127.0.0.1", apis[0].port)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: {KEY}\r\n\r\n".encode()
        )
        assert b"101" in stuck.recv(100)
        large = apis[0].submit("result = 'x' * 250000")
        for _ in range(8):
            heard(ws, apis[0].submit("result = 'x' * 250000")["id"])
        assert ended(apis[0], large["id"])["state"] == "DONE"


def test_sockets_are_closed_when_the_api_stops(stack: Stack) -> None:
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    api.log = stack.home / "api-stopped.log"
    api.start(120)
    try:
        with opened(api, key=None) as ws:
            began = time.monotonic()
            assert api.stop() == 0
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
            assert time.monotonic() - began < 5
    finally:
        api.close()
