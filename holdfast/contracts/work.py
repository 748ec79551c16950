"""Tasks of agents: what TaskWorkflow needs to begin, and what its program tells it."""

from holdfast.contracts.agent import Planning, Strategy
from holdfast.contracts.approval import ApprovalState
from holdfast.contracts.base import Contract, Json, Sha256, Value
from holdfast.contracts.budget import Budget, LedgerState
from holdfast.contracts.flow import FlowCarried, FlowSpec
from holdfast.contracts.journal import Entry
from holdfast.contracts.llm import Brief, ToolResult, ToolUse
from holdfast.contracts.message import Part
from holdfast.contracts.model import LlmCall, ModelSettings, Spent
from holdfast.contracts.principal import PROGRAM, TaskRef
from holdfast.contracts.program import Limits, Tuning
from holdfast.contracts.question import Clarification, Question
from holdfast.contracts.skill import SkillFacts


class TaskSpec(Contract):
    """A task in plain words. `say` is what the person said; `inputs` is what its program sees as `inputs`.

    `skills` holds agents too that may be called as skills. `depth` counts the tasks above it. `budget` is that of a
    root; `is_budgeted`: some budget holds for the tree, and its root is asked before anything is spent. `reports_end`:
    its parent does not wait for it, and hears of its end by `program_report`. `reports_to` is the workflow of the
    session whose turn it is: it hears how the task stands. `variables` are those of the session.
    `above` are the agents on whose behalf it is done, the first one first: their rules of approval hold, too. `team`
    are those to whom a master delegates, and whose steps may need a person's word.
    """

    brief: Brief
    type: str
    say: list[Part]
    inputs: Value = Value()
    strategy: Strategy = "ptc"
    planning: Planning = "split"
    phrase: bool = False
    output_schema: dict[str, Json] | None = None
    skills: list[SkillFacts] = []
    adapter: str = ""
    limits: Limits = Limits()
    tuning: Tuning = Tuning()
    max_steps: int = 20
    max_plan_steps: int = 10
    class_path: str = ""
    depth: int = 0
    budget: Budget = Budget()
    is_budgeted: bool = False
    reports_end: bool = False
    reports_to: str = ""
    variables: Value | None = None
    clarification: Clarification = Clarification()
    above: list[str] = []
    team: list[SkillFacts] = []
    carried: "TaskCarried | None" = None

    def pinned(self) -> "TaskSpec":
        """The same with every default written out: a later release's defaults must not reach a running task."""
        return TaskSpec.model_validate(self.model_dump())


class TaskCarried(Contract):
    """State of a loop over continue-as-new: no call and no child runs then. `results` are to be told to the model in
    the next turn; `occurrences` count how often each digest was asked; `steps` are turns so far."""

    head: Sha256 | None = None
    started_at: float
    steps: int = 0
    allowed: int = 0
    results: list[ToolResult] = []
    uses: list[ToolUse] = []
    say: list[Part] = []
    occurrences: dict[str, int] = {}
    failing: dict[str, int] = {}
    segments: list[Sha256] = []
    recorded: int = 0
    calls: int = 0
    open_entries: list[Entry] = []
    questions: list[Question] = []
    spent: Spent = Spent()
    llm: list[LlmCall] = []
    generation: int = 1
    budget: LedgerState | None = None
    approvals: ApprovalState = ApprovalState()


class FlowTask(Contract):
    """A task that is a flow: what FlowWorkflow needs to begin. `models` are asked instead of its agents' own."""

    task: TaskRef
    type: str
    flow: FlowSpec
    input: Value = Value()
    catalogue: Sha256
    models: list[ModelSettings] = []
    limits: Limits = Limits()
    tuning: Tuning = Tuning()
    depth: int = 0
    budget: Budget = Budget()
    is_budgeted: bool = False
    reports_end: bool = False
    reports_to: str = ""
    carried: FlowCarried | None = None

    def pinned(self) -> "FlowTask":
        """The same with every default written out: a later release's defaults must not reach a running task."""
        return FlowTask.model_validate(self.model_dump())


TASK_WORKFLOW = "TaskWorkflow"
SIGNAL_REPORT = "program_report"


def program_workflow_id(task_workflow_id: str) -> str:
    return f"{task_workflow_id}/{PROGRAM}"


TaskSpec.model_rebuild()
