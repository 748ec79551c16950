"""A holdfast that has as many tasks in work as it may: what it answers, what it keeps, and how its clients wait."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.client import AsyncClient, Client
from holdfast.contracts.task import TaskRequest
from holdfast.errors import NoTemporal, TooManyTasks
from holdfast.ports import free_port
from tests.support.api import Api, problem

TASK = {"type": "program", "program": "result = 1"}
LIMIT = 3


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Api]:
    """An API with room for three tasks, two of one tenant. Temporal is down, so what is recorded stays PENDING."""
    api = Api(
        tmp_path / "home",
        TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}",
        HOLDFAST_MAX_TASKS=str(LIMIT),
        HOLDFAST_MAX_TENANT_TASKS="2",
    ).start()
    for number, tenant in enumerate(("a", "a", "b")):
        problem(ask(api, f"task-{number}", tenant), 503, "TEMPORAL_UNAVAILABLE")
    yield api
    api.close()


def ask(api: Api, key: str | None, tenant: str, path: str = "/tasks", body: dict[str, Any] = TASK) -> Any:
    headers = {"X-Tenant-Id": tenant} | ({"Idempotency-Key": key} if key else {})
    return api.http.post(path, json=body, headers=headers)


def rows(api: Api) -> int:
    with sqlite3.connect(api.home / "holdfast.db") as db:
        return int(db.execute("SELECT count(*) FROM tasks").fetchone()[0])


def end(api: Api) -> None:
    """One of the tasks ends."""
    with sqlite3.connect(api.home / "holdfast.db") as db:
        db.execute("UPDATE tasks SET state = 'DONE' WHERE id = (SELECT min(id) FROM tasks WHERE tenant = 'b')")


def test_a_task_beyond_the_bound_is_refused_with_the_time_to_come_back(full: Api) -> None:
    response = ask(full, None, "c")
    body = problem(response, 429, "TOO_MANY_TASKS")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    told = {"scope": "house", "in_work": LIMIT, "limit": LIMIT}
    assert body["error"]["details"] == told | {"retry_after_seconds": int(response.headers["retry-after"])}
    assert "nothing was recorded" in body["message"]
    assert rows(full) == LIMIT


def test_every_door_for_tasks_refuses(full: Api) -> None:
    problem(ask(full, None, "c", "/agent/execute", {"task": "say hello"}), 429, "TOO_MANY_TASKS")
    assert rows(full) == LIMIT


def test_a_tenant_that_has_its_share_is_told_so(full: Api) -> None:
    body = problem(ask(full, "task-9", "a"), 429, "TOO_MANY_TASKS")
    assert body["error"]["details"]["scope"] == "tenant"
    assert "tenant 'a' has 2 tasks in work, 2 are allowed" in body["message"]


def test_a_repeat_of_an_accepted_task_is_answered_and_not_refused(full: Api) -> None:
    problem(ask(full, "task-0", "a"), 503, "TEMPORAL_UNAVAILABLE")
    problem(ask(full, "task-0", "a", body=TASK | {"program": "result = 2"}), 422, "IDEMPOTENCY_MISMATCH")


def test_a_refused_key_stays_free(full: Api) -> None:
    problem(ask(full, "later", "c"), 429, "TOO_MANY_TASKS")
    end(full)
    time.sleep(1.1)
    problem(ask(full, "later", "c", body=TASK | {"program": "result = 2"}), 503, "TEMPORAL_UNAVAILABLE")
    assert rows(full) == LIMIT + 1


def test_the_system_says_how_full_it_is(full: Api) -> None:
    time.sleep(1.1)
    assert full.get("/api/system")["load"] == {"in_work": LIMIT, "max_tasks": LIMIT, "max_tenant_tasks": 2}


def test_what_does_not_ask_for_a_task_is_answered(full: Api) -> None:
    assert full.get("/health/live") == {"status": "alive"}
    assert len(full.get("/tasks", tenant_id="a")) == 2


def test_a_client_waits_until_there_is_room(full: Api) -> None:
    heard: list[float] = []
    with Client(str(full.http.base_url)) as client:
        client.on_busy = lambda _, seconds: heard.append(seconds)
        threading.Timer(0.5, end, [full]).start()
        # It came in: from there on it is Temporal that is missing.
        with pytest.raises(NoTemporal):
            client.send(TaskRequest(type="program", program="result = 1", tenant_id="c"))
    assert heard
    assert rows(full) == LIMIT + 1


async def test_a_client_waits_no_longer_than_it_may(full: Api) -> None:
    began = time.monotonic()
    async with AsyncClient(str(full.http.base_url), busy_s=0.5) as client:
        with pytest.raises(TooManyTasks, match="3 are allowed"):
            await client.send(TaskRequest(type="program", program="result = 1", tenant_id="c"))
    assert time.monotonic() - began < 10
    assert rows(full) == LIMIT


def test_the_command_line_says_that_it_waits(full: Api) -> None:
    threading.Timer(4.0, end, [full]).start()
    command = [sys.executable, "-m", "cli.main", "exec", "-", "--detach", "--priority", "1"]
    ran = subprocess.run(
        command, input="result = 1", text=True, capture_output=True, cwd=full.project, env=full.environment, timeout=60
    )
    assert "busy: 3 tasks are in work, as many as may be; again in" in ran.stderr
    assert "the Temporal server" in ran.stderr or "no Temporal server" in ran.stderr
    assert ran.returncode == 3
