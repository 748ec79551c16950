"""Processes killed with SIGKILL at random: whatever dies, the task goes on, and nothing finished is done twice."""

import asyncio
import contextlib
import os
import signal
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.proof import proof
from holdfast.contracts.question import AnswerMessage
from tests.support.chaos import Chaos, Report
from tests.support.stack import Stack, parents_of, progress, until


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Stack]:
    """A server and two workers of its own: these tests kill them."""
    stack = Stack(tmp_path / "holdfast")
    try:
        stack.start_server()
        for worker in (stack.start_worker(), stack.start_worker()):
            worker.wait_up()
        yield stack
    finally:
        stack.close()


def verdict(report: Report, say: Callable[[str], None]) -> None:
    say(str(report))
    assert report.scheduled_twice == []
    assert report.repeated_after_completion == []


@pytest.mark.timeout(240)
async def test_six_kills_repeat_no_finished_call(standby: Stack, say: Callable[[str], None]) -> None:
    report = await Chaos(standby, seed=11).run({"box": 2, "worker": 3, "server": 1})
    verdict(report, say)
    assert sum(report.kills.values()) == 6


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_thirty_kills_repeat_no_finished_call(standby: Stack, say: Callable[[str], None]) -> None:
    report = await Chaos(standby, seed=5).run({"box": 10, "worker": 20, "server": 6})
    verdict(report, say)
    assert sum(report.kills.values()) == 36
    assert report.inside >= 5
    # By default Temporal waits 10 s before it gives a lost worker's workflow to another. `make bench` measures.
    assert statistics.median(report.recoveries) <= 8


@pytest.mark.slow
async def test_a_worker_killed_in_a_light_call_repeats_no_finished_one(standby: Stack) -> None:
    client = await standby.client()
    handle = await standby.start(client, "for i in range(8): skills.glance(i=i, ms=150)\nresult = i")
    for number in (3, 6):
        await until(lambda least=number: standby.begins(handle).total() >= least)
        standby.workers[-1].kill()
        standby.workers[-2].kill()
        standby.start_worker().wait_up()
        standby.start_worker().wait_up()
    assert standby.value(await handle.result()) == 7
    assert standby.begins(handle).total() <= 10, "what was in flight at a kill begins again, nothing else"
    assert (await proof(client, handle.id)).holds


@pytest.mark.slow
async def test_a_once_skill_killed_inside_asks_and_does_not_begin_again(standby: Stack) -> None:
    client = await standby.client()
    handle = await standby.start(client, "result = skills.once_note(i=1, ms=4000)")
    await until(lambda: standby.begins(handle))
    for worker in list(standby.workers):
        worker.kill()
    standby.start_worker().wait_up()

    async def asked() -> Any:
        return next((one for one in (await progress(handle)).questions if one.kind == "outcome"), None)

    question = await until(asked, 40)
    assert "once-note" in question.text and sum(standby.begins(handle).values()) == 1
    answer = AnswerMessage(question_id=question.id, value={"outcome": "done", "result": {"i": 7}})
    await handle.execute_update("answer", answer)
    assert standby.value(await handle.result()) == {"i": 7}
    assert sum(standby.begins(handle).values()) == 1


async def test_a_question_outlives_worker_and_server(standby: Stack) -> None:
    client = await standby.client()
    source = "a = skills.echo(i=1)\nq = skills.ask(text='still there?')\nresult = [a['i'], q, skills.echo(i=2)['i']]"
    handle = await standby.start(client, source)

    async def parked() -> Any:
        seen = await progress(handle)
        return seen.questions if seen.state == "WAITING" and not seen.box else None

    [question] = await until(parked)
    await until(lambda: not standby.boxes(), 5)
    for worker in list(standby.workers):
        worker.kill()
    assert standby.server is not None
    standby.server.kill()
    await asyncio.to_thread(standby.start_server)
    standby.start_worker().wait_up()
    handle = (await standby.client()).get_workflow_handle(handle.id)
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="yes"))
    await handle.result()
    assert sorted(standby.begins(handle).values()) == [1, 1]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_paused_worker_that_wakes_starts_nothing(standby: Stack) -> None:
    """SIGSTOP of a worker and its box; another attempt overtakes it; SIGCONT."""
    client = await standby.client()
    source = "total = 0\nfor i in range(40): total += skills.echo(i=i, ms=50)['i']\nresult = total"
    handle = await standby.start(client, source)
    await until(lambda: len(standby.ends(handle)) >= 5)
    victim = _holder(standby)
    frozen = _tree(victim)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    ends = len(standby.ends(handle))
    # The server goes on giving tasks to the pollers of the paused one, and each is only lost by its timeout.
    await until(lambda: len(standby.ends(handle)) > ends + 2, 150)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    result = await asyncio.wait_for(handle.result(), 120)
    assert standby.value(result) == sum(range(40))
    scheduled = await standby.scheduled(client, handle)
    assert len(scheduled) == 40 and set(scheduled.values()) == {1}
    begins = standby.begins(handle)
    again = {call for call, count in begins.items() if count > 1}
    assert len(again) <= 1, "only the call in flight when it was stopped is tried again, with the same key"


def _holder(stack: Stack) -> int:
    parents = set(parents_of(stack.boxes()[-1]))
    return next(worker.pid for worker in stack.workers if worker.pid in parents)


def _tree(root: int) -> list[int]:
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [root, *(pid for pid in pids if root in parents_of(pid))]


async def test_sigterm_drains_and_exits_0(standby: Stack) -> None:
    client = await standby.client()
    handle = await standby.start(
        client, "total = 0\nfor i in range(20): total += skills.echo(i=i, ms=100)['i']\nresult = total"
    )
    await until(lambda: len(standby.ends(handle)) >= 3)
    worker = next(worker for worker in standby.workers if worker.pid == _holder(standby))
    worker.process.terminate()
    assert await asyncio.to_thread(worker.process.wait, 20) == 0
    assert standby.value(await asyncio.wait_for(handle.result(), 40)) == sum(range(20))
    assert set(standby.begins(handle).values()) == {1}


async def test_two_workers_share_twenty_tasks(standby: Stack) -> None:
    client = await standby.client()
    handles = [await standby.start(client, "result = skills.echo(i=1, ms=100)['i']") for _ in range(20)]
    for handle in handles:
        assert standby.value(await handle.result()) == 1
    identities = {
        event.activity_task_started_event_attributes.identity
        for handle in handles
        async for event in handle.fetch_history_events()
    }
    assert len(identities - {""}) == 2


RE_RUN = """
import asyncio, random, uuid, time
log = []
async def one(i):
    return (await skills.echo(i=i, ms=random.randint(1, 40)))['i']
for done in asyncio.as_completed([one(i) for i in range(3)]):
    log.append(await done)
    await skills.echo(i=50, tag=repr(log))
try:
    await asyncio.wait_for(skills.ask(text='anyone?'), 0.2)
except TimeoutError:
    log.append('gave up')
log += [random.random(), str(uuid.uuid4()), time.time()]
await skills.echo(i=99, tag=repr(log))
result = log
"""
PLAIN = "import random, time\nlog = []\nfor i in range(6):\n    log.append(random.random() + skills.echo(i=i, tag=repr(time.time()))['i'])\nresult = log"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("source", "calls"), [(RE_RUN, 7), (PLAIN, 6)], ids=["async", "plain"])
async def test_a_box_killed_at_each_call_re_runs_to_the_same_result(standby: Stack, source: str, calls: int) -> None:
    client = await standby.client()
    for at in range(1, calls + 1):
        handle = await standby.start(client, source)
        await until(lambda at=at, handle=handle: len(standby.begins(handle)) >= at, 30, every=0.002)
        for box in standby.boxes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(box, signal.SIGKILL)
        result = standby.value(await asyncio.wait_for(handle.result(), 60))
        begins = standby.begins(handle)
        assert len(begins) == calls, (at, begins)
        assert len(result) == (7 if source == RE_RUN else 6)
        assert set(begins.values()) <= {1, 2}
