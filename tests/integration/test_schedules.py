"""Schedules with all real parts: files, API, a worker, a Temporal server that goes down, and Temporal's own CLI."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client, ScheduleBackfill, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from holdfast.contracts.schedule import ScheduleSpec
from holdfast.ports import free_port
from holdfast.temporal import binary
from holdfast.temporal import schedules as floor
from tests.support.api import PROJECT, Api, problem, until
from tests.support.skill_folders import write_files
from tests.support.stack import Stack, running
from tests.support.stub_llm import StubLlm

LLM = 'llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}\nskills: []\n'
TICKER = "name: ticker\nexecution_mode: scheduled\nschedule_config:\n  type: interval\n  interval_seconds: 2\n"
TICKER += "  task_data: {{prompt: Say how late it is}}\n" + LLM
NIGHTLY = "name: nightly\nschedule_config: {{type: cron, cron: 0 2 * * *, task_data: Report, enabled: true}}\n" + LLM
GUARD = "name: guard\nexecution_mode: continuous\n" + LLM
FLOW = "name: sweep\nsteps: [{skill: echo, input: {i: 1}}]\ntriggers: {schedule: {interval_seconds: 3600}}\n"
OVER = ("DONE", "ERROR", "CANCELLED")
ECHO = {"type": "skill:echo", "input": {"i": 1}}


@pytest.fixture(scope="module")
def stub() -> Iterator[StubLlm]:
    with StubLlm() as one:
        yield one


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, stub: StubLlm) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("schedules")
    project = shutil.copytree(PROJECT, folder / "project")
    files = {"agents/nightly.yaml": NIGHTLY.format(url=stub.url), "agents/guard.yaml": GUARD.format(url=stub.url)}
    write_files(project, {**files, "flows/sweep.yaml": FLOW})
    stack = Stack(folder / "home", project=project)
    with running(stack):
        yield stack


def made(api: Api, name: str, **fields: Any) -> dict[str, Any]:
    response = api.http.post("/schedules", json={"name": name, "request": ECHO, **fields})
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def gone(api: Api, name: str) -> None:
    assert api.http.delete(f"/schedules/{name}").status_code == 204


def shown(api: Api, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/schedules/{name}")
    return found


def names(api: Api, tenant: str = "default") -> dict[str, str]:
    return {one["name"]: one["managed_by"] for one in api.get("/schedules", tenant_id=tenant)["schedules"]}


def reloaded(api: Api) -> dict[str, Any]:
    """After it the schedules are as the files say, whether this reload or the API by itself was the first to see it."""
    response = api.http.post("/reload")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    assert found["schedules"]["note"] == ""
    return found


def ended(api: Api, task_id: str) -> dict[str, Any]:
    """The task, as soon as it is over; a worker records it a moment after its schedule began it."""

    def over() -> Any:
        response = api.http.get(f"/tasks/{task_id}")
        return response.status_code == 200 and response.json()["state"] in OVER and response.json()

    found: dict[str, Any] = until(over)
    return found


def triggered(api: Api, name: str, **params: str) -> str:
    response = api.http.post(f"/schedules/{name}/trigger", params=params)
    assert response.status_code == 202, response.text
    task_id: str = response.json()["task_id"]
    return task_id


def begun(api: Api, name: str) -> str:
    """The task of a trigger, also where it began later than the API waits for it."""
    before = {run["task_id"] for run in shown(api, name)["runs"]}
    task_id = triggered(api, name)
    return task_id or until(lambda: {run["task_id"] for run in shown(api, name)["runs"]} - before).pop()


async def times(client: Client, name: str, begin: datetime, end: datetime) -> list[datetime]:
    """When the server would start it."""
    first, last = Timestamp(), Timestamp()
    first.FromDatetime(begin)
    last.FromDatetime(end)
    request = ListScheduleMatchingTimesRequest(
        namespace="default", schedule_id=f"default/schedule:{name}", start_time=first, end_time=last
    )
    found = await client.workflow_service.list_schedule_matching_times(request)
    return [one.ToDatetime(UTC) for one in found.start_time]


# -- files


@pytest.mark.slow
def test_an_interval_in_a_file_asks_its_agent_with_its_task_data(api: Api, stack: Stack, stub: StubLlm) -> None:
    file = stack.project / "agents" / "ticker.yaml"
    file.write_text(TICKER.format(url=stub.url))
    reloaded(api)
    until(lambda: len([one for one in stub.requests if one.last == "Say how late it is"]) >= 3, 15)
    found = shown(api, "ticker")
    assert (found["interval_seconds"], found["managed_by"]) == (2, "agents/ticker.yaml")
    task = ended(api, found["runs"][0]["task_id"])
    assert (task["state"], task["name"], task["input"]) == ("DONE", "ticker", {"prompt": "Say how late it is"})
    due = [datetime.fromisoformat(run["due_at"]).timestamp() for run in found["runs"]]
    assert all(at % 2 == 0 for at in due)
    file.unlink()
    reloaded(api)
    problem(api.http.get("/schedules/ticker"), 404, "NOT_FOUND")


def test_the_schedules_of_files_are_there_when_the_api_is_up(api: Api) -> None:
    until(lambda: {"nightly", "flow.sweep"} <= set(names(api)))
    assert names(api)["flow.sweep"] == "flows/sweep.yaml"
    found = shown(api, "nightly")
    assert (found["cron"], found["timezone"], found["overlap"], found["enabled"]) == ("0 2 * * *", "UTC", "skip", True)
    assert found["request"] == {"type": "agent:nightly", "input": "Report"}
    hours = {datetime.fromisoformat(one).astimezone(UTC).hour for one in found["next_times"]}
    assert (len(found["next_times"]), hours) == (10, {2})


@pytest.mark.slow
def test_a_changed_file_changes_its_schedule_and_one_made_by_hand_stays(api: Api, stack: Stack, stub: StubLlm) -> None:
    made(api, "by-hand", interval_seconds=3600)
    file = stack.project / "agents" / "edited.yaml"
    text = NIGHTLY.format(url=stub.url).replace("nightly", "edited")
    file.write_text(text)
    until(lambda: api.http.get("/schedules/edited").status_code == 200)
    assert reloaded(api)["schedules"] == {"created": [], "changed": [], "deleted": [], "errors": [], "note": ""}
    assert api.http.patch("/schedules/edited/enabled", json={"enabled": False}).json()["enabled"] is False

    file.write_text(text.replace("0 2 * * *", "30 4 * * MON"))
    reloaded(api)
    assert shown(api, "edited")["cron"] == "30 4 * * MON"
    assert shown(api, "edited")["enabled"] is False, "people paused it, and the file says nothing else than before"

    file.write_text(text.replace("0 2 * * *", "30 4 * *"))
    [error] = [one for one in reloaded(api)["errors"] if one["file"] == "agents/edited.yaml"]
    assert (error["key"], error["line"]) == ("schedule_config.cron", 2)
    assert shown(api, "edited")["cron"] == "30 4 * * MON"

    file.write_text(text.replace("enabled: true", "enabled: false"))
    reloaded(api)
    file.write_text(text)
    reloaded(api)
    assert shown(api, "edited")["enabled"] is True, "now the file says so"

    file.unlink()
    reloaded(api)
    problem(api.http.get("/schedules/edited"), 404, "NOT_FOUND")
    assert shown(api, "by-hand")["managed_by"] == ""
    gone(api, "by-hand")


@pytest.mark.slow
def test_a_file_does_not_take_what_was_made_by_hand(api: Api, stack: Stack, stub: StubLlm) -> None:
    made(api, "mine", interval_seconds=3600)
    file = stack.project / "agents" / "mine.yaml"
    file.write_text(NIGHTLY.format(url=stub.url).replace("nightly", "mine"))
    [error] = reloaded(api)["schedules"]["errors"]
    assert error["file"] == "agents/mine.yaml"
    assert "made by hand" in error["message"]
    assert "agents/mine.yaml" in [one["file"] for one in api.get("/errors")["errors"]]
    assert shown(api, "mine")["interval_seconds"] == 3600
    gone(api, "mine")
    reloaded(api)
    assert shown(api, "mine")["managed_by"] == "agents/mine.yaml"
    file.unlink()
    reloaded(api)
    problem(api.http.get("/schedules/mine"), 404, "NOT_FOUND")


def test_a_schedule_of_a_file_is_changed_in_its_file(api: Api) -> None:
    until(lambda: "nightly" in names(api))
    change = {"interval_seconds": 60, "request": ECHO}
    assert "agents/nightly.yaml" in problem(api.http.put("/schedules/nightly", json=change), 409, "CONFLICT")["detail"]
    problem(api.http.delete("/schedules/nightly"), 409, "CONFLICT")
    problem(api.http.post("/schedules", json={"name": "nightly", **change}), 409, "CONFLICT")


async def test_several_at_once_make_a_schedule_once(client: Client) -> None:
    spec = ScheduleSpec(name="raced", interval_seconds=3600, request=ECHO, managed_by="agents/raced.yaml")
    changes = await asyncio.gather(*[floor.settle(client, spec) for _ in range(5)])
    assert sorted(changes) == ["created", "kept", "kept", "kept", "kept"]
    changed = spec.model_copy(update={"interval_seconds": 60})
    await asyncio.gather(*[floor.settle(client, changed) for _ in range(5)])
    assert (await floor.find(client, "default", "raced")).timing.interval_seconds == 60
    await floor.delete(client, "default", "raced")


# -- the API


@pytest.mark.slow
def test_a_schedule_lives_from_post_to_delete(api: Api) -> None:
    first = made(api, "life", cron="*/1  * * * *", timezone="Europe/Berlin", overlap=1, catchup_seconds=3600)
    assert (first["cron"], first["timezone"], first["overlap"]) == ("*/1 * * * *", "Europe/Berlin", "skip")
    assert (first["catchup_seconds"], first["managed_by"], first["request"]) == (3600, "", ECHO)
    paused = api.http.patch("/schedules/life/enabled", json={"enabled": False}).json()
    assert (paused["enabled"], paused["note"]) == (False, "paused by the API")

    task = ended(api, begun(api, "life"))
    assert (task["state"], task["type"], task["output"]) == ("DONE", "skill:echo", {"i": 1, "pad": ""})
    assert shown(api, "life")["runs"][0]["task_id"] == task["id"]

    change = {"interval_seconds": 7200, "overlap": "buffer_one", "request": {**ECHO, "input": {"i": 2}}}
    changed = api.http.put("/schedules/life", json=change).json()
    assert (changed["cron"], changed["interval_seconds"], changed["overlap"]) == (None, 7200, "buffer_one")
    assert changed["enabled"] is True
    assert ended(api, begun(api, "life"))["output"]["i"] == 2
    gone(api, "life")
    problem(api.http.get("/schedules/life"), 404, "NOT_FOUND")
    problem(api.http.post("/schedules/life/trigger"), 404, "NOT_FOUND")
    problem(api.http.patch("/schedules/life/enabled", json={"enabled": True}), 404, "NOT_FOUND")
    problem(api.http.put("/schedules/life", json=change), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "status", "code", "says"),
    [
        ({"cron": "0 0 * *"}, 400, "INVALID_CRON", "4 fields"),
        ({"cron": "0 0 * * 9"}, 400, "INVALID_CRON", "day_of_week"),
        ({}, 422, "INVALID_REQUEST", "cron"),
        ({"cron": "0 0 * * *", "timezone": "Europe/Berln"}, 422, "INVALID_REQUEST", "did you mean 'Europe/Berlin'?"),
        ({"interval_seconds": 0}, 422, "INVALID_REQUEST", "interval_seconds"),
        ({"interval_seconds": 5, "overlap": "never"}, 422, "INVALID_REQUEST", "overlap"),
        ({"interval_seconds": 5, "catchup_seconds": 1}, 422, "INVALID_REQUEST", "catchup_seconds"),
        ({"interval_seconds": 5, "request": {"type": "agent:nobody", "input": "x"}}, 404, "AGENT_NOT_FOUND", "nobody"),
        ({"interval_seconds": 5, "request": {**ECHO, "input": {}}}, 422, "INVALID_SKILL_INPUT", "'i'"),
        ({"interval_seconds": 5, "request": {**ECHO, "user_id": "a@b.c"}}, 422, "INVALID_REQUEST", "user_id"),
        (
            {"interval_seconds": 5, "request": {**ECHO, "input": {"user_email": "a@b.c"}}},
            422,
            "INVALID_REQUEST",
            "nobody",
        ),
        ({"interval_seconds": 5, "request": {**ECHO, "idempotency_key": "k"}}, 422, "INVALID_REQUEST", "idempotency"),
    ],
)
def test_a_wrong_schedule_is_refused_and_not_made(
    api: Api, fields: dict[str, Any], status: int, code: str, says: str
) -> None:
    body = {"name": "wrong", "request": ECHO, **fields}
    assert says in problem(api.http.post("/schedules", json=body), status, code)["detail"]
    problem(api.http.get("/schedules/wrong"), 404, "NOT_FOUND")


def test_a_schedule_of_another_tenant_is_not_there(api: Api) -> None:
    response = api.http.post(
        "/schedules", json={"name": "theirs", "interval_seconds": 3600, "request": ECHO}, params={"tenant_id": "acme"}
    )
    assert response.status_code == 201
    problem(api.http.get("/schedules/theirs"), 404, "NOT_FOUND")
    problem(api.http.delete("/schedules/theirs"), 404, "NOT_FOUND")
    until(lambda: "theirs" in names(api, "acme"))
    assert "theirs" not in names(api)
    run = api.http.post("/schedules/theirs/trigger", params={"tenant_id": "acme"}).json()
    problem(api.http.get(f"/tasks/{run['task_id']}"), 404, "NOT_FOUND")
    assert api.get(f"/tasks/{run['task_id']}", tenant_id="acme")["tenant_id"] == "acme"
    assert api.http.delete("/schedules/theirs", params={"tenant_id": "acme"}).status_code == 204


def backfilled(api: Api, name: str, first: str, last: str, **fields: Any) -> list[dict[str, Any]]:
    response = api.http.post(f"/schedules/{name}/backfill", json={"from": first, "to": last, **fields})
    assert response.status_code == 202, response.text
    found: list[dict[str, Any]] = response.json()["runs"]
    return found


@pytest.mark.slow
def test_a_backfill_begins_each_time_of_its_range_once_and_both_ends_are_in_it(api: Api, stack: Stack) -> None:
    made(api, "past", cron="0 8 * * *", timezone="Europe/Berlin", overlap="skip", enabled=False)
    ends = ("2021-03-27T08:00:00+01:00", "2021-03-29T08:00:00+02:00")
    runs = backfilled(api, "past", *ends)
    due = ["2021-03-27T07:00:00Z", "2021-03-28T06:00:00Z", "2021-03-29T06:00:00Z"]
    assert [run["due_at"] for run in runs] == due
    tasks = [run["task_id"] for run in runs]
    assert [ended(api, task)["state"] for task in tasks] == ["DONE"] * 3
    assert [(run["due_at"], run["task_id"]) for run in shown(api, "past")["runs"]] == [*zip(due, tasks, strict=True)][
        ::-1
    ]
    with sqlite3.connect(stack.home / "holdfast.db") as database:
        causes = [database.execute("SELECT cause FROM tasks WHERE id = ?", [task]).fetchone()[0] for task in tasks]
    assert [json.loads(cause) for cause in causes] == [{"schedule": "past", "due_at": at} for at in due]

    assert backfilled(api, "past", *ends, overlap="allow_all") == runs
    until(lambda: shown(api, "past")["starts"] == 6)
    until(lambda: shown(api, "past")["running"] == [])
    assert [what for what, task, *_ in stack.effects() if task in tasks] == ["begin", "end"] * 3
    assert backfilled(api, "past", "2021-03-27T08:00:01+01:00", "2021-03-28T07:59:59+02:00") == []
    gone(api, "past")


def test_a_backfill_bounds_what_it_begins(api: Api) -> None:
    made(api, "each-second", interval_seconds=1, enabled=False)
    body = {"from": "2021-03-27T08:00:00Z", "to": "2021-03-27T08:16:40Z"}
    told = problem(api.http.post("/schedules/each-second/backfill", json=body), 422, "INVALID_REQUEST")["detail"]
    assert "more than 1000 times" in told
    assert told.endswith("up to 2021-03-27T08:16:39+00:00"), "with both ends that are 1,000"
    assert shown(api, "each-second")["starts"] == 0
    problem(api.http.post("/schedules/each-second/backfill", json=body, params={"tenant_id": "acme"}), 404, "NOT_FOUND")
    gone(api, "each-second")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"from": "2021-01-02T00:00:00Z"}, "is not before"),
        ({"from": "2021-01-01T01:00:00+01:00", "to": "2021-01-01T00:00:00Z"}, "is not before"),
        ({"to": "2991-01-01T00:00:00Z"}, "begin by themselves"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "1970"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "begin by themselves"),
        ({"from": "2021-01-01T00:00:00"}, "from: found '2021-01-01T00:00:00'; input should have timezone info"),
        ({"from": "yesterday"}, "from: found 'yesterday'"),
        ({"overlap": "never"}, "overlap"),
        ({"since": 1}, "since: no such field"),
    ],
)
def test_a_wrong_backfill_is_told_by_its_field(api: Api, fields: dict[str, Any], says: str) -> None:
    body = {"from": "2021-01-01T00:00:00Z", "to": "2021-01-01T12:00:00Z", **fields}
    assert says in problem(api.http.post("/schedules/wrong/backfill", json=body), 422, "INVALID_REQUEST")["detail"]


def test_an_unknown_schedule_is_not_backfilled(api: Api) -> None:
    body = {"from": "2021-01-01T00:00:00Z", "to": "2021-01-01T12:00:00Z"}
    assert "'nobody'" in problem(api.http.post("/schedules/nobody/backfill", json=body), 404, "NOT_FOUND")["detail"]


@pytest.mark.slow
def test_schedules_need_temporal_and_the_api_does_not(tmp_path: Path, stub: StubLlm) -> None:
    project = write_files(tmp_path / "project", {"agents/nightly.yaml": NIGHTLY.format(url=stub.url)})
    api = Api(tmp_path / "home", project, TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}").start()
    try:
        reloaded = api.http.post("/reload").json()
        assert "tried again" in reloaded["schedules"]["note"]
        assert "nightly" in reloaded["agents"]
        problem(api.http.get("/schedules"), 503, "TEMPORAL_UNAVAILABLE")
    finally:
        api.close()


# -- what is begun


async def last_run(client: Client, name: str) -> Any:
    """The workflow of the newest run."""
    info = (await client.get_schedule_handle(f"default/schedule:{name}").describe()).info
    action: Any = info.recent_actions[-1].action
    return client.get_workflow_handle(action.workflow_id)


@pytest.mark.slow
async def test_a_refused_request_is_a_failed_workflow_with_the_reason(
    api: Api, stack: Stack, stub: StubLlm, client: Client
) -> None:
    file = stack.project / "agents" / "leaving.yaml"
    file.write_text(f"name: leaving\n{LLM.format(url=stub.url)}")
    until(lambda: api.http.get("/agents/leaving").status_code == 200)
    made(api, "orphan", interval_seconds=3600, request={"type": "agent:leaving", "input": "Hi"})
    file.unlink()
    triggered(api, "orphan")
    run = await last_run(client, "orphan")
    with pytest.raises(WorkflowFailureError) as caught:
        await run.result()
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, "'leaving'" in cause.message) == ("AGENT_NOT_FOUND", True)
    gone(api, "orphan")


async def test_a_task_that_fails_is_told_by_a_run_that_does_not(api: Api, client: Client) -> None:
    made(api, "fails", interval_seconds=3600, request={"type": "program", "program": "1/0"})
    task_id = triggered(api, "fails")
    assert ended(api, task_id)["state"] == "ERROR"
    end = await (await last_run(client, "fails")).result()
    assert (end["task_id"], end["state"], end["error"]["type"]) == (task_id, "ERROR", "ZeroDivisionError")
    gone(api, "fails")


@pytest.mark.slow
async def test_cancelling_a_run_cancels_its_task(api: Api, client: Client) -> None:
    made(api, "long", interval_seconds=3600, request={"type": "program", "program": "skills.ask(text='Well?')"})
    task_id = triggered(api, "long")
    until(lambda: api.get(f"/tasks/{task_id}")["state"] == "WAITING")
    run = await last_run(client, "long")
    assert (await run.describe()).status == WorkflowExecutionStatus.RUNNING
    assert shown(api, "long")["running"] == [task_id]
    await run.cancel()
    assert ended(api, task_id)["state"] == "CANCELLED"
    with pytest.raises(WorkflowFailureError):
        await run.result()
    assert (await run.describe()).status == WorkflowExecutionStatus.CANCELED
    gone(api, "long")


@pytest.mark.slow
def test_a_continuous_agent_is_asked_in_its_conversation(api: Api, stack: Stack, stub: StubLlm) -> None:
    file = stack.project / "agents" / "guard.yaml"
    text = file.read_text()
    file.write_text(text + "schedule_config: {interval_seconds: 3600, task_data: Look around}\n")
    reloaded(api)
    task = ended(api, triggered(api, "guard"))
    assert (task["state"], task["session_id"]) == ("DONE", "agent:guard")
    again = ended(api, triggered(api, "guard"))
    asked = [one for one in stub.requests if one.last == "Look around"]
    assert [len(one.messages) for one in asked] == [1, 3], "the second turn knows the first"
    assert again["session_id"] == "agent:guard"
    file.write_text(text)
    reloaded(api)


# -- time


async def test_every_minute_is_every_minute(api: Api, client: Client) -> None:
    made(api, "minutely", cron="*/1 * * * *", enabled=False)
    begin = datetime(2027, 3, 1, 12, 0, 30, tzinfo=UTC)
    found = await times(client, "minutely", begin, begin + timedelta(hours=1))
    assert found == [datetime(2027, 3, 1, 12, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(60)]
    # A minute that has passed, as if it came now.
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    handle = client.get_schedule_handle("default/schedule:minutely")
    await handle.backfill(ScheduleBackfill(minute - timedelta(seconds=1), minute))
    [run] = until(lambda: shown(api, "minutely")["runs"])
    assert datetime.fromisoformat(run["due_at"]) == minute
    assert ended(api, run["task_id"])["state"] == "DONE"
    gone(api, "minutely")


async def test_a_day_of_the_month_or_of_the_week(api: Api, client: Client) -> None:
    made(api, "either", cron="0 0 13 * FRI", enabled=False)
    found = await times(client, "either", datetime(2027, 8, 1, tzinfo=UTC), datetime(2027, 8, 31, tzinfo=UTC))
    assert [one.day for one in found] == [6, 13, 20, 27], "the 13th is a Friday, and comes once"
    found = await times(client, "either", datetime(2027, 9, 1, tzinfo=UTC), datetime(2027, 9, 30, tzinfo=UTC))
    assert [one.day for one in found] == [3, 10, 13, 17, 24]
    gone(api, "either")


MARCH, OCTOBER = datetime(2027, 3, 27, 20, tzinfo=UTC), datetime(2027, 10, 30, 20, tzinfo=UTC)
"""Evenings before the clocks of Berlin change: 02:00 becomes 03:00 on 28 March, 03:00 becomes 02:00 on 31 October."""


@pytest.mark.parametrize(
    ("cron", "zone", "begin", "hours", "local"),
    [
        # A time that there is not is left out.
        ("30 2 * * *", "Europe/Berlin", MARCH, 36, ["29 02:30+2"]),
        ("30 1 * * *", "Europe/Berlin", MARCH, 12, ["28 01:30+1"]),
        ("0 3 * * *", "Europe/Berlin", MARCH, 12, ["28 03:00+2"]),
        # One that there is twice comes once in Berlin: the second time, in winter time.
        ("30 2 * * *", "Europe/Berlin", OCTOBER, 36, ["31 02:30+1", "1 02:30+1"]),
        # In New York it comes twice.
        ("30 1 * * *", "America/New_York", datetime(2027, 11, 7, 0, tzinfo=UTC), 24, ["7 01:30-4", "7 01:30-5"]),
        ("30 2 * * *", "America/New_York", datetime(2027, 3, 14, 0, tzinfo=UTC), 24, []),
        # Each of several hours that are written out: of two that are called alike, what is behind the first is lost.
        ("0 1,2,3 * * *", "Europe/Berlin", OCTOBER, 12, ["31 01:00+2", "31 02:00+2", "31 03:00+1"]),
        # A cron of minutes alone knows nothing of that.
        ("0 * * * *", "Europe/Berlin", OCTOBER, 7, ["30 23:00+2", "31 00:00+2", "31 01:00+2", "31 02:00+2", "31 02:00+1", "31 03:00+1", "31 04:00+1"]),
        ("*/30 * * * *", "Europe/Berlin", MARCH + timedelta(hours=4), 2, ["28 01:30+1", "28 03:00+2", "28 03:30+2", "28 04:00+2"]),
    ],
)  # fmt: skip
async def test_what_comes_when_the_clocks_change(
    api: Api, client: Client, cron: str, zone: str, begin: datetime, hours: int, local: list[str]
) -> None:
    made(api, "clock", cron=cron, timezone=zone, enabled=False)
    found = await times(client, "clock", begin, begin + timedelta(hours=hours))
    gone(api, "clock")
    assert [_local(one, zone) for one in found] == local


def _local(moment: datetime, zone: str) -> str:
    here = moment.astimezone(ZoneInfo(zone))
    return f"{here.day} {here:%H:%M}{(here.utcoffset() or timedelta()).total_seconds() / 3600:+.0f}"


# -- overlap, and a server that was down


@pytest.mark.slow
def test_tasks_that_take_longer_than_their_interval(api: Api, stack: Stack) -> None:
    slow = {"type": "skill:echo", "input": {"i": 1, "ms": 3500}}
    made(api, "one", interval_seconds=1, overlap="skip", request=slow)
    made(api, "many", interval_seconds=1, overlap="allow_all", request=slow)
    time.sleep(6)
    api.http.patch("/schedules/one/enabled", json={"enabled": False})
    api.http.patch("/schedules/many/enabled", json={"enabled": False})
    one, many = shown(api, "one"), shown(api, "many")
    assert (one["skipped"] >= 3, many["skipped"]) == (True, 0)
    for found in (one, many):
        for run in found["runs"]:
            assert ended(api, run["task_id"])["state"] == "DONE"
    assert (_at_once(stack, one), _at_once(stack, many) >= 3) == (1, True)
    gone(api, "one")
    gone(api, "many")


def _at_once(stack: Stack, found: dict[str, Any]) -> int:
    """How many of its tasks were in work at the same time, at most."""
    tasks = {run["task_id"] for run in found["runs"]}
    steps = sorted((at, 1 if what == "begin" else -1) for what, task, _, _, at in stack.effects() if task in tasks)
    return max(accumulate(step for _, step in steps))


@pytest.mark.slow
def test_times_that_passed_while_the_server_was_down_are_made_up_for(api: Api, stack: Stack) -> None:
    made(api, "made-up", interval_seconds=3, overlap="allow_all", catchup_seconds=60)
    made(api, "forgotten", interval_seconds=3, overlap="allow_all", catchup_seconds=10)
    until(lambda: shown(api, "made-up")["starts"] and shown(api, "forgotten")["starts"])
    assert stack.server is not None
    stack.server.kill()
    # The first time that is due meanwhile is three seconds after the kill at most, and then older than ten.
    time.sleep(15)
    stack.start_server()
    up = datetime.now(UTC)

    def both() -> Any:
        first, second = (api.http.get(f"/schedules/{name}") for name in ("made-up", "forgotten"))
        if {first.status_code, second.status_code} != {200}:
            return None
        found = first.json(), second.json()
        newest = [datetime.fromisoformat(one["runs"][0]["due_at"]) for one in found]
        return min(newest) >= up and found

    made_up, forgotten = until(both)
    for name in ("made-up", "forgotten"):
        gone(api, name)
    due = sorted(datetime.fromisoformat(run["due_at"]).timestamp() for run in made_up["runs"])
    assert made_up["missed"] == 0
    assert {later - sooner for sooner, later in pairwise(due)} == {3.0}, "none is left out"
    assert forgotten["missed"] >= 1
    tasks = [ended(api, run["task_id"]) for run in made_up["runs"]]
    assert {task["state"] for task in tasks} == {"DONE"}
    assert len({task["id"] for task in tasks}) == len(due)


# -- Temporal's own command line


@pytest.fixture
def cli(stack: Stack) -> Any:
    program = asyncio.run(binary.find(stack.settings))

    def run(*words: str) -> str:
        command = [str(program), "schedule", *words, "--address", f"127.0.0.1:{stack.port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_temporals_own_command_line_shows_and_drives_them(api: Api, cli: Any) -> None:
    made(api, "outside", cron="0 8 * * MON-FRI", timezone="Europe/Berlin")
    until(lambda: "default/schedule:outside" in cli("list"))
    found = json.loads(cli("describe", "--schedule-id", "default/schedule:outside", "-o", "json"))
    assert "0 8 * * MON-FRI Europe/Berlin" in json.dumps(found)
    assert "ScheduledWorkflow" in json.dumps(found)

    cli("toggle", "--schedule-id", "default/schedule:outside", "--pause", "--reason", "holidays")
    paused = shown(api, "outside")
    assert (paused["enabled"], paused["note"]) == (False, "holidays")
    cli("toggle", "--schedule-id", "default/schedule:outside", "--unpause", "--reason", "back")
    assert shown(api, "outside")["enabled"] is True

    cli("trigger", "--schedule-id", "default/schedule:outside")
    [run] = until(lambda: shown(api, "outside")["runs"])
    assert ended(api, run["task_id"])["state"] == "DONE"
    gone(api, "outside")
    until(lambda: "default/schedule:outside" not in cli("list"))


def test_a_schedule_of_other_tools_is_shown_and_left_alone(api: Api, cli: Any) -> None:
    words = ["--schedule-id", "default/schedule:other", "--interval", "2h", "--interval", "3h"]
    cli("create", *words, "--type", "Other", "--task-queue", "other", "--workflow-id", "other", "--paused")
    until(lambda: "other" in names(api))
    found = shown(api, "other")
    assert (found["cron"], found["interval_seconds"], found["request"], found["managed_by"]) == (None, None, {}, "")
    assert api.http.post("/reload").json()["schedules"]["deleted"] == []
    gone(api, "other")


@pytest.mark.slow
def test_our_command_line_makes_and_drives_them(api: Api, stack: Stack) -> None:
    def holdfast(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "cli.main", "schedules", *words]
        done = subprocess.run(
            command, cwd=stack.project, env=api.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    shown_first = holdfast(
        "create", "daily", "Report", "--agent", "nightly", "--cron", "0 8 * * *", "--overlap", "allow_all"
    )
    assert "0 8 * * * UTC" in shown_first
    assert shown(api, "daily")["request"] == {"type": "agent:nightly", "input": "Report"}
    assert "agents/nightly.yaml" in holdfast()
    holdfast("pause", "daily")
    assert "paused" in holdfast("show", "daily")
    task_id = holdfast("trigger", "daily").strip()
    assert ended(api, task_id)["state"] == "DONE"
    [line] = holdfast("backfill", "daily", "--from", "2021-01-01T08:00Z", "--to", "2021-01-01T09:00Z").splitlines()
    assert ended(api, line.split()[-1])["state"] == "DONE"
    assert "--from: found 'noon'" in holdfast("backfill", "daily", "--from", "noon", "--to", "2021-01-01", code=2)
    holdfast("resume", "daily")
    assert "4 fields" in holdfast("create", "bad", "x", "--cron", "0 0 * *", code=2)
    assert "agents/nightly.yaml" in holdfast("delete", "nightly", code=2)
    holdfast("delete", "daily")
    problem(api.http.get("/schedules/daily"), 404, "NOT_FOUND")
