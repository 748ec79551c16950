"""What a cluster did, seen from outside: through its API, in its histories, and in the files that the skills write."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import httpx2
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowExecution

from tests.support.stack import Stack

_DIVERGED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR


class Doors:
    """APIs of one cluster. A request goes to one after another until one of them answers."""

    def __init__(self, urls: list[str]) -> None:
        self.clients = [httpx2.Client(base_url=url, trust_env=False, timeout=20) for url in urls]
        self.turn = itertools.cycle(self.clients)

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def ask(self, method: str, path: str, *, seconds: float = 90, **options: Any) -> httpx2.Response:
        """The first answer that is none of a server in trouble or at its limit. What is sent must be safe to send twice."""
        deadline = time.monotonic() + seconds
        for client in self.turn:
            said = _asked(client, method, path, options)
            if isinstance(said, httpx2.Response) and said.status_code < 500 and said.status_code != 429:
                return said
            assert time.monotonic() < deadline, f"{method} {path}: {said}"
            time.sleep(0.1)
        raise AssertionError("there is always a next one")

    def submit(self, key: str, type_: str, **fields: Any) -> str:
        """The id of a task that is the same one however often this is said."""
        response = self.ask("POST", "/tasks", json={"type": type_, "idempotency_key": key, **fields})
        assert response.status_code in (200, 201), response.text
        found: str = response.json()["id"]
        return found

    def task(self, task_id: str, wait: int = 0) -> dict[str, Any]:
        response = self.ask("GET", f"/tasks/{task_id}", params={"wait": wait})
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def ended(self, task_id: str, seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (task := self.task(task_id, wait=5))["state"] not in ("DONE", "ERROR", "CANCELLED", "TIMED_OUT"):
            assert time.monotonic() < deadline, task
        return task

    def answer_all(self, task_id: str, value: Any) -> int:
        """Answer what the task asks; how many questions that were."""
        asked = self.ask("GET", f"/tasks/{task_id}/questions").json()
        open_ = [one["id"] for one in asked if one["state"] == "open"]
        for question in open_:
            said = self.ask("POST", f"/tasks/{task_id}/questions/{question}", json={"value": value})
            assert said.status_code in (200, 409), said.text
        return len(open_)


def _asked(client: httpx2.Client, method: str, path: str, options: dict[str, Any]) -> httpx2.Response | str:
    try:
        return client.request(method, path, **options)
    except httpx2.TransportError as exc:
        return repr(exc)


@dataclass
class Run:
    """What stands in the history of one run of a workflow.

    `builds` completed its workflow tasks; `strays` counts those that failed because the code had become another.
    `workers` are the numbers of the processes that did its activities, by the activities' type.
    """

    workflow_id: str
    builds: set[str] = field(default_factory=set)
    strays: int = 0
    scheduled: Counter[str] = field(default_factory=Counter)
    completed: dict[str, float] = field(default_factory=dict)
    workers: dict[str, set[int]] = field(default_factory=dict)
    continues: bool = False


async def runs(client: Client, task_ids: list[str]) -> list[Run]:
    """All runs of the workflows of these tasks. One list for all: a server answers few of them a second."""
    mine, slots = set(task_ids), asyncio.Semaphore(20)

    async def read(found: WorkflowExecution) -> Run:
        async with slots:
            handle = client.get_workflow_handle(found.id, run_id=found.run_id)
            return _read(found.id, [event async for event in handle.fetch_history_events()])

    listed = [one async for one in client.list_workflows("WorkflowId STARTS_WITH 'default/'")]
    return await asyncio.gather(*(read(one) for one in listed if one.id.split("/")[1] in mine))


def _read(workflow_id: str, events: list[Any]) -> Run:
    run, asked = Run(workflow_id), _scheduled(events)
    run.scheduled.update(one.activity_id for one in asked.values() if one.activity_type.name == "skill.run")
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                run.builds.add(event.workflow_task_completed_event_attributes.deployment_version.build_id)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                run.strays += event.workflow_task_failed_event_attributes.cause == _DIVERGED
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                begun = event.activity_task_started_event_attributes
                kind = asked[begun.scheduled_event_id].activity_type.name
                run.workers.setdefault(kind, set()).add(int(begun.identity.rpartition(":")[2]))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                call = asked[event.activity_task_completed_event_attributes.scheduled_event_id].activity_id
                run.completed[call] = event.event_time.ToDatetime(tzinfo=UTC).timestamp()
    run.continues = events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
    return run


def _scheduled(events: list[Any]) -> dict[int, Any]:
    kind = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    found = (event for event in events if event.event_type == kind)
    return {event.event_id: event.activity_task_scheduled_event_attributes for event in found}


def begun_again(look: Stack, task_id: str, found: list[Run]) -> list[str]:
    """Calls that a skill began although their answer stood in the history."""
    completed = {call: at for run in found for call, at in run.completed.items()}
    return [call for call, at in _begins(look, task_id) if at > completed.get(call, at)]


def _begins(look: Stack, task_id: str) -> Iterator[tuple[str, float]]:
    for kind, _, call, _, at in look.effects(task_id):
        if kind == "begin":
            yield call, at
