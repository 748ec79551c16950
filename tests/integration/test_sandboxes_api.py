"""`GET /sandboxes`, the worker's row behind it, and the time that the settings give to programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.stack import Stack, until


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    one = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}", SANDBOX_TIMEOUT="1500").start()
    yield one
    one.close()


async def test_a_worker_tells_what_its_sandbox_is_and_does(api: Api) -> None:
    def told() -> Any:
        found = [one for one in api.get("/sandboxes") if one["warm"] == 2]
        return found[0] if found else None

    found = await until(told)
    assert (found["name"], found["healthy"], found["problem"], found["stands_in_for"]) == ("local", True, "", "")
    assert "no network" in found["isolation"]
    assert "bubblewrap" in found["version"] and "Python 3" in found["version"]
    assert "cannot open a network socket" in found["capabilities"]
    assert (found["live"], found["max_sessions"]) == (0, 10)
    (worker,) = [one for one in api.get("/workers") if one["id"] == found["worker"]]
    assert "sandbox" in worker["queues"] and worker["seen_at"] <= api.get("/sandboxes")[0]["seen_at"]


def test_links_lead_to_it(api: Api) -> None:
    assert api.get("/")["links"]["sandboxes"] == "/sandboxes"


def test_a_program_whose_task_sets_no_time_has_that_of_the_settings(api: Api) -> None:
    task = api.submit("while True: pass")
    error = api.get(f"/tasks/{task['id']}", wait=30)["error"]
    assert "ran 1.5 s of its own time" in str(error)


def test_a_task_that_sets_its_time_has_that(api: Api) -> None:
    task = api.submit("while True: pass", limits={"run_seconds": 0.5})
    error = api.get(f"/tasks/{task['id']}", wait=30)["error"]
    assert "ran 0.5 s of its own time" in str(error)


@pytest.mark.slow
def test_a_repeated_request_is_the_same_one_after_the_setting_has_changed(api: Api, stack: Stack) -> None:
    first = api.http.post("/tasks", json={"type": "program", "program": "result = 1", "idempotency_key": "again"})
    other = Api(Path(stack.home), TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}", SANDBOX_TIMEOUT="2500").start()
    try:
        again = other.http.post("/tasks", json={"type": "program", "program": "result = 1", "idempotency_key": "again"})
    finally:
        other.close()
    assert again.is_success, again.text
    assert first.json()["id"] == again.json()["id"]
