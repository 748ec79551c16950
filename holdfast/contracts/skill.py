"""Skills as the journal and the runner see them."""

from typing import Literal

from holdfast.contracts.approval import ApprovalRule
from holdfast.contracts.base import ActivityRef, CallId, Contract, Failure, Sha256, Value
from holdfast.contracts.model import Spent, Usage
from holdfast.contracts.principal import TaskRef
from holdfast.ids import idempotency_key

Effect = Literal["pure", "idempotent", "keyed", "once"]
"""What running a call again would do: nothing; the same; the same if its key is honoured; harm."""

Weight = Literal["normal", "light"]
"""`light` is for pure scripts that answer in milliseconds: a call is a local activity, 6 events instead of 11."""

Kind = Literal["prompt", "script", "hybrid", "native", "engine", "agent", "class", "own"]
"""`prompt` skills are answered by a model, `native` ones by the workflow itself: `ask` and `sleep`; `engine` ones read
or write what holdfast keeps: a conversation, a backlog; `agent` is an agent that is called as a skill: a child task;
`class` is a tool of the project in Python, with a base class of ours; `own` is the run of an agent of the project in
Python, which no program can call."""

MODEL = "llm"
"""The name under which a hybrid skill's questions to the model stand in the journal. No skill can have it."""


class SkillFacts(Contract):
    """The little that a workflow must know of a skill to schedule it. Part of the catalogue snapshot. Without rules in
    `approval` and `above`, no call of it needs a person's word. `above` are rules of the agents on whose behalf it is
    called, by agent: if any of them asks, a person is asked, whatever `approval` says."""

    name: str
    effect: Effect = "pure"
    kind: Kind = "script"
    timeout_seconds: float = 60.0
    max_retries: int = 2
    max_age_seconds: float | None = None
    has_check: bool = False
    weight: Weight = "normal"
    approval: list[ApprovalRule] = []
    above: dict[str, list[ApprovalRule]] = {}

    @property
    def is_watched(self) -> bool:
        """Whether a call of it may need a person's word."""
        return bool(self.approval or self.above)


class SkillCall(Contract):
    """One call as the activity `skill.run` receives it."""

    task: TaskRef
    call_id: CallId
    skill: str
    arguments: Value
    catalogue: Sha256
    effect: Effect
    timeout_seconds: float = 60.0

    @property
    def key(self) -> str:
        """The idempotency key that the skill gets: the same for each try of this call, and for no other call."""
        return idempotency_key(self.task.principal.tenant, self.task.task_id, self.call_id)


class SkillAnswer(Contract):
    """What a finished call gives: a value, or the error that the program will see as `SkillError`. `spent` is what an
    agent took that was called, with all below it."""

    value: Value | None = None
    error: Failure | None = None
    usage: list[Usage] = []
    spent: Spent | None = None


class CheckAnswer(Contract):
    """What a `once` skill's `check` probe found out about a call that may have happened."""

    outcome: Literal["done", "not_done", "unknown"] = "unknown"
    value: Value | None = None


SKILL_RUN: ActivityRef[SkillCall, SkillAnswer] = ActivityRef(name="skill.run", takes=SkillCall, gives=SkillAnswer)
AGENT_RUN: ActivityRef[SkillCall, SkillAnswer] = ActivityRef(name="agent.run", takes=SkillCall, gives=SkillAnswer)
SKILL_CHECK: ActivityRef[SkillCall, CheckAnswer] = ActivityRef(name="skill.check", takes=SkillCall, gives=CheckAnswer)

ANSWER_LOST = "AnswerLost"
WORKER_STOPPING = "WorkerStopping"
OUTCOME_UNKNOWN: frozenset[str] = frozenset({ANSWER_LOST, WORKER_STOPPING, "SkillCrashed", "SkillTimeout"})
"""Failures of a call that had begun, and of which nobody knows whether it took effect."""
