"""Programs: what starts one, the protocol between its workflow and its box's host, and how it ends.

The workflow decides, the host tells: every message below is idempotent, because each may be sent again.
"""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from holdfast.contracts.approval import ApprovalState
from holdfast.contracts.base import ActivityRef, CallId, Contract, Failure, Json, Nothing, Sha256, Value
from holdfast.contracts.budget import Budget, BudgetState, LedgerState
from holdfast.contracts.flow import FlowState, StepRun
from holdfast.contracts.journal import Entry
from holdfast.contracts.llm import Brief
from holdfast.contracts.model import LlmCall, ModelSettings, Spent
from holdfast.contracts.principal import PROGRAM, TaskRef
from holdfast.contracts.question import Clarification, Question
from holdfast.contracts.skill import SkillFacts

MAX_SOURCE_BYTES = 256 * 1024
MAX_VARIABLES_BYTES = 256 * 1024
"""Of the JSON of all that programs of a session save."""

TaskState = Literal["PENDING", "RUNNING", "WAITING", "DONE", "ERROR", "CANCELLED", "TIMED_OUT"]
FINAL: frozenset[str] = frozenset({"DONE", "ERROR", "CANCELLED", "TIMED_OUT"})


class Limits(Contract):
    """The three limits of a program, and the bounds of its box. A field that is not set has the default given here."""

    run_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="own running time; waiting for skills does not count"
    )
    call_seconds: float | None = Field(default=None, gt=0, description="caps each skill's own timeout")
    task_seconds: float = Field(default=30 * 86400.0, gt=0, description="from start to end, waits included")
    memory_bytes: int = Field(default=512 << 20, ge=64 << 20)
    disk_bytes: int = Field(default=32 << 20, ge=1 << 20)
    output_bytes: int = Field(default=8 << 20, ge=1024, description="printed beyond this, the program is stopped")
    result_bytes: int = Field(default=4 << 20, ge=1024)
    output_files: int = Field(default=1000, ge=1, le=1000, description="left in /ws/out")
    output_files_bytes: int = Field(default=64 << 20, ge=0, le=1 << 30, description="of all of these")
    max_calls: int = Field(default=100_000, ge=1)
    max_parallel: int = Field(default=20, ge=1, le=200, description="skill calls running at once")
    max_repairs: int = Field(default=5, ge=0)


class Tuning(Contract):
    """How the engine behaves, not what the program may do. Tests shorten these; people rarely touch them."""

    park_after_seconds: float = 0.3
    slow_after_seconds: float = 30.0
    bound_events: int = 2000
    bound_updates: int = 1500
    drain_seconds: float = 10.0


class Version(Contract):
    """One text of a program. A mended program is the next version of the same program.

    `problems` is what a check found: such a version is not run, it goes to repair at once.
    """

    number: int = Field(default=1, ge=1)
    source: str
    first_line: int = 1
    began_at: float = 0.0
    why: str = ""
    problems: str = ""


class Author(Contract):
    """The model that wrote a program, and mends it: the conversation so far, and the skills it was told of."""

    brief: Brief
    head: Sha256 | None = None
    skills: list[str] = []


class ProgramSpec(Contract):
    """All that ProgramWorkflow needs to begin, and, with `carried`, to go on after continue-as-new.

    `inputs_ref` names the blob of inputs that are large, `files_ref` that of the list of files in /ws/in. With an
    `author` it is the program of an agent's task: a model mends it, its record is the task's, and what it asks people
    is reported to the task's workflow. With a `call` there is no program: that one call is the whole work. `adapter` is
    the sandbox that its agent asks for; "": the worker's own. `depth` counts the tasks above it. `budget` is that of a
    root; `is_budgeted`: some budget holds for the tree, and its root is asked before anything is spent. `reports_to`:
    see `TaskSpec`. `variables` is the mapping that the program finds as `session`. `above`: see `TaskSpec`.
    """

    task: TaskRef
    type: str = "program"
    source: str = ""
    first_line: int = 1
    problems: str = ""
    call: "Ask | None" = None
    author: Author | None = None
    models: list[ModelSettings] = []
    inputs: Json = None
    inputs_ref: Sha256 | None = None
    files_ref: Sha256 | None = None
    catalogue: Sha256
    skills: list[SkillFacts] = []
    adapter: str = ""
    limits: Limits = Limits()
    tuning: Tuning = Tuning()
    on_error: Literal["fail", "ask"] = "fail"
    scope: str = "program"
    depth: int = 0
    budget: Budget = Budget()
    is_budgeted: bool = False
    reports_to: str = ""
    variables: Value | None = None
    agent: str = ""
    clarification: Clarification = Clarification()
    above: list[str] = []
    carried: "Carried | None" = None

    @property
    def by(self) -> str:
        """The agent whose calls these are; "": nobody's."""
        return self.author.brief.agent if self.author else self.agent

    def pinned(self) -> "ProgramSpec":
        """The same with every default written out: a later release's defaults must not reach a running task."""
        return ProgramSpec.model_validate(self.model_dump(exclude={"carried"}))


class Carried(Contract):
    """State over continue-as-new: small, because the journal itself is in blobs."""

    version: Version
    generation: int
    runs: int
    repairs: int
    seed: int
    started_at: float
    segments: list[Sha256] = []
    recorded: int = 0
    seen_saved: int = 0
    calls: int = 0
    suspensions: int = 0
    open_entries: list[Entry] = []
    questions: list[Question] = []
    parked_on: list[CallId] = []
    wake_at: float | None = None
    head: Sha256 | None = None
    spent: Spent = Spent()
    llm: list[LlmCall] = []
    nested: list[Entry] = []
    budget: LedgerState | None = None
    reports: list["ProgramReport"] = []
    approvals: ApprovalState = ApprovalState()


class Ask(Contract):
    """One call that a program makes. `arguments` are bound to parameter names; the id is made from the full value."""

    id: CallId
    skill: str
    arguments: Value
    number: int = 0


class CallsMessage(Contract):
    """Update `calls`: new asks, and ids that were asked before and are still without an answer.

    `seen` are the deliveries (call number, or -1 for a timer) from number `seen_from` on that led to these asks.
    `idle`: nothing runs in the guest until an answer arrives or `timer_seconds` pass.
    `order` grows by one per message of an attempt, so that a late message cannot make an old `idle` true again.
    `heard` counts the answers that came in replies of this attempt: an idleness from before one of them is over.
    """

    generation: int
    attempt: int
    order: int
    asks: list[Ask] = []
    again: list[CallId] = []
    drops: list[CallId] = []
    seen: list[int] = []
    seen_from: int = 0
    heard: int = 0
    idle: bool = False
    timer_seconds: float | None = None


class Nested(Contract):
    """A call that the code of a running skill makes in turn; `parent` is the call that runs."""

    parent: CallId
    ask: "Ask"


class NestMessage(Contract):
    """Update `nest`: what running skills ask in turn, and what they asked before and still wait for (`again`).

    Each worker has one such message under way for a workflow: `by` names the worker's side, and a message with a higher
    `number` of the same `by` makes an earlier one return.
    """

    by: str
    number: int
    asks: list[Nested] = []
    again: list[CallId] = []


class NestReply(Contract):
    """What is answered so far. `later`: the workflow does not wait now; ask again in a moment. `stale` are asks of
    calls that do not run here any more: nobody answers these."""

    answers: list["Answered"] = []
    stale: list[CallId] = []
    later: bool = False


class HelloMessage(Contract):
    """Update `hello`: the first word of attempt >= 2. From here on, lower attempts are refused."""

    generation: int
    attempt: int


ParkReason = Literal["wait", "history", "cancel", "timeout"]


class Answered(Contract):
    """An answer on its way to the guest. `at` is when it was recorded, `order` its place in the journal."""

    id: CallId
    at: float
    order: int
    value: Value | None = None
    error: Failure | None = None

    @classmethod
    def of(cls, entry: Entry) -> "Answered":
        """The answer of a call that has one."""
        at = entry.answered_at or 0.0
        if entry.error is not None:
            return cls(id=entry.id, at=at, order=entry.order, error=entry.error)
        return cls(id=entry.id, at=at, order=entry.order, value=entry.value or Value())


class CallsReply(Contract):
    """What is answered so far; a call that is not here is still open and is asked again. `park`: kill the box now."""

    answers: list[Answered] = []
    park: ParkReason | None = None


class HelloReply(Contract):
    answers: list[Answered] = []
    seen: list[int] = []
    park: ParkReason | None = None


class Closing(Contract):
    """What the journal of a task that is over says beside its calls, so that it stands without a history."""

    version: Version
    seed: int
    started_at: float
    questions: list[Question] = []
    unused: list[CallId] = []


class Segment(Contract):
    """A part of the journal, saved as a blob: entries in order of recording. The last one of a task is closing. `llm`
    are the turns of a loop, which are too many to travel with its state."""

    format: Literal[1] = 1
    entries: list[Entry] = []
    llm: list[LlmCall] = []
    seen_version: int = 1
    seen: list[int] = []
    closing: Closing | None = None


class ProgramJob(Contract):
    """Input of the activity `program.run`: one generation of a box."""

    task: TaskRef
    source: str
    first_line: int = 1
    inputs: Json = None
    inputs_ref: Sha256 | None = None
    files_ref: Sha256 | None = None
    version: int
    version_began_at: float = 0.0
    generation: int
    seed: int
    started_at: float
    segments: list[Sha256] = []
    catalogue: Sha256
    skills: list[str] = []
    scope: str = "program"
    adapter: str = ""
    limits: Limits = Limits()
    tuning: Tuning = Tuning()
    variables: Value | None = None


Outcome = Literal["done", "raised", "suspended"]


class ProgramEnd(Contract):
    """Output of `program.run`. `outcome` raised: the program's own fault, a result that a model can mend. `files_ref`
    names the blob of the list of files that it left in /ws/out. `variables` is its `session`, if it changed that."""

    outcome: Outcome
    value: Value | None = None
    variables: Value | None = None
    files_ref: Sha256 | None = None
    error: Failure | None = None
    park: ParkReason | None = None
    stdout: str = ""
    attempt: int = 1
    answered_from_journal: int = 0
    unused: list[CallId] = []
    seen: list[int] = []
    seen_from: int = 0
    asked: int = 0
    run_seconds: float = 0.0
    adapter: str = ""
    isolation: str = ""


class ProgramResult(Contract):
    """How a task or its program ended, for people and for a parent workflow. `source` names the blob of the last
    `Version` of a program that a model wrote, `files_ref` that of the list of files that it left. `variables` are those
    of the session, if the program changed them; `head` is the end of the task's own conversation with its model."""

    state: TaskState
    value: Value | None = None
    variables: Value | None = None
    head: Sha256 | None = None
    files_ref: Sha256 | None = None
    error: Failure | None = None
    stdout: str = ""
    version: int = 1
    calls: int = 0
    repairs: int = 0
    suspensions: int = 0
    generations: int = 0
    runs: int = 1
    journal: list[Sha256] = []
    source: Sha256 | None = None
    spent: Spent = Spent()
    llm: list[LlmCall] = []
    steps: list[StepRun] = []
    flow: FlowState | None = None
    budget: BudgetState | None = None


class ProgramReport(Contract):
    """Signal `program_report` to the parent's workflow: how a child stands; sent when that, or what it asks, changes.

    `child` is the last part of its id; ids of its questions are its own. `result` comes with a cancelled program, which
    has no result of its own, and with the end of a task that `reports_end`.
    """

    child: str = PROGRAM
    state: TaskState
    version: int = 1
    questions: list[Question] = []
    result: ProgramResult | None = None


class Progress(Contract):
    """Answer of the query `progress`: what a watcher sees now. `phase` says what an agent's task does; `program_id` is
    the workflow of its program, which answers the same query for its part."""

    state: TaskState
    phase: str = ""
    program_id: str | None = None
    spent: Spent = Spent()
    llm: list[LlmCall] = []
    version: int = 1
    generation: int = 0
    runs: int = 1
    calls_done: int = 0
    calls_open: int = 0
    repairs: int = 0
    suspensions: int = 0
    box: bool = False
    source: str = ""
    questions: list[Question] = []
    open_calls: list[Entry] = []
    steps: list[StepRun] = []
    flow: FlowState | None = None
    budget: BudgetState | None = None


class SaveSegment(Contract):
    segment: Segment


class SavedSegment(Contract):
    """`source` is the blob of the closing version alone."""

    ref: Sha256
    source: Sha256 | None = None


class RecordChange(Contract):
    """What activity `record.save` writes to a task's row. A final state is written once and never changed.

    `began_at` is when a worker first had the task, in UTC seconds since 1970. `questions` are those that are open: they
    are not written, but read from the history by those who watch a task. `closed` are those of the task itself, and of
    its program, that were closed since the last change: they go to the audit record.
    """

    task: TaskRef
    state: TaskState
    type: str = "program"
    began_at: float | None = None
    result: ProgramResult | None = None
    questions: list[Question] = []
    closed: list[Question] = []


PROGRAM_RUN: ActivityRef[ProgramJob, ProgramEnd] = ActivityRef(name="program.run", takes=ProgramJob, gives=ProgramEnd)
JOURNAL_SAVE: ActivityRef[SaveSegment, SavedSegment] = ActivityRef(
    name="journal.save", takes=SaveSegment, gives=SavedSegment
)
RECORD_SAVE: ActivityRef[RecordChange, Nothing] = ActivityRef(name="record.save", takes=RecordChange, gives=Nothing)

PROGRAM_WORKFLOW = "ProgramWorkflow"
UPDATE_CALLS = "calls"
UPDATE_HELLO = "hello"
UPDATE_NEST = "nest"
UPDATE_ANSWER = "answer"
SIGNAL_ANSWER = "answer_question"
QUERY_PROGRESS = "progress"
QUERY_JOURNAL = "journal"

QUEUE_AGENTS = "agents"
TASK_TIMEOUT = timedelta(seconds=4)
"""Workflow task timeout: after kill -9 the server waits it out. It must exceed a full replay of `bound_events`."""
QUEUE_SKILLS = "skills"
QUEUE_SANDBOX = "sandbox"
NO_SANDBOX = "NoSandbox"
"""Type of a failure that no other text of a program can mend: the sandbox that is asked for is not there."""
QUEUE_LLM = "llm"
QUEUE_OWN = "own"
"""Agents in Python run here. Whoever serves `skills` serves it too."""

ProgramSpec.model_rebuild()
Carried.model_rebuild()
Nested.model_rebuild()
NestMessage.model_rebuild()
NestReply.model_rebuild()
