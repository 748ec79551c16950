"""The stream of a task's events over real HTTP, from a real history."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from holdfast.ids import workflow_id
from store.database import Database
from store.deltas import Deltas
from tests.support.agents import begin, models, task_spec
from tests.support.api import Api, problem
from tests.support.authors import PHRASE, plans, says
from tests.support.stack import Stack, until
from tests.support.stub_llm import StubLlm, calling
from tests.support.stub_wires import Use

CALLS = "import asyncio\nfor k in range(3):\n    await asyncio.gather(*[skills.echo(i=k * 3 + j, ms=20) for j in range(3)])\nresult = 'ok'"
ASKS = "a = await skills.echo(i=1)\nb = await skills.ask(text='Which?', options=['red', 'blue'])\nc = await skills.echo(i=2)\nresult = [a['i'], b, c['i']]"
SLEEPS = "a = await skills.echo(i=1)\nawait skills.sleep(seconds=600)"


@dataclass(frozen=True)
class Heard:
    """One event of a stream. A ping has no name."""

    event: str
    text: str
    id: str

    @property
    def data(self) -> Any:
        return json.loads(self.text)


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    yield api
    api.close()


@contextlib.asynccontextmanager
async def watching(api: Api, task_id: str, after: str = "", **query: str) -> AsyncIterator[AsyncIterator[Heard]]:
    """The events of a task over one connection, read as they come."""
    headers = {"Last-Event-ID": after} if after else {}
    async with (
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=40) as http,
        http.stream("GET", f"/tasks/{task_id}/events", headers=headers, params=query) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        async with contextlib.aclosing(_parsed(response)) as events:
            yield events


async def _parsed(response: httpx2.Response) -> AsyncGenerator[Heard]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        yield Heard(fields.get("event", ""), fields.get("data", ""), fields.get("id", ""))
        fields = {}


async def story(api: Api, task_id: str, after: str = "", **query: str) -> list[Heard]:
    """All events up to the close of the stream, without pings and deltas."""
    async with watching(api, task_id, after, **query) as events:
        return [heard async for heard in events if heard.event not in ("", "delta")]


async def answer(api: Api, task_id: str) -> None:
    """Answer a question once the task has nothing else to do."""

    async def asked() -> Any:
        if (await asyncio.to_thread(api.get, f"/tasks/{task_id}"))["state"] != "WAITING":
            return None
        response = await asyncio.to_thread(api.http.get, f"/tasks/{task_id}/questions")
        return response.is_success and [one for one in response.json() if one["state"] == "open"]

    [question] = await until(asked)
    response = await asyncio.to_thread(
        api.http.post, f"/tasks/{task_id}/questions/{question['id']}", json={"answer": "red"}
    )
    assert response.status_code == 200, response.text


def calls(heard: list[Heard]) -> Counter[tuple[str, str]]:
    return Counter((one.data["summary"], one.data["state"]) for one in heard if one.event == "call")


async def test_live_story_of_a_program_with_calls_and_a_question(api: Api):
    task_id = api.submit(ASKS)["id"]
    answering = asyncio.create_task(answer(api, task_id))
    heard = await story(api, task_id)
    await answering
    assert (heard[0].event, heard[0].data["state"]) == ("status", "PENDING")
    steps = [(one.data["status"], one.data["currentStep"]) for one in heard if one.event == "status"]
    assert steps[-1] == ("completed", "Done")
    assert ("running", "Calling echo") in steps and ("running", "Waiting") in steps
    assert [one.data["lines"] for one in heard if one.event == "program"] == [4]
    assert calls(heard) == Counter({(f"echo(i={i})", state): 1 for i in (1, 2) for state in ("started", "done")})
    assert all(one.data["ms"] >= 0 for one in heard if one.event == "call" and one.data["state"] == "done")
    asked = [one.data for one in heard if one.event == "question"]
    assert [(one["state"], one["answer"]) for one in asked] == [("open", None), ("answered", "red")]
    assert (asked[0]["text"], asked[0]["options"]) == ("Which?", ["red", "blue"])
    assert (heard[-1].event, heard[-1].data["state"]) == ("done", "DONE")
    assert len({one.id for one in heard}) == len(heard)
    assert api.get(f"/tasks/{task_id}")["state"] == "DONE"
    assert await story(api, task_id) == heard, "told again from history, it is the same"


async def test_going_on_behind_each_event_misses_and_repeats_nothing(api: Api):
    task_id = api.submit(CALLS)["id"]
    whole = await story(api, task_id)
    assert calls(whole) == Counter(
        {(f"echo(i={i}, ms=20)", state): 1 for i in range(9) for state in ("started", "done")}
    )
    for number, each in enumerate(whole[:-1], 1):
        assert await story(api, task_id, each.id) == whole[number:], each
    assert await story(api, task_id, last_event_id=whole[3].id) == whole[4:]
    assert await story(api, task_id, whole[5].id, last_event_id=whole[3].id) == whole[6:]


async def test_nothing_more_is_said_behind_the_end(api: Api):
    task_id = api.submit("result = 1")["id"]
    heard = await story(api, task_id)
    response = api.http.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": heard[-1].id})
    assert (response.status_code, response.content) == (204, b"")


async def test_a_long_task_is_one_story_over_all_its_runs(api: Api):
    task_id = api.submit(CALLS, tuning={"bound_events": 40})["id"]
    whole = await story(api, task_id)
    assert max(int(one.id.partition(".")[0]) for one in whole) > 1, "it went on as new"
    assert calls(whole) == Counter(
        {(f"echo(i={i}, ms=20)", state): 1 for i in range(9) for state in ("started", "done")}
    )
    for number in range(0, len(whole) - 1, 5):
        assert await story(api, task_id, whole[number].id) == whole[number + 1 :]


@pytest.mark.slow
async def test_an_api_that_is_killed_in_the_middle_loses_and_doubles_nothing(stack: Stack):
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    try:
        task_id = api.submit(ASKS)["id"]
        heard: list[Heard] = []
        with contextlib.suppress(httpx2.TransportError):
            async with watching(api, task_id) as events:
                async for each in events:
                    heard.append(each)
                    if each.event == "call" and each.data["state"] == "done":
                        assert api.process is not None
                        api.process.kill()
                        api.process.wait()
        heard = [one for one in heard if one.event]
        assert heard[-1].event != "done"
        api.start()
        await answer(api, task_id)
        rest = await story(api, task_id, heard[-1].id)
        assert [*heard, *rest] == await story(api, task_id)
    finally:
        api.close()


async def test_agents_task_is_one_story_of_plan_program_calls_and_answer(api: Api, stack: Stack):
    """Two histories, watched live over many connections: each is cut after a few events."""
    with StubLlm() as stub:
        says(stub, PHRASE, "It is 3")
        plans(stub, "skills.echo(i=1)\n1/0", "result = skills.echo(i=1)['i'] + skills.echo(i=2)['i']", delay_s=0.3)
        spec = task_spec(stack, "add", models(stub), skills=["echo"], phrase=True)
        handle = await begin(await stack.client(), spec)
        task_id = spec.brief.task.task_id
        await until(lambda: api.http.get(f"/tasks/{task_id}").status_code == 200)
        heard: list[Heard] = []
        while not heard or heard[-1].event != "done":
            heard += await some(api, task_id, 4, heard[-1].id if heard else "")
        await handle.result()
    assert Counter(heard) == Counter(await story(api, task_id))
    steps = [one.data["currentStep"] for one in heard if one.event == "status"]
    first = [steps.index(step) for step in ("Planning", "Generating", "Running", "Calling echo", "Answering", "Done")]
    assert first == sorted(first)
    assert [one.data["version"] for one in heard if one.event == "program"] == [1, 2]
    assert calls(heard) == Counter({(f"echo(i={i})", state): 1 for i in (1, 2) for state in ("started", "done")})
    assert [one.data["state"] for one in heard if one.event == "plan"] == ["started", "done"]
    usage = [one.data["step"] for one in heard if one.event == "usage"]
    assert usage == ["plan", "program", "program", "answer"]
    assert heard[-1].data["state"] == "DONE"


async def test_loop_is_one_story_of_turns_and_calls_over_all_its_runs(api: Api, stack: Stack):
    with StubLlm() as stub:
        turns = [calling(Use("echo", {"i": i})) for i in range(3)]
        turns += [calling(Use("boom", {"i": 7}), Use("ask", {"text": "Which?", "options": ["red"]}))]
        for reply in turns:
            stub.rule(".", reply, times=1)
        stub.rule(".", "Done.")
        fields = {"strategy": "loop", "skills": ["echo", "ask"], "tuning": {"bound_events": 25}}
        handle = await begin(await stack.client(), task_spec(stack, "count", models(stub), **fields))
        task_id = handle.id.partition("/")[2]
        await until(lambda: api.http.get(f"/tasks/{task_id}").status_code == 200)
        await answer(api, task_id)
        await handle.result()
    whole = await story(api, task_id)
    assert max(int(one.id.partition(".")[0]) for one in whole) > 1, "it went on as new"
    made = {(f"echo(i={i})", state): 1 for i in range(3) for state in ("started", "done")}
    assert calls(whole) == Counter({**made, ("boom({'i': 7})", "failed"): 1})
    [denied] = [one.data for one in whole if one.event == "call" and one.data["state"] == "failed"]
    assert "'boom' is not granted to this task" in denied["error"]
    assert [one.data["step"] for one in whole if one.event == "usage"] == ["turn"] * 5
    assert [one.data["state"] for one in whole if one.event == "question"] == ["open", "answered"]
    assert len({one.id for one in whole}) == len(whole)
    for number in range(0, len(whole) - 1, 5):
        assert await story(api, task_id, whole[number].id) == whole[number + 1 :]


async def test_what_a_model_says_is_heard_while_it_is_asked(api: Api, stack: Stack):
    db = await Database.open(stack.settings)
    with StubLlm() as stub:
        says(stub, "", "forty-two", delay_s=3)
        spec = task_spec(stack, "how much?", models(stub), strategy="direct")
        task_id = spec.brief.task.task_id
        await begin(await stack.client(), spec)
        await until(lambda: api.http.get(f"/tasks/{task_id}").status_code == 200)
        heard: list[Heard] = []
        async with watching(api, task_id) as events:
            async for each in events:
                heard.append(each)
                if each.event == "status" and each.data["currentStep"] == "Answering":
                    for text in ("for", "ty-", "two"):
                        await Deltas(db).add("default", task_id, "answer", text)
    await db.close()
    said = [one for one in heard if one.event == "delta"]
    assert "".join(one.data["text"] for one in said).startswith("forty-two")
    assert {(one.data["step"], one.id) for one in said} == {("answer", "")}
    assert heard[-1].event == "done"
    assert api.get(f"/tasks/{task_id}")["output"] == "forty-two", "what is recorded is the truth"
    assert [one for one in await story(api, task_id) if one.event == "delta"] == []


async def some(api: Api, task_id: str, number: int, after: str) -> list[Heard]:
    """The next few events."""
    heard: list[Heard] = []
    async with watching(api, task_id, after) as events:
        async for each in events:
            heard += [each] if each.id else []
            if len(heard) == number:
                break
    return heard


@pytest.mark.slow
async def test_stream_outlives_the_server(tmp_path: Path):
    """Temporal goes away in the middle of a stream, and comes back: the stream goes on, and nothing is missing."""
    stack = Stack(tmp_path / "home")
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    try:
        await asyncio.to_thread(stack.start_server)
        stack.start_worker().wait_up()
        api.start()
        task_id = api.submit(ASKS)["id"]
        heard: list[Heard] = []
        async with watching(api, task_id) as events:
            async for each in events:
                heard += [each] if each.id else []
                if each.event == "status" and each.data["state"] == "WAITING":
                    assert stack.server is not None
                    stack.server.kill()
                    await asyncio.sleep(1)
                    await asyncio.to_thread(stack.start_server)
                    answering = asyncio.create_task(answer(api, task_id))
        await answering
        assert heard[-1].event == "done"
        assert heard == await story(api, task_id)
    finally:
        api.close()
        stack.close()


async def test_failed_cancelled_and_terminated_tasks_end_as_they_did(api: Api, stack: Stack):
    failed = await story(api, api.submit("1/0")["id"])
    assert (failed[-1].data["state"], failed[-1].data["status"]) == ("ERROR", "failed")
    assert "ZeroDivisionError" in failed[-1].data["error"]
    asking = api.submit(ASKS)["id"]
    async with watching(api, asking) as events:
        async for each in events:
            if each.event == "question":
                await asyncio.to_thread(api.http.post, f"/tasks/{asking}/cancel")
                break
        rest = [one async for one in events]
    assert rest[-1].data["state"] == "CANCELLED"
    assert [one.data["state"] for one in rest if one.event == "question"] == ["withdrawn"]
    sleeping = api.submit(SLEEPS)["id"]
    async with watching(api, sleeping) as events:
        async for each in events:
            if each.event == "status" and each.data["state"] == "WAITING":
                client = await stack.client()
                await client.get_workflow_handle(workflow_id("default", sleeping)).terminate(reason="enough")
    assert (each.event, each.data["state"]) == ("done", "ERROR")
    assert "enough" in each.data["error"]
    assert api.get(f"/tasks/{sleeping}")["state"] == "ERROR", "the record is final once `done` was said"


async def test_strangers_and_wrong_ids_are_refused_before_the_stream(api: Api):
    task_id = api.submit("result = 1")["id"]
    path = f"/tasks/{task_id}/events"
    problem(api.http.get("/tasks/00000000-0000-7000-8000-000000000000/events"), 404, "NOT_FOUND")
    problem(api.http.get(path, headers={"X-Tenant-Id": "acme"}), 404, "NOT_FOUND")
    for wrong in ("x", "1.2.3", "1.2.3-4.5", "-1.2.3-0.0.0", "1.2.3-0.0.0-", "1" * 10 + ".0.0-0.0.0", "١.1.1-0.0.0"):
        problem(api.http.get(path, params={"last_event_id": wrong}), 400, "INVALID_EVENT_ID")
    problem(api.http.get(path, headers={"Last-Event-ID": "12"}), 400, "INVALID_EVENT_ID")


def _at_work(api: Api) -> tuple[int, int]:
    """Threads and sockets of the API."""
    assert api.process is not None
    place = Path(f"/proc/{api.process.pid}")
    links = [path.readlink() for path in (place / "fd").iterdir()]
    return len(list((place / "task").iterdir())), sum(str(link).startswith("socket:") for link in links)


def _ended_streams(api: Api) -> int:
    return sum('"http.request"' in line and "/events" in line for line in api.log.read_text().splitlines())


@pytest.mark.slow
async def test_watchers_that_go_leave_nothing_behind(stack: Stack, tmp_path: Path):
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    api.log = tmp_path / "api.log"
    api.start()
    try:
        task_id = api.submit(SLEEPS)["id"]
        await _look(api, task_id, 30)
        await until(lambda: _ended_streams(api) == 30)
        # Pools of connections and threads are full now; what each watcher left behind would come on top.
        threads, sockets = _at_work(api)
        for _ in range(2):
            await _look(api, task_id, 30)
        await until(lambda: _ended_streams(api) == 90)
        await until(lambda: _at_work(api)[0] <= threads and _at_work(api)[1] <= sockets)
        assert "http.fault" not in api.log.read_text()
    finally:
        api.close()


async def _look(api: Api, task_id: str, watchers: int) -> None:
    """Many watchers at once, each gone once the task waits."""

    async def look() -> None:
        async with watching(api, task_id) as events:
            async for each in events:
                if each.event == "status" and each.data["state"] == "WAITING":
                    return

    await asyncio.gather(*(look() for _ in range(watchers)))


async def test_api_stops_within_seconds_while_streams_are_open(stack: Stack, tmp_path: Path):
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    api.log = tmp_path / "api.log"
    api.start()
    try:
        task_id = api.submit(SLEEPS)["id"]
        async with contextlib.AsyncExitStack() as open_streams:
            for _ in range(5):
                events = await open_streams.enter_async_context(watching(api, task_id))
                assert (await anext(events)).event == "status"
            began = time.monotonic()
            assert await asyncio.to_thread(api.stop) == 0
            took = time.monotonic() - began
        assert took < 3, f"{took:.1f} s"
        assert "Traceback" not in api.log.read_text()
        assert _ended_streams(api) == 5
    finally:
        api.close()
