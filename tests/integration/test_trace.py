"""What can be followed from outside: one trace id through every layer, and where a result came from."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client

from holdfast.contracts.program import PROGRAM_RUN, ProgramEnd
from tests.support.api import Api
from tests.support.stack import Stack

TRACE = "5b8aa5a2d2c872e8321cf37308d69df2"
PROGRAM = "import os\nskills.flaky(i=77)\nresult = os.environ['TRACE_ID']"
"""`flaky` answers at its third attempt."""


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    one = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    yield one
    one.close()


def lines_with(trace: str, lines: list[str]) -> list[dict[str, Any]]:
    """Lines that `grep` finds: R-29 promises that no blank follows the colon."""
    return [json.loads(line) for line in lines if f'"trace_id":"{trace}"' in line]


async def test_one_trace_id_from_the_door_to_the_box(stack: Stack, client: Client, api: Api) -> None:
    """API log, workflow, worker log (program and skill), and the program itself; each line is compact JSON."""
    logs = [stack.workers[0].log, api.log]
    before = [log.stat().st_size for log in logs]
    taken = api.http.post("/tasks", json={"type": "program", "program": PROGRAM}, headers={"X-Trace-Id": TRACE})
    task = api.get(f"/tasks/{taken.json()['id']}", wait=30)
    assert (taken.headers["x-trace-id"], task["trace_id"], task["output"]) == (TRACE, TRACE, TRACE)

    described = await client.get_workflow_handle(f"default/{task['id']}").describe()
    assert (await described.memo())["trace_id"] == TRACE
    assert described.search_attributes["TraceId"] == [TRACE]

    worker, door = [log.read_bytes()[start:].decode().splitlines() for log, start in zip(logs, before, strict=True)]
    for line in worker + door:
        assert line == json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False)
    ours = lines_with(TRACE, worker)
    assert [one["metadata"]["outcome"] for one in ours if one["message"] == "program.run"] == ["done"]
    assert {one["metadata"]["task_id"] for one in ours} == {task["id"]}
    assert "flaky" in {one["metadata"].get("skill") for one in ours if one["message"] == "skill.run"}
    assert [one["message"] for one in lines_with(TRACE, door)] == ["task.started", "http.request"]


async def test_the_history_says_which_box_made_a_result(stack: Stack, client: Client) -> None:
    """The answer of `program.run` in the history holds the value, and how the program was isolated (M-52)."""
    handle = await stack.start(client, "result = sum(range(inputs))", inputs=101)
    await handle.result()
    found: list[ProgramEnd] = []
    async for event in handle.fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled = event.activity_task_scheduled_event_attributes.activity_type.name
        if event.HasField("activity_task_completed_event_attributes") and scheduled == PROGRAM_RUN.name:
            payloads = event.activity_task_completed_event_attributes.result.payloads
            found += await client.data_converter.decode(payloads, [ProgramEnd])
    [end] = found
    assert end.value is not None and end.value.inline == 5050
    assert end.adapter == "local"
    assert "no network" in end.isolation
