"""Kills at random, and the verdict from outside: what the skills wrote, joined with what stands in the histories."""

import asyncio
import os
import random
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from tests.support.stack import Stack, parents_of, result_of, runs_of, until

PROGRAM = """
import asyncio
total = 0
for i in range(10):
    total += (await skills.echo(i=i, ms=50))['i']
for k in range(2):
    total += sum(x['i'] for x in await asyncio.gather(*[skills.echo(i=100 * k + j, ms=50) for j in range(5)]))
for i in range(10, 20):
    total += (await skills.echo(i=i, ms=50))['i']
result = total
"""
CALLS = 30
TOTAL = sum(range(20)) + sum(range(5)) + sum(range(100, 105))


@dataclass
class Report:
    """`inside`: kills while a skill had begun and not ended. Recovery: worker kill -> next finished skill, seconds."""

    kills: Counter[str] = field(default_factory=Counter)
    inside: int = 0
    recoveries: list[float] = field(default_factory=list)
    handles: list["WorkflowHandle[Any, Any]"] = field(default_factory=list)
    repeated_after_completion: list[str] = field(default_factory=list)
    scheduled_twice: list[str] = field(default_factory=list)
    executions: int = 0

    def __str__(self) -> str:
        spread = "none"
        if self.recoveries:
            spread = f"median {statistics.median(self.recoveries):.2f} s, worst {max(self.recoveries):.2f} s"
        return (
            f"kills {dict(self.kills)} ({self.inside} inside a call), {len(self.handles)} tasks, "
            f"{len(self.handles) * CALLS} calls, {self.executions} executions, "
            f"scheduled twice {len(self.scheduled_twice)}, begun after completion {len(self.repeated_after_completion)}; "
            f"worker kill to next progress: {spread}"
        )


class Chaos:
    """Runs one program after another on a stack with a standby worker, and kills until the quota is used up."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack, self.random, self.report = stack, random.Random(seed), Report()

    async def run(self, quota: dict[str, int]) -> Report:
        left = [kind for kind, count in quota.items() for _ in range(count)]
        self.random.shuffle(left)
        client = await self.stack.client()
        while left or len(self.report.handles) < 2:
            handle = await self.stack.start(client, PROGRAM)
            self.report.handles.append(handle)
            result = asyncio.create_task(result_of(handle))
            while left and not result.done():
                await asyncio.sleep(self.random.uniform(0.3, 1.6))
                if not result.done() and await self.strike(left[-1], handle, result):
                    left.pop()
            found = await asyncio.wait_for(result, 120)
            assert self.stack.value(found) == TOTAL, found
        await self.judge(client)
        return self.report

    async def strike(self, kind: str, handle: "WorkflowHandle[Any, Any]", result: "asyncio.Task[Any]") -> bool:
        """Kill something that this program depends on. False if there was nothing to kill just now."""
        boxes = self.stack.boxes()
        if not boxes:
            return False
        inside = sum((self.stack.begins(handle) - self.stack.ends(handle)).values()) > 0
        ends, began = sum(self.stack.ends(handle).values()), time.monotonic()
        if ends >= CALLS:
            return False
        if kind == "box":
            os.kill(boxes[-1], signal.SIGKILL)
        elif kind == "server":
            assert self.stack.server is not None
            self.stack.server.kill()
            await asyncio.to_thread(self.stack.start_server)
        else:
            self._kill_worker(boxes[-1])
        self.report.kills[kind] += 1
        self.report.inside += inside
        await until(lambda: result.done() or sum(self.stack.ends(handle).values()) > ends, 60, every=0.01)
        if kind == "worker":
            self.report.recoveries.append(time.monotonic() - began)
        return True

    def _kill_worker(self, box: int) -> None:
        parents = set(parents_of(box))
        victim = next((worker for worker in self.stack.workers if worker.pid in parents), None)
        if victim is None:
            return
        victim.kill()
        self.stack.workers.remove(victim)
        self.stack.start_worker()

    async def judge(self, client: Client) -> None:
        for handle in self.report.handles:
            task_id = handle.id.partition("/")[2]
            begins = [(call, at) for kind, _, call, _, at in self.stack.effects(task_id) if kind == "begin"]
            self.report.executions += len(begins)
            scheduled, completed = await _activities(self.stack, client, handle)
            assert len(completed) == CALLS, (handle.id, len(completed))
            self.report.scheduled_twice += [call for call, count in scheduled.items() if count > 1]
            self.report.repeated_after_completion += [call for call, at in begins if at > completed[call]]


async def _activities(
    stack: Stack, client: Client, handle: "WorkflowHandle[Any, Any]"
) -> tuple[Counter[str], dict[str, float]]:
    """How often each call was scheduled, and when its completion came to stand in the history."""
    scheduled = await stack.scheduled(client, handle)
    completed: dict[str, float] = {}
    async for events in runs_of(client, handle):
        calls = {event.event_id: event.activity_task_scheduled_event_attributes.activity_id for event in events}
        for event in events:
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                call = calls[event.activity_task_completed_event_attributes.scheduled_event_id]
                completed[call] = event.event_time.ToDatetime(tzinfo=UTC).timestamp()
    return scheduled, {call: at for call, at in completed.items() if call in scheduled}
