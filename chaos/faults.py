"""What is done to a world: each fault strikes once, and says what it struck and how long that lasted."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError

from chaos.evidence import TENANT, runs
from chaos.world import ONCE, Line, World
from cli import processes
from cli.children import Child
from holdfast.contracts.program import PROGRAM_RUN, PROGRAM_WORKFLOW
from holdfast.contracts.work import program_workflow_id
from holdfast.ids import workflow_id

STATES = ("BOX", "DRAIN", "WAIT", "CAN", "REPAIR", "END")
_AIM_S = 12.0
_BALLAST = "ballast"


@dataclass
class Strike:
    """One fault. `held`: tasks whose box was at what was struck. `aimed`: the state that it waited for (`ONCE`: a call
    with effect once was under way), and which `task` came to."""

    kind: str
    at: float
    until: float
    held: list[str] = field(default_factory=list)
    aimed: str = ""
    task: str = ""

    @property
    def is_kill(self) -> bool:
        return self.kind in KILLS

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Fault = Callable[[World, random.Random, list[str]], Awaitable[Strike | None]]
"""`tasks` are the ids of those in flight. None: there was nothing to strike just now."""


async def box(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """SIGKILL of a sandbox that has a program."""
    boxes = await asyncio.to_thread(world.busy_boxes)
    if not boxes:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(boxes), signal.SIGKILL)
        return _struck("box")
    return None


async def worker(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """SIGKILL of a worker, sandboxes and skills included; another one serves."""
    victim, held = await _victim(world, chance, tasks)
    if victim is None:
        return None
    world.kill(victim)
    return _struck("worker", held)


async def once(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """SIGKILL of a worker inside of a call with effect once."""
    deadline = time.monotonic() + _AIM_S
    world.wishes.append("once")
    while len(world.up()) > 1 and time.monotonic() < deadline:
        for line in world.under_way():
            if line.skill in ONCE and (victim := await _runs(world, line)):
                world.kill(victim)
                return replace(_struck("worker"), aimed="ONCE", task=line.task)
        await asyncio.sleep(0.02)
    return None


async def _runs(world: World, line: Line) -> Child | None:
    """The worker that runs a call."""
    client, own = await world.temporal(), workflow_id(TENANT, line.task)
    for one in (program_workflow_id(own), own):
        with contextlib.suppress(RPCError):
            found = await client.get_workflow_handle(one).describe()
            pids = _workers_of(found, lambda pending: pending.activity_id == line.call)
            return next((child for child in world.up() if child.pid in pids), None)
    return None


async def api(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """SIGKILL of the API."""
    if world.stack.api.ended() is not None:
        return None
    world.kill(world.stack.api)
    return _struck("api")


async def server(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """SIGKILL of the Temporal server; over when it answers again."""
    if not await world.serves():
        return None
    strike = _struck("server", tasks)
    world.kill_server()
    await asyncio.sleep(0.2)
    await world.until_it_serves()
    strike.until = time.time()
    return strike


async def stop(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """SIGSTOP of a worker and all below it, for longer than its heartbeats may be late; then it wakes."""
    victim, held = await _victim(world, chance, tasks)
    if victim is None:
        return None
    strike = _struck("stop", held)
    frozen = [victim.pid, *(one.pid for one in processes.descendants(victim.pid))]
    _signal(frozen, signal.SIGSTOP)
    try:
        await asyncio.sleep(chance.uniform(3.5, 7))
    finally:
        _signal(frozen, signal.SIGCONT)
    strike.until = time.time()
    return strike


async def store(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """The disk under blobs, database and histories is full for a while."""
    ballast = world.home / _BALLAST
    strike = _struck("store", tasks)
    try:
        await asyncio.to_thread(_fill, ballast)
        await asyncio.sleep(chance.uniform(1.5, 4))
    finally:
        ballast.unlink(missing_ok=True)
    await world.until_it_serves()
    strike.until = time.time()
    return strike


def _fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass


class AtStates:
    """Kills in each state of a program in turn, of worker, server and box in turn: as soon as a history shows it."""

    def __init__(self) -> None:
        self._turn = 0

    async def __call__(self, world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
        state = STATES[self._turn % len(STATES)]
        kill = (_worker_at_once, server, box)[self._turn // len(STATES) % 3]
        if kill is box and state != "BOX":
            kill = _worker_at_once
        self._turn += 1
        task = await _first_to_reach(world, tasks, state)
        strike = await kill(world, chance, tasks)
        world.wishes += _LEADS_TO.get(STATES[self._turn % len(STATES)], [])
        if strike is not None and task:
            strike.aimed, strike.task = state, task
        return strike


_LEADS_TO = {"DRAIN": ["park"], "WAIT": ["question"], "CAN": ["renew"], "REPAIR": ["repair"]}
"""Scenarios that come to a state which others do not."""


async def _worker_at_once(world: World, chance: random.Random, tasks: list[str]) -> Strike | None:
    """SIGKILL of any worker, without a look at what it has: some states last for milliseconds."""
    up = world.up()
    if len(up) < 2:
        return None
    world.kill(chance.choice(up))
    return _struck("worker")


async def _first_to_reach(world: World, tasks: list[str], state: str) -> str:
    """The task that comes to a state first; empty if none does for a while."""
    client = await world.temporal()
    watches = [asyncio.create_task(_comes_to(client, task, state)) for task in tasks]
    try:
        async with asyncio.timeout(_AIM_S):
            for watch in asyncio.as_completed(watches):
                if task := await watch:
                    return task
    except (TimeoutError, RPCError):
        return ""
    finally:
        for one in watches:
            one.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
    return ""


async def _comes_to(client: Client, task: str, state: str) -> str:
    """Follow a program's history from now on; gives the task once it came to the state, empty if it ended without."""
    own = workflow_id(TENANT, task)
    while True:
        for one in (program_workflow_id(own), own):
            newest = (await runs(client, one))[-1:]
            if (
                newest
                and newest[0][0].workflow_execution_started_event_attributes.workflow_type.name == PROGRAM_WORKFLOW
            ):
                return task if await _follow(client, one, len(newest[0]), state) else ""
        await asyncio.sleep(0.2)


async def _follow(client: Client, one: str, before: int, state: str) -> bool:
    scheduled: set[int] = set()
    handle = client.get_workflow_handle(one)
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            if name == PROGRAM_RUN.name:
                scheduled.add(event.event_id)
            seen = {"program.run": "BOX", "llm.program": "REPAIR"}.get(name, "")
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            attributes = event.activity_task_completed_event_attributes
            is_box = attributes.scheduled_event_id in scheduled
            data = b"".join(payload.data for payload in attributes.result.payloads) if is_box else b""
            seen = _left(data) if is_box else ""
        else:
            seen = "CAN" if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW else ""
        if event.event_id > before and state in (seen, "DRAIN" if seen == "WAIT" else seen):
            await asyncio.sleep(0.15 if state == "WAIT" else 0)
            return True
    return False


def _left(end: bytes) -> str:
    """The state behind a box's end."""
    if b'"suspended"' not in end:
        return "END" if b'"done"' in end else "DRAIN"
    return "CAN" if b'"history"' in end else "WAIT"


async def _victim(world: World, chance: random.Random, tasks: list[str]) -> tuple[Child | None, list[str]]:
    """A worker whose death leaves another, rather one that has work; and the tasks whose box or call it has."""
    up = world.up()
    if len(up) < 2:
        return None, []
    holding = await _holding(world, tasks)
    busy = [one for one in up if holding.get(one.pid)]
    victim = chance.choice(busy or up)
    return victim, holding.get(victim.pid, [])


async def _holding(world: World, tasks: list[str]) -> dict[int, list[str]]:
    """Which worker, by its process id, has the box of which task, or of one that this started."""
    client, found = await world.temporal(), dict[int, list[str]]()
    for task in tasks:
        with contextlib.suppress(RPCError):
            async for description in _family(client, workflow_id(TENANT, task)):
                for pid in _workers_of(description, _is_box):
                    found.setdefault(pid, []).append(task)
    return {pid: sorted(set(held)) for pid, held in found.items()}


async def _family(client: Client, one: str) -> AsyncIterator[WorkflowExecutionDescription]:
    """A workflow, and those that it started and that are not over, down to the last."""
    description = await client.get_workflow_handle(one).describe()
    yield description
    for child in description.raw_description.pending_children:
        async for each in _family(client, child.workflow_id):
            yield each


def _is_box(pending: PendingActivityInfo) -> bool:
    return pending.activity_type.name == PROGRAM_RUN.name


def _workers_of(description: WorkflowExecutionDescription, wanted: Callable[[PendingActivityInfo], bool]) -> set[int]:
    """Process ids of those that have such activities of a workflow."""
    pending = description.raw_description.pending_activities
    begun = [one for one in pending if wanted(one) and one.HasField("last_started_time")]
    names = {one.last_worker_identity.rpartition(":")[2] for one in begun}
    return {int(name) for name in names if name.isdigit()}


def _struck(kind: str, held: list[str] | None = None) -> Strike:
    now = time.time()
    return Strike(kind, now, now, list(held or []))


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


KILLS = ("box", "worker", "api", "server")
WEIGHTS = {"worker": 8, "box": 5, "state": 8, "once": 2, "server": 3, "api": 2, "stop": 2, "store": 1}
"""How often each kind comes, of so many."""


def faults() -> dict[str, Fault]:
    """Every fault of processes and disks, by name; those of the model are the model's own."""
    return {
        "worker": worker,
        "box": box,
        "state": AtStates(),
        "once": once,
        "server": server,
        "api": api,
        "stop": stop,
        "store": store,
    }
