"""Long conversations: how they grow, and what is sent of them. And all that can die, while an agent listens."""

import asyncio
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from holdfast.windows import estimate
from tests.support.api import PROJECT, Api
from tests.support.skill_folders import write_files
from tests.support.stack import Stack, runs_of, until
from tests.support.stub_llm import Calling, Request, StubLlm, calling
from tests.support.stub_wires import Use

TURNS, SMALL_TURNS = 100, 60
ANSWER_BYTES = 5000
SMALL_WINDOW = 8192
_AGENT = """
name: {name}
system_prompt: You look things up, one at a time.
strategy: loop
skills: [big, recall]
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1", context_tokens: {window}, max_tokens: 500}}
"""
LISTENER = """
name: listener
execution_mode: continuous
strategy: direct
skills: []
event_subscriptions: ["bench.*"]
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1", timeout_seconds: 20}}
"""


def look_up(request: Request) -> str | Calling:
    """A call, then a word on what it gave."""
    if request.body["messages"][-1]["role"] == "tool":
        return f"Found it. {'It says what it says. ' * 20}"
    number = len(request.results) + 1
    return calling(Use("big", {"i": number, "size": ANSWER_BYTES, "tag": f"call {number} of {request.size_bytes}"}))


class House:
    """A server, a worker and an API over one folder, any of which may be killed."""

    def __init__(self, folder: Path, stub: StubLlm) -> None:
        project = shutil.copytree(PROJECT, folder / "project")
        agents: dict[str, str | bytes] = {
            "agents/wide.yaml": _AGENT.format(name="wide", url=stub.url, window=128_000),
            "agents/small.yaml": _AGENT.format(name="small", url=stub.url, window=SMALL_WINDOW),
            "agents/listener.yaml": LISTENER.format(url=stub.url),
        }
        write_files(project, agents)
        self.stack = Stack(folder / "home", project=project)
        self.stack.start_server()
        self.stack.start_worker().wait_up()
        self.api = self._api().start()

    def _api(self) -> Api:
        return Api(self.stack.home, self.stack.project, TEMPORAL_ADDRESS=f"127.0.0.1:{self.stack.port}")

    def kill(self) -> None:
        """All of it, at once."""
        assert self.stack.server is not None
        assert self.api.process is not None
        for process in (self.stack.workers[-1].process, self.api.process):
            process.send_signal(signal.SIGKILL)
        self.stack.server.kill()
        self.api.close()
        self.stack.workers[-1].process.wait()

    def revive(self) -> None:
        self.stack.start_server()
        self.stack.start_worker().wait_up()
        self.api = self._api().start()

    def close(self) -> None:
        self.api.close()
        self.stack.close()

    def say(self, session: str, agent: str, text: str) -> Any:
        """One turn, to its end."""
        sent = self.api.http.post(f"/sessions/{session}/messages", json={"text": text, "agent": agent})
        assert sent.status_code == 202, sent.text
        task = sent.json()["task_id"]
        while (found := self.api.get(f"/tasks/{task}", wait=20))["state"] not in ("DONE", "ERROR"):
            continue
        assert found["state"] == "DONE", found["error"]
        return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("talk"), model)
    try:
        yield house
    finally:
        house.close()


async def sizes(client: Client, session: str, tasks: list[str]) -> tuple[int, list[int]]:
    """Bytes of history of the session's own workflow, over all its runs, and of each of its turns."""
    own = await _bytes(client, f"default/session:{session}")
    return own, [await _bytes(client, f"default/{task}") for task in tasks]


async def _bytes(client: Client, name: str) -> int:
    total = 0
    newest = client.get_workflow_handle(name)
    first = (await newest.describe()).raw_description.workflow_execution_info.first_run_id
    handle = client.get_workflow_handle(name, first_execution_run_id=first)
    async for events in runs_of(client, handle):
        total += sum(event.ByteSize() for event in events)
    return total


def words_of(request: Request) -> str:
    """All that a model reads."""
    told = [message.get("content") or "" for message in request.body["messages"]]
    called = [str(message.get("tool_calls", "")) for message in request.body["messages"]]
    return "\n".join(map(str, [*told, *called, request.body.get("tools", "")]))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_hundred_turns_with_long_answers_stay_small_and_grow_evenly(
    house: House, model: StubLlm, say: Callable[[str], None]
) -> None:
    model.reset()
    model.rule(".", look_up)
    session, tasks, marks = "wide-talk", [], {}
    client = await house.stack.client()
    began = time.monotonic()
    for turn in range(TURNS):
        text = f"Question {turn}. " + f"This is what I know of it so far, line {turn}. " * 70
        tasks.append((await asyncio.to_thread(house.say, session, "wide", text))["id"])
        if turn + 1 in (10, TURNS - 10, TURNS):
            marks[turn + 1] = await sizes(client, session, tasks)
    took = time.monotonic() - began
    own, turns = marks[TURNS]
    first = marks[10][0] + sum(turns[:10])
    last = own - marks[TURNS - 10][0] + sum(turns[-10:])
    largest = max(estimate(words_of(one)) for one in model.requests)
    talked = TURNS * (ANSWER_BYTES + len(text) + 460) // 4
    say(
        f"{TURNS} turns, about {talked} tokens said, in {took:.0f} s: {(own + sum(turns)) / 1e6:.2f} MB of history, "
        f"{last / 10:.0f} bytes a turn of the last ten, {last / first:.2f} x the first; largest prompt {largest} tokens"
    )
    assert talked > 209_000
    assert own + sum(turns) < 5_000_000
    assert last <= 1.2 * first
    assert largest + 500 <= 128_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sixty_turns_never_exceed_a_window_of_eight_thousand_tokens(
    house: House, model: StubLlm, say: Callable[[str], None]
) -> None:
    model.reset()
    model.rule(".", look_up)
    for turn in range(SMALL_TURNS):
        house.say("small-talk", "small", f"Question {turn}. " + f"Line {turn} of what I know. " * 30)
    sizes = [estimate(words_of(one)) for one in model.requests]
    say(f"{len(sizes)} requests, the largest of {max(sizes)} tokens, the last of {sizes[-1]}")
    assert max(sizes) + 500 <= SMALL_WINDOW
    assert sizes[-1] > SMALL_WINDOW // 4, "what fits is sent"
    assert "Question 59" in model.requests[-1].text


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_everything_killed_ten_times_loses_no_event_and_answers_none_twice(
    house: House, model: StubLlm, say: Callable[[str], None]
) -> None:
    """Between messages, and within them: the next prompt holds all that came before."""
    model.reset()
    model.rule(".", lambda request: f"Heard {request.last.count('fact') or 1}.", delay_s=0.4)
    kills = 10
    for number in range(1, kills + 1):
        event = {"event_id": f"kill-{number}", "topic": "bench.fact", "payload": {"text": f"fact {number} of many"}}
        sent = await asyncio.to_thread(house.api.http.post, "/events", json=event)
        assert sent.status_code == 202, sent.text
        if number % 2:
            await until(lambda n=number: turns_of(house) >= n, seconds=60)
        else:
            await until(lambda n=number: any(f"fact {n} of" in one.text for one in model.requests), seconds=60)
        await asyncio.to_thread(house.kill)
        await asyncio.to_thread(house.revive)
    await until(lambda: turns_of(house) == kills, seconds=120, every=0.2)
    for number in range(1, kills + 1):
        prompt = next(one for one in reversed(model.requests) if f"fact {number} of" in one.last)
        missing = [n for n in range(1, number) if f"fact {n} of many" not in prompt.text]
        assert not missing, f"the prompt of event {number} lacks {missing}"
    shown = house.api.get("/sessions/agent:listener/messages")
    answers = [one["said"] for one in shown]
    assert len(answers) == len(set(answers)) == kills
    assert {one["state"] for one in shown} == {"DONE"}
    again = len(model.requests) - kills
    say(f"{kills} kills of everything: {kills} events, {kills} turns, {again} requests sent again")
    assert again <= kills // 2


def turns_of(house: House) -> int:
    """How many turns of the continuous agent are over."""
    found = house.api.http.get("/sessions/agent:listener")
    return int(found.json().get("turns", 0)) if found.status_code == 200 else 0
