"""What the histories say of a task: every run of its workflow and of those that it started, read once it is over."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from holdfast.contracts.llm import LLM_ANSWER, LLM_ASK, LLM_PLAN, LLM_PROGRAM, LLM_SKILL
from holdfast.contracts.principal import PROGRAM
from holdfast.contracts.program import JOURNAL_SAVE, PROGRAM_RUN, UPDATE_CALLS, UPDATE_HELLO
from holdfast.contracts.skill import SKILL_RUN
from holdfast.ids import workflow_id
from holdfast.temporal.markers import local_activity

TENANT = "default"
CALLS = frozenset(ref.name for ref in (SKILL_RUN, LLM_SKILL, LLM_ASK))
"""Activities that are calls: their id is the call's."""
MODEL = frozenset(ref.name for ref in (LLM_PLAN, LLM_PROGRAM, LLM_ANSWER, LLM_SKILL, LLM_ASK))

_Type = EventType
_OVER = (
    _Type.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    _Type.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    _Type.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    _Type.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    _Type.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
)
_PARKED = {"wait": "WAIT", "history": "CAN"}


Call = tuple[str, str]
"""The task that makes it, which may be one that another task started, and the call's id, unique within that one."""


@dataclass
class Evidence:
    """One task, and all that it started. Times are UTC seconds since 1970, of the server's clock."""

    task: str
    scheduled: Counter[Call] = field(default_factory=Counter)
    completed: dict[Call, float] = field(default_factory=dict)
    llm_completed: list[float] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)
    runs: int = 0
    events: int = 0
    closed_at: float = 0.0
    histories: list[tuple[str, list[HistoryEvent]]] = field(default_factory=list)

    def state_at(self, moment: float) -> str:
        """Where its program stood: BOX, DRAIN, WAIT, CAN, REPAIR, END; PLAN before, empty when nothing was there."""
        place = bisect_right([at for at, _ in self.states], moment)
        return self.states[place - 1][1] if place else ""


async def evidence(client: Client, tasks: Sequence[str], workflows: Sequence[str] = ()) -> Evidence:
    """All that the server has of tasks of the tenant `default`, of further workflows, and of all that these started."""
    found, known = Evidence(tasks[0]), [*workflows, *(workflow_id(TENANT, task) for task in tasks)]
    for one in known:
        for events in await runs(client, one):
            found.runs += 1
            found.events += len(events)
            found.histories.append((one, events))
            reader = _Reader(found, one)
            reader.read(events)
            known += [child for child in reader.children if child not in known]
    found.states.sort()
    return found


def task_of(one: str) -> str:
    """The id of the task that a workflow of ours works for, by the workflow's id."""
    return one.removeprefix(workflow_id(TENANT, "")).removesuffix(f"/{PROGRAM}")


async def runs(client: Client, one: str) -> list[list[HistoryEvent]]:
    """Events of each run, oldest first; none if there is no such workflow."""
    found: list[list[HistoryEvent]] = []
    run_id: str | None = None
    while True:
        try:
            events = list((await client.get_workflow_handle(one, run_id=run_id).fetch_history()).events)
        except RPCError as exc:
            if exc.status == RPCStatusCode.NOT_FOUND:
                return found
            raise
        found.insert(0, events)
        run_id = events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return found


def moment(event: HistoryEvent) -> float:
    return event.event_time.ToDatetime(tzinfo=UTC).timestamp()


class _Reader:
    """One run's events, read in order."""

    def __init__(self, found: Evidence, one: str) -> None:
        self.found, self.task = found, task_of(one)
        self.children: list[str] = []
        self.activities: dict[int, tuple[str, str]] = {}
        self.heard: dict[int, int] = {}
        self.park = ""

    def read(self, events: list[HistoryEvent]) -> None:
        kind = events[0].workflow_execution_started_event_attributes.workflow_type.name
        self.is_program = kind == "ProgramWorkflow"
        again = bool(events[0].workflow_execution_started_event_attributes.continued_execution_run_id)
        self._state(events[0], "CAN" if again else "START" if self.is_program else "PLAN")
        for event in events:
            if read := _READ.get(event.event_type):
                read(self, event)
            elif event.event_type in _OVER:
                self.found.closed_at = max(self.found.closed_at, moment(event))
                self._state(event, "")

    def _state(self, event: HistoryEvent, state: str) -> None:
        if self.is_program or state == "PLAN":
            self.found.states.append((moment(event), state))

    def scheduled(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_scheduled_event_attributes
        name, one = attributes.activity_type.name, attributes.activity_id
        self.activities[event.event_id] = (name, one)
        if name in CALLS:
            self.found.scheduled[self.task, one] += 1
        if name == PROGRAM_RUN.name:
            self._state(event, "BOX")
        elif name == LLM_PROGRAM.name:
            self._state(event, "REPAIR")

    def completed(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_completed_event_attributes
        name, one = self.activities[attributes.scheduled_event_id]
        if name in CALLS:
            self.found.completed[self.task, one] = moment(event)
        if name in MODEL:
            self.found.llm_completed.append(moment(event))
        if name == PROGRAM_RUN.name:
            end = _json(attributes.result)
            self.park = end.get("park") or ""
            self._state(event, "END" if end.get("outcome") == "done" else "DRAIN")
        elif name == LLM_PROGRAM.name:
            self._state(event, "DRAIN")

    def marked(self, event: HistoryEvent) -> None:
        """A local activity has ended: it counts as scheduled and completed at once."""
        ran = local_activity(event)
        if ran is None:
            return
        if ran.kind in CALLS:
            self.found.scheduled[self.task, ran.id] += 1
            self.found.completed.setdefault((self.task, ran.id), moment(event))
        if ran.kind == JOURNAL_SAVE.name and self.park in _PARKED:
            self._state(event, _PARKED[self.park])
            self.park = ""

    def started(self, event: HistoryEvent) -> None:
        self.children.append(event.start_child_workflow_execution_initiated_event_attributes.workflow_id)

    def renewed(self, event: HistoryEvent) -> None:
        self._state(event, "CAN")

    def updated(self, event: HistoryEvent) -> None:
        """An update that was accepted. Behind a `hello`, none of an earlier attempt may be."""
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request
        if request.input.name not in (UPDATE_CALLS, UPDATE_HELLO):
            return
        message = _json(request.input.args)
        generation, attempt = int(message["generation"]), int(message["attempt"])
        newest = self.heard.get(generation, 1)
        if attempt < newest or generation < max(self.heard, default=0):
            name = f"{request.input.name} of generation {generation}, attempt {attempt}, behind attempt {newest}"
            self.found.stale.append(name)
        self.heard[generation] = max(newest, attempt)


def _json(payloads: Payloads) -> dict[str, Any]:
    for payload in payloads.payloads:
        found = json.loads(payload.data)
        return found if isinstance(found, dict) else {}
    return {}


_READ: dict[int, Callable[[_Reader, HistoryEvent], None]] = {
    _Type.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _Reader.scheduled,
    _Type.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _Reader.completed,
    _Type.EVENT_TYPE_MARKER_RECORDED: _Reader.marked,
    _Type.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: _Reader.started,
    _Type.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: _Reader.renewed,
    _Type.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: _Reader.updated,
}
