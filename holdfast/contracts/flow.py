"""Steps and flows: the one step graph, whoever wrote it (a flow's file, the master's plan), and how it stands."""

from typing import Literal

from pydantic import Field

from holdfast.contracts.agent import Strategy
from holdfast.contracts.base import ActivityRef, Contract, Failure, Json, Origin, Sha256, Value
from holdfast.contracts.budget import LedgerState
from holdfast.contracts.model import ModelSettings, Spent
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.question import OnTimeout, Question
from holdfast.contracts.timing import Scheduled

StepKind = Literal["agent", "skill", "program", "flow", "ask"]
Coordination = Literal["sequential", "iterative_refinement", "parallel", "dag", "reactive"]

MAX_DEPTH = 5
"""How deep tasks may start tasks: a task that a person asks for has depth 0."""
MAX_STEPS = 200

COMPENSATE = "compensate:"
"""`on_failure: compensate:<step>`: that step runs, which is in no other way part of the graph; then the graph fails."""


class StepRetry(Contract):
    """A step that failed begins again, as a new child: what its calls did before is not repeated by Temporal."""

    max_retries: int = Field(default=0, ge=0, le=100)
    delay_seconds: float = Field(default=1.0, ge=0, le=86400)
    backoff: float = Field(default=2.0, ge=1, le=100)


class AskSpec(Contract):
    """A step that asks people. `text` may hold `${…}`."""

    text: str
    options: list[str] = []
    default: Json = None
    deadline_seconds: float | None = Field(default=None, gt=0)
    on_timeout: OnTimeout = "fail"
    form: dict[str, Json] | None = None


class StepSpec(Contract):
    """One step. `who` is the canonical name of the agent, skill or flow. Steps run as soon as all of `depends_on` are
    over; `condition` is CEL over `input`, `steps`, `output`, `iteration`; false: the step is skipped, and recorded.

    `input` is JSON in which `${path}` (`${input.topic}`, `${steps.draft.output}`, `${previous_output}`,
    `${previous_feedback}`, `${iteration}`) is replaced; None: what came before is passed on. `name` is part of the id
    of the child's workflow. `strategy` is one instead of the agent's own. `reason` is the planner's.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    kind: StepKind
    who: str = ""
    program: str = ""
    ask: AskSpec | None = None
    input: Json = None
    depends_on: list[str] = []
    condition: str = ""
    retry: StepRetry = StepRetry()
    strategy: Strategy | None = None
    timeout_seconds: float | None = Field(default=None, gt=0)
    on_failure: str = Field(default="fail", pattern=r"^(fail|continue|compensate:[A-Za-z0-9_-]{1,64})$")
    reason: str = ""


class FlowSpec(Contract):
    """A declared flow. `convergence` is CEL over the same names as conditions: true ends an iterative_refinement;
    `convergence_check` is what its file calls it. `events` are topics that start a reactive flow."""

    name: str
    description: str = ""
    coordination: Coordination = "sequential"
    max_iterations: int = Field(default=3, ge=1, le=1000)
    convergence_check: str = "assessment_approved"
    convergence: str = "has(output.approved) && output.approved == true"
    input_schema: dict[str, Json] | None = None
    steps: list[StepSpec] = Field(min_length=1, max_length=MAX_STEPS)
    on_failure: str = Field(default="fail", pattern=r"^(fail|continue|compensate:[A-Za-z0-9_-]{1,64})$")
    max_parallel: int = Field(default=20, ge=1, le=200)
    timeout_seconds: float | None = Field(default=None, gt=0)
    events: list[str] = []
    schedule: Scheduled | None = None
    enabled: bool = True
    tags: list[str] = []
    own_workflow: str = Field(default="", description="the type of a project's own Temporal workflow, which is run")
    extra: dict[str, Json] = Field(default={}, description="keys that are read, and not acted on by this version")
    origin: Origin = "project"


StepState = Literal["pending", "running", "waiting", "done", "failed", "skipped", "cancelled"]
OVER: frozenset[str] = frozenset({"done", "failed", "skipped", "cancelled"})


class StepRun(Contract):
    """How a step stands. `child` is the last part of the id of its workflow; `reason` says why it was skipped.

    Times are UTC seconds since 1970. `iteration` counts the rounds of a refinement from 1, `attempt` those of a retry.
    """

    name: str
    kind: StepKind
    who: str = ""
    state: StepState = "pending"
    iteration: int = 1
    attempt: int = 1
    child: str = ""
    reason: str = ""
    output: Value | None = None
    error: Failure | None = None
    spent: Spent = Spent()
    calls: int = 0
    started_at: float | None = None
    ended_at: float | None = None


class Around(Contract):
    """What a step, a condition or a convergence check sees: values by reference, read by the activity.

    `previous` is the output of the step before, `feedback` that of the last step of the round before, `errors` what
    steps that failed said.
    """

    input: Value = Value()
    outputs: dict[str, Value] = {}
    states: dict[str, StepState] = {}
    errors: dict[str, str] = {}
    first: Value | None = None
    previous: Value | None = None
    feedback: Value | None = None
    iteration: int = 1


class PrepareStep(Contract):
    """Input of `work.prepare`: make a step's child ready. `task` is the parent's; `child` the new part of its id.

    `said_as` is how the parent passes things on when the step has no `input` of its own: `flow` is P's pass-through
    (a mapping with original input, previous_output, previous_feedback), `plain` hands on `around.input` as it is.
    `above` are the agents on whose behalf the step is done: see `TaskSpec`.
    """

    task: TaskRef
    child: str
    catalogue: Sha256
    step: StepSpec
    around: Around = Around()
    said_as: Literal["flow", "plain"] = "flow"
    models: list[ModelSettings] = []
    left_seconds: float = Field(gt=0)
    depth: int = 0
    is_budgeted: bool = False
    position: int = 0
    above: list[str] = []


class Prepared(Contract):
    """A child that is ready to be started: exactly one of `task`, `program`, `flow`, `question` is set, unless the step
    is `skipped`, or `refused`: it cannot be started as it is, and trying again would not help."""

    skipped: str = ""
    refused: Failure | None = None
    summary: str = ""
    task: Json = None
    program: Json = None
    flow: Json = None
    question: Question | None = None


class Judge(Contract):
    """Input of `work.judge`: evaluate a CEL expression to true or false."""

    expression: str
    around: Around


class Verdict(Contract):
    is_true: bool
    error: str = ""


class Collect(Contract):
    """Input of `work.collect`: put outputs together as the value of a task, a mapping. Single values, lists and
    mappings of values, and `plain` JSON: all by key."""

    fields: dict[str, Value] = {}
    lists: dict[str, list[Value]] = {}
    maps: dict[str, dict[str, Value]] = {}
    plain: dict[str, Json] = {}


class Collected(Contract):
    value: Value


class FlowCarried(Contract):
    """State of a flow over continue-as-new: no child runs then. `runs` are the steps of this round, `past` those of
    rounds before, without what only an open step needs."""

    iteration: int = 1
    runs: list[StepRun] = []
    past: list[StepRun] = []
    feedback: Value | None = None
    spent: Spent = Spent()
    calls: int = 0
    started_at: float
    questions: list[Question] = []
    generation: int = 1
    budget: LedgerState | None = None


class FlowState(Contract):
    """P-03's `workflow_state`."""

    current_iteration: int = 1
    max_iterations: int = 1
    current_state: str = ""
    state_data: dict[str, Json] = {}


PREPARE: ActivityRef[PrepareStep, Prepared] = ActivityRef(name="work.prepare", takes=PrepareStep, gives=Prepared)
JUDGE: ActivityRef[Judge, Verdict] = ActivityRef(name="work.judge", takes=Judge, gives=Verdict)
COLLECT: ActivityRef[Collect, Collected] = ActivityRef(name="work.collect", takes=Collect, gives=Collected)

FLOW_WORKFLOW = "FlowWorkflow"
