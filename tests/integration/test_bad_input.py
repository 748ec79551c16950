"""What goes wrong before, in and around a program: each message says what was found, what is allowed and what to do,
and no task is lost by any of it. Faults of a program alone are in `test_programs.py`, of a request in `test_api.py`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from store.database import Database
from store.records import Records
from tests.support.api import Api
from tests.support.stack import Stack, WorkerProcess, until

SKILL = "def run(text: str) -> dict:\n    return {'said': text.upper()}\n"
SPEC = """
name: shout
version: 1.0.0
description: Say it louder
type: script
effect: pure
execution: {handler: skill.py, function: run}
input_schema: {type: object, required: [text], properties: {text: {type: string}}}
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server without a worker, and a project with blanks and umlauts in its path and one broken skill in it."""
    root = tmp_path_factory.mktemp("Über all")
    project = root / "mein Projekt ß 日本"
    for name, text in {"shout": SPEC, "kaputt": "name: [", "no fields": "tags: [x]"}.items():
        (project / "skills" / name).mkdir(parents=True)
        (project / "skills" / name / "skill.yaml").write_text(text, "utf-8")
    (project / "skills" / "shout" / "skill.py").write_text(SKILL)
    (project / "holdfast.yaml").touch()
    one = Stack(root / "Daten ö", project=project)
    try:
        one.start_server()
        yield one
    finally:
        one.close()


@pytest.fixture
def worker(alone: Stack) -> Iterator[WorkerProcess]:
    one = alone.start_worker().wait_up()
    yield one
    one.kill()


def refusal(worker: WorkerProcess) -> str:
    """What a worker says that does not come up."""
    assert worker.process.wait(30) == 3, worker.log.read_text()
    said = worker.log.read_text().splitlines()[-1]
    assert said.startswith("holdfast worker: ")
    return said


async def record(stack: Stack, handle: "WorkflowHandle[Any, Any]") -> Any:
    database = await Database.open(stack.settings)
    try:
        return await Records(database).get("default", handle.id.partition("/")[2])
    finally:
        await database.close()


# the program

FAULTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "syntax": ("x = (", {}, ["line 1, column 5", "'(' was never closed"]),
    "endless loop": (
        "while True: pass",
        {"limits": {"run_seconds": 1}},
        ["1 s of its own time", "limits.run_seconds", "after 0 calls"],
    ),
    "endless loop that awaits": (
        "import asyncio\nwhile True: await asyncio.sleep(0)",
        {"limits": {"run_seconds": 1}},
        ["1 s of its own time", "limits.run_seconds"],
    ),
    "flood": (
        "while True: print('x' * 1000)",
        {"limits": {"output_bytes": 100_000}},
        ["printed more than 100000 bytes", "limits.output_bytes"],
    ),
    "not JSON": ("result = object()", {}, ["type object", "dicts, lists, strings, numbers, booleans or None"]),
    "huge": ("result = 'x' * 5_000_000", {}, ["5000002 bytes", "limit is 4194304", "leave a summary"]),
    "cyclic": ("result = []\nresult.append(result)", {}, ["Circular", "dicts, lists, strings"]),
    "NaN": ("result = float('nan')", {}, ["Out of range float", "dicts, lists, strings"]),
    "unknown skill": ("skills.ecko(i=1)", {}, ["line 1", "no skill named 'ecko'", "known:", "'echo'"]),
    "ungranted skill": ("skills.boom(i=1)", {"skills": ["echo"]}, ["line 1", "'boom' is not granted", "echo"]),
    "unknown argument": ("skills.echo(i=1, j=2)", {}, ["unknown 'j'", "allowed: 'i', 'ms', 'size', 'tag'"]),
    "missing argument": ("skills.echo(ms=1)", {}, ["arguments: 'i' missing"]),
    "argument of another type": ("skills.echo(i='one')", {}, ["arguments.i", "'one' (string)", "allowed: integer"]),
    "too many calls": (
        "for i in range(9): skills.noop(i=i)",
        {"limits": {"max_calls": 5}},
        ["more than 5 calls", "limits.max_calls"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_program_that_cannot_go_on_is_told_what_was_found_and_what_is_allowed(
    stack: Stack, client: Client, fault: str
) -> None:
    source, fields, parts = FAULTS[fault]
    with pytest.raises(WorkflowFailureError) as caught:
        await stack.run(client, source, **fields)
    assert isinstance(caught.value.cause, ApplicationError)
    message = caught.value.cause.message
    assert [part for part in parts if part not in message] == [], message
    assert "holdfast/" not in message


async def test_a_failed_task_is_kept_with_its_reason(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "result = {1, 2}")
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    row = await record(stack, handle)
    assert (row.state, row.failure["type"]) == ("ERROR", "ResultNotJson")


async def test_wrong_arguments_are_an_input_error_that_is_tried_once(stack: Stack, client: Client) -> None:
    source = "try:\n    skills.echo(i='one')\nexcept SkillError as e:\n    result = [e.type, e.skill]"
    handle = await stack.start(client, source)
    assert stack.value(await handle.result()) == ["SkillInputError", "echo"]
    assert stack.begins(handle).total() == 0
    started = [
        event.activity_task_started_event_attributes
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_started_event_attributes")
    ]
    assert {one.attempt for one in started} == {1}


# the API


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    one = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    yield one
    one.close()


def test_an_answer_of_3_mb_is_the_result_that_the_api_gives(api: Api) -> None:
    task = api.submit("result = skills.big(i=1, size=3_000_000)")
    assert api.get(f"/tasks/{task['id']}", wait=30)["state"] == "DONE"
    assert len(api.get(f"/tasks/{task['id']}/result")["output"]) == 3_000_000


# the machine


def test_a_worker_without_a_server_says_where_it_looked(tmp_path: Path) -> None:
    said = refusal(Stack(tmp_path / "ä b").start_worker())
    assert "no Temporal server answers at '127.0.0.1:" in said
    assert "`holdfast up`" in said
    assert "TEMPORAL_ADDRESS" in said


def test_a_worker_without_a_database_says_which(alone: Stack) -> None:
    said = refusal(alone.start_worker(DATABASE_URL="sqlite:////proc/nowhere.db"))
    assert "/proc/nowhere.db" in said


@pytest.mark.slow
async def test_without_bubblewrap_no_program_runs_and_its_task_waits_for_a_worker_that_has_it(
    alone: Stack, tmp_path: Path
) -> None:
    client = await alone.client()
    handle = await alone.start(client, "result = skills.shout(text='ä')['said']")
    said = refusal(alone.start_worker(PATH=str(tmp_path)))
    assert "bubblewrap is not installed" in said
    assert "apt-get install bubblewrap" in said
    worker = alone.start_worker().wait_up()
    assert alone.value(await handle.result()) == "Ä"
    worker.kill()


@pytest.mark.usefixtures("worker")
async def test_a_path_with_blanks_and_umlauts_and_a_broken_skill_beside_it_stop_nothing(alone: Stack) -> None:
    source = (
        "skills.write_file(path='bericht ü/notiz ß.txt', content='grün')\n"
        "result = [skills.shout(text=skills.read_file(path='bericht ü/notiz ß.txt')['text'])['said']]"
    )
    result = await alone.run(await alone.client(), source)
    assert alone.value(result) == ["GRÜN"]


@pytest.mark.slow
async def test_a_locked_database_delays_a_task_and_loses_nothing(alone: Stack, worker: WorkerProcess) -> None:
    client = await alone.client()
    with alone.locked_store():
        handle = await alone.start(client, "result = skills.shout(text='late')['said']")
        await until(lambda: "is locked: another process holds its write lock" in worker.log.read_text(), 30)
    assert alone.value(await handle.result()) == "LATE"
    assert (await record(alone, handle)).state == "DONE"
    assert set((await alone.scheduled(client, handle)).values()) == {1}
