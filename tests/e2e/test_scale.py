"""A cluster on this machine: PostgreSQL, a real Temporal server, two workers a queue, two APIs. Each part is killed in
turn, and its workers are replaced by others while fifty tasks run."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from activities.wiring import SEEN_SECONDS
from tests.support.authors import plans
from tests.support.cluster import Cluster, Process, cluster
from tests.support.outside import Doors, Run, begun_again, runs
from tests.support.skill_folders import write_files
from tests.support.stack import PROJECT, ROOT
from tests.support.stub_llm import StubLlm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

AGENT = """
name: counter
system_prompt: You count.
skills: [echo, ask, noop]
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
"""
PROGRAM = """
import asyncio
total = 0
for k in range(6):
    total += (await skills.echo(i=k, ms=100))['i']
total += sum(x['i'] for x in await asyncio.gather(*[skills.echo(i=10 + k, ms=100) for k in range(4)]))
result = total
"""
ASKING = """
first = await skills.echo(i=1, ms=100)
said = await skills.ask(text='go on?', options=['yes', 'no'])
last = await skills.echo(i=2, ms=100)
result = [first['i'], said, last['i']]
"""
WRITTEN = """
for k in range(3):
    await skills.echo(i=k, ms=100)
said = await skills.ask(text='go on?', options=['yes', 'no'])
for k in range(3, 5):
    await skills.echo(i=k, ms=100)
result = said
"""
SOURCES = {"program": PROGRAM, "slow": PROGRAM.replace("ms=100", "ms=1500"), "asking": ASKING}
RESULTS = {"program": 15 + 46, "slow": 15 + 46, "asking": [1, "yes", 2], "agent": "yes"}
CALLS = {"program": 10, "slow": 10, "asking": 2, "agent": 5}
ASK = ("asking", "agent")
REPLAY = """
import asyncio, sys
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError
from holdfast.temporal.connect import converter
from workflows.program import ProgramWorkflow

replayer = Replayer(workflows=[ProgramWorkflow], data_converter=converter(), workflow_runner=UnsandboxedWorkflowRunner())
try:
    asyncio.run(replayer.replay_workflow(WorkflowHistory.from_json('default/x', sys.stdin.read())))
    print('replays')
except NondeterminismError:
    print('diverges')
"""
LLM_S = 0.3
SETTLED_S = 0.5


@pytest.fixture(scope="module")
def stub() -> Iterator[StubLlm]:
    with StubLlm() as one:
        plans(one, WRITTEN, WRITTEN, skills='["echo", "ask"]', delay_s=LLM_S)
        yield one


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, stub: StubLlm) -> Iterator[Cluster]:
    """The cluster, with workers of version `one`."""
    folder = tmp_path_factory.mktemp("cluster ä")
    project = shutil.copytree(PROJECT, folder / "project")
    write_files(
        project, {"holdfast.yaml": "default_agent: counter\n", "agents/counter.yaml": AGENT.format(url=stub.url)}
    )
    with cluster(folder / "home", project) as found:
        found.start_workers("one")
        assert found.holdfast("workers", "promote", "one").returncode == 0
        yield found


@pytest.fixture(scope="module")
def doors(house: Cluster) -> Iterator[Doors]:
    found = Doors(house.urls)
    yield found
    found.close()


class Mix:
    """Tasks of each kind, by their ids."""

    def __init__(self, doors: Doors, name: str) -> None:
        self.doors, self.name = doors, name
        self.kinds: dict[str, str] = {}

    def add(self, kind: str, **fields: Any) -> str:
        key = f"{self.name}-{len(self.kinds)}"
        asked = {"program": SOURCES[kind]} if kind in SOURCES else {"input": f"task {key}."}
        task_id = self.doors.submit(key, "program" if kind in SOURCES else "agent", **asked, **fields)
        self.kinds[task_id] = kind
        return task_id

    def answer(self) -> None:
        for task_id, kind in self.kinds.items():
            if kind in ASK:
                self.doors.answer_all(task_id, "yes")

    def finish(self, seconds: float = 300) -> None:
        """All tasks are answered what they ask, and end with their results."""
        self.answer()
        deadline = time.monotonic() + seconds
        for task_id, kind in self.kinds.items():
            while (task := self.doors.task(task_id, wait=2))["state"] != "DONE":
                assert task["state"] in ("PENDING", "RUNNING", "WAITING"), task
                assert time.monotonic() < deadline, task
                if kind in ASK:
                    self.doors.answer_all(task_id, "yes")
            assert task["output"] == RESULTS[kind], task

    def judge(self, house: Cluster) -> list[Run]:
        """No call was begun after its answer was recorded, or scheduled twice, and none is missing."""
        found = asyncio.run(_runs(house, list(self.kinds)))
        for task_id, kind in self.kinds.items():
            mine = [run for run in found if task_id in run.workflow_id]
            scheduled = sum((run.scheduled for run in mine), Counter[str]())
            assert len(scheduled) == CALLS[kind], (task_id, kind, scheduled)
            assert set(scheduled.values()) == {1}, (task_id, kind, scheduled)
            assert begun_again(house.look, task_id, mine) == []
        return found


async def _runs(house: Cluster, task_ids: list[str]) -> list[Run]:
    return await runs(await house.look.client(), task_ids)


def test_killing_each_process_in_turn_loses_no_task_and_repeats_no_finished_call(
    house: Cluster, doors: Doors, stub: StubLlm, say: Callable[[str], None]
) -> None:
    mix, kills, began = Mix(doors, "killed"), list[float](), time.monotonic()
    for part in house.parts:
        struck = [mix.add(kind) for kind in ("program", "agent", "asking")]
        _until(partial(house.look.effects, struck[0]))
        part.kill()
        kills.append(time.monotonic())
        part.start()
        part.wait_up()
        kills.append(time.monotonic())
        mix.answer()
    mix.finish()
    found = mix.judge(house)
    _asked_again(stub, mix, kills)
    executions = sum(kind == "begin" and task in mix.kinds for kind, task, *_ in house.look.effects())
    say(
        f"{len(house.parts)} parts killed, {len(mix.kinds)} tasks done, {sum(run.scheduled.total() for run in found)} calls, "
        f"{executions} executions, {time.monotonic() - began:.0f} s"
    )


def test_two_hundred_tasks_on_three_workers_have_each_effect_once(
    house: Cluster, doors: Doors, say: Callable[[str], None]
) -> None:
    house.start_workers("one", [3], ["skills"])
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        inputs = range(200)
        task_ids = list(pool.map(lambda i: doors.submit(f"many-{i}", "skill:echo", input={"i": i}), inputs))
        ended = list(pool.map(doors.ended, task_ids))
    took = time.monotonic() - began
    assert [task["output"]["i"] for task in ended] == list(inputs)
    begun = Counter(task for kind, task, *_ in house.look.effects() if kind == "begin")
    assert {begun[task_id] for task_id in task_ids} == {1}
    pids = {pid for run in asyncio.run(_runs(house, task_ids)) for pid in run.workers["skill.run"]}
    assert pids == {worker.pid for worker in house.workers if worker.name.startswith("skills one")}
    say(f"200 tasks on {len(pids)} workers through 2 APIs, each effect once, {took:.0f} s")


def test_health_check_sees_every_worker_also_after_the_database_was_gone(house: Cluster) -> None:
    house.database.kill()
    time.sleep(SEEN_SECONDS + 1)
    house.database.start()
    told = partial(house.holdfast, "workers", "check")
    _until(lambda: all(f":{worker.pid}:" in told().stderr for worker in house.workers))
    assert told().returncode == 0
    assert house.holdfast("workers", "check", DATABASE_URL=f"sqlite:///{house.home}/other.db").returncode != 0


def test_rolling_deploy_of_changed_workers_loses_none_of_fifty_tasks(
    house: Cluster, doors: Doors, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """The new workers run workflows that begin otherwise: a history of the old ones would not replay on them."""
    old, began = list(house.workers), time.monotonic()
    other = changed(tmp_path / "changed")
    new = house.start_workers("two", [1], source=other)
    before, after = Mix(doors, "before"), Mix(doors, "after")
    for kind in ["asking"] * 30 + ["agent"] * 10 + ["slow"] * 10:
        before.add(kind, tuning={"bound_events": 60})
    _until(lambda: all(house.look.effects(task_id) for task_id in before.kinds))
    in_flight = Counter(doors.task(task_id)["state"] for task_id in before.kinds)
    _ran(house, "promote", "two")
    for kind in ("program", "asking", "agent") * 3:
        after.add(kind)
    before.finish()
    after.finish()
    history = asyncio.run(_history(house, next(iter(before.kinds))))
    assert (replayed(ROOT, history), replayed(other, history)) == ("replays", "diverges")
    _ran(house, "drain", "one")
    with ThreadPoolExecutor(len(old)) as pool:
        assert set(pool.map(Process.stop, old)) == {0}

    for mix, build, its in ((before, "one", old), (after, "two", new)):
        found, pids = mix.judge(house), {worker.pid for worker in its}
        assert {build for run in found for build in run.builds} == {build}
        assert sum(run.strays for run in found) == 0
        assert {pid for run in found for at in run.workers.values() for pid in at} <= pids
    assert [doors.task(task_id)["state"] for task_id in before.kinds] == ["DONE"] * 50
    continued = sum(run.continues for run in asyncio.run(_runs(house, list(before.kinds))))
    assert in_flight["DONE"] == 0 and continued > 0
    say(
        f"50 tasks in flight ({dict(in_flight)}), {continued} continued as new, all ended on the version that began "
        f"them; {len(after.kinds)} new ones on the next; {time.monotonic() - began:.0f} s"
    )


async def _history(house: Cluster, task_id: str) -> str:
    handle = (await house.look.client()).get_workflow_handle(f"default/{task_id}")
    return (await handle.fetch_history()).to_json()


def replayed(source: Path, history: str) -> str:
    """Whether the code below `source` replays the history of a program."""
    env = {**os.environ, "PYTHONPATH": str(source)}
    argv = [sys.executable, "-c", REPLAY]
    done = subprocess.run(argv, cwd=source, env=env, input=history, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def _ran(house: Cluster, *words: str) -> None:
    done = house.holdfast("workers", *words)
    assert done.returncode == 0, done.stderr


def changed(folder: Path) -> Path:
    """A copy of our code in which every workflow begins with a timer."""
    for room in (
        "activities",
        "agents",
        "api",
        "cli",
        "holdfast",
        "providers",
        "sandbox",
        "skills",
        "store",
        "workflows",
    ):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "worker.py", folder)
    for name in ("task", "program"):
        file = folder / "workflows" / f"{name}.py"
        text, count = re.subn(
            r"(@workflow.run\n +async def run\(.*\) -> \w+:\n)",
            r"\1        await workflow.sleep(0.01)\n",
            file.read_text(),
        )
        assert count == 1, file
        file.write_text(text)
    return folder


def _asked_again(stub: StubLlm, mix: Mix, kills: list[float]) -> None:
    """A task of an agent asks the model twice; once more only where a part went down while it was asked."""
    down = list(zip(kills[::2], kills[1::2], strict=True))
    for task_id, kind in mix.kinds.items():
        if kind == "agent":
            name = f"task {mix.name}-{list(mix.kinds).index(task_id)}."
            asked = [one.at for one in stub.requests if name in one.text]
            flying = sum(any(at < up and at + LLM_S + SETTLED_S > dead for dead, up in down) for at in asked)
            assert 2 <= len(asked) <= 2 + flying, (name, asked, down)


def _until(condition: Callable[[], Any], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
