"""What `GET /tasks/{id}/events` tells: milestones, read from Temporal's history, and deltas, which are not kept."""

from typing import ClassVar, Literal

from pydantic import Field

from holdfast.contracts.base import Contract, Json
from holdfast.contracts.model import LlmStep
from holdfast.contracts.program import TaskState
from holdfast.contracts.question import OnTimeout, QuestionKind, QuestionState

Status = Literal["pending", "running", "completed", "failed"]

STATUS: dict[TaskState, Status] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "WAITING": "running",
    "DONE": "completed",
    "ERROR": "failed",
    "CANCELLED": "failed",
    "TIMED_OUT": "failed",
}
"""The four words of M-43 for our states."""


class Milestone(Contract):
    """Something that happened to a task, once. `at` is UTC seconds since 1970, as the history says.

    `event` is the name of its kind in the stream. Kinds and fields may be added, none is renamed or removed.
    """

    event: ClassVar[str]
    at: float


class StatusChanged(Milestone):
    """How the task stands: its state, in four words of older clients, and what it does now, in words for people."""

    event: ClassVar[str] = "status"
    state: TaskState
    status: Status
    current_step: str = Field(serialization_alias="currentStep")


class PlanMade(Milestone):
    """`decision`: it is answered, something is asked first, a program of `skills` comes, other agents do its steps, or
    this is no plan."""

    event: ClassVar[str] = "plan"
    state: Literal["started", "done", "failed"]
    decision: Literal["answer", "skills", "steps", "ask", "invalid"] | None = None
    skills: list[str] = []
    reasoning: str = ""
    error: str | None = None


class ProgramWritten(Milestone):
    """A version of the program. `why` is what was wrong with the last one; `problems` why this one cannot run."""

    event: ClassVar[str] = "program"
    version: int
    lines: int
    why: str = ""
    problems: str = ""


class AttemptMade(Milestone):
    """A run of the program. Each suspension begins a generation; each loss of a box or worker another attempt of it."""

    event: ClassVar[str] = "attempt"
    version: int
    generation: int
    attempt: int = 1
    state: Literal["started", "done", "failed", "suspended"] = "started"
    error: str | None = None
    ms: int | None = None


class CallMade(Milestone):
    """A call of a skill; `parent` is the call whose code made it. `ms` counts from when it was scheduled."""

    event: ClassVar[str] = "call"
    id: str
    skill: str
    summary: str
    parent: str | None = None
    state: Literal["started", "done", "failed"] = "started"
    error: str | None = None
    ms: int | None = None


class StepMade(Milestone):
    """A task that this one started: a step of a flow or of a plan, or an agent that its program called.

    `child` is the end of its id: `GET /tasks/{id}?path=<child>`; empty, like `kind`, if it never began. `kind` is one
    of agent, skill, program, flow, `who` its name. `reason` says why it was skipped. `ms` counts from its beginning.
    """

    event: ClassVar[str] = "step"
    name: str
    kind: str = ""
    who: str = ""
    state: Literal["started", "done", "failed", "skipped", "cancelled"]
    iteration: int = 1
    child: str = ""
    reason: str = ""
    error: str | None = None
    ms: int | None = None


class QuestionAsked(Milestone):
    """A question that is asked, escalated, or closed. `answer` is null for a mended program, a text for machines."""

    event: ClassVar[str] = "question"
    id: str
    kind: QuestionKind | None = None
    text: str = ""
    options: list[str] = []
    default: Json = None
    deadline: float | None = None
    on_timeout: OnTimeout = "fail"
    form: dict[str, Json] | None = None
    details: Json = None
    escalated_at: float | None = None
    state: QuestionState
    answer: Json = None
    answered_by: str | None = None


class UsageTaken(Milestone):
    """What one request to a model took. `cost` is USD; null: unknown, never 0. `call` is set for requests of skills."""

    event: ClassVar[str] = "usage"
    step: LlmStep | Literal["call"]
    call: str | None = None
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: float | None


class Done(Milestone):
    """The end. The record is final, and the stream is closed behind it."""

    event: ClassVar[str] = "done"
    state: TaskState
    status: Status
    error: str | None = None


class Delta(Contract):
    """A piece of what a model says now. Never repeated, may be lost: what is recorded is the truth."""

    event: ClassVar[str] = "delta"
    step: str
    text: str
