"""A task that was checked and recorded, and not begun: what its workflow is started with, by whoever starts it."""

from typing import Any

from holdfast.contracts.base import ActivityRef, Contract, Failure, Json, Sha256
from holdfast.contracts.flow import FLOW_WORKFLOW
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import PROGRAM_WORKFLOW, ProgramSpec
from holdfast.contracts.work import TASK_WORKFLOW, FlowTask, TaskSpec


class Begin(Contract):
    """Exactly one of `agent`, `program` and `flow` is set. `priority` is 1 (first) to 5; work of one tenant shares what
    there is with others by `fairness_weight`; None: all alike."""

    task: TaskRef
    type: str
    name: str = ""
    summary: str = ""
    catalogue: Sha256
    session_id: str | None = None
    priority: int = 3
    fairness_weight: float | None = None
    agent: TaskSpec | None = None
    program: ProgramSpec | None = None
    flow: FlowTask | None = None

    @property
    def workflow(self) -> str:
        """The name of its workflow."""
        if self.agent is not None:
            return TASK_WORKFLOW
        return PROGRAM_WORKFLOW if self.program is not None else FLOW_WORKFLOW

    @property
    def spec(self) -> TaskSpec | ProgramSpec | FlowTask:
        found = self.agent or self.program or self.flow
        if found is None:
            raise ValueError("a task of a kind that this version does not know")
        return found


class Cause(Contract):
    """What made a task begin, if no person did. `depth` counts the events before: one that a task of an event published
    is one deeper. `due_at` is the time of the schedule that it was begun for, UTC: long ago, in a
    backfill."""

    event_id: str | None = None
    topic: str | None = None
    schedule: str | None = None
    due_at: str | None = None
    depth: int = 0


class AdmitRequest(Contract):
    """Input of `task.admit`: check a request and record its task. `request` is a `TaskRequest` as JSON; with its
    `idempotency_key`, repeating it leads to the same task."""

    tenant: str
    request: dict[str, Json]
    trace_id: str
    cause: Cause | None = None


class Admitted(Contract):
    """`begin`, unless it was `refused`, or is over already (`is_over`)."""

    begin: Begin | None = None
    refused: Failure | None = None
    is_over: bool = False


ADMIT: ActivityRef[AdmitRequest, Admitted] = ActivityRef(name="task.admit", takes=AdmitRequest, gives=Admitted)


def begin_of(spec: TaskSpec | ProgramSpec | FlowTask, **fields: Any) -> Begin:
    """A `Begin` of a spec of whichever kind."""
    match spec:
        case TaskSpec():
            return Begin(agent=spec, **fields)
        case ProgramSpec():
            return Begin(program=spec, **fields)
        case FlowTask():
            return Begin(flow=spec, **fields)
