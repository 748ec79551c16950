"""The keys of an agent's file: what each may hold. The model of the file, so that its JSON Schema is made from it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from holdfast.contracts.agent import Planning, Strategy
from holdfast.contracts.base import Json
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.question import OnTimeout
from holdfast.filekeys import Keys, Name, Pattern, Shape, Word, YesNo
from holdfast.schedulekeys import ScheduleKeys


class LlmKeys(ModelSettings):
    """`llm_config`: one model, and how to ask it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class SkillEntry(Keys):
    """A skill with facts of an older system beside its name; they are kept, and not acted on."""

    name: Word
    type: Literal["mcp", "function", "api"] | None = None
    url: str | None = None
    description: str | None = None
    auth: Json = None


class LimitKeys(Keys):
    """Bounds of one task."""

    max_repairs: int = Field(default=5, ge=0, le=100)
    timeout_seconds: float | None = Field(default=None, gt=0, description="of the whole task, waits included")
    run_seconds: float | None = Field(default=None, gt=0, le=3600, description="of a program's own running time")
    memory_bytes: int | None = Field(default=None, ge=64 << 20, description="of a program's box")
    max_steps: int | None = Field(default=None, ge=1, le=10_000, description="turns of a loop before it asks")
    max_plan_steps: int | None = Field(default=None, ge=1, le=100, description="steps of a delegation plan")
    max_cost_usd: float | None = Field(default=None, ge=0, description="the same as `budget.usd`")
    max_tokens: int | None = Field(default=None, ge=0, description="the same as `budget.tokens`")
    max_calls: int | None = Field(default=None, ge=0, description="the same as `budget.calls`")


class BudgetKeys(Keys):
    """What a task and all that it starts may take together."""

    tokens: int | None = Field(default=None, ge=0, description="of all LLM requests, input and output")
    usd: float | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0, description="of skills")
    seconds: float | None = Field(default=None, ge=0, description="since its start, waits for a top-up left out")


class ConstraintKeys(Keys):
    """Bounds in the words of the master agent's system."""

    max_iterations: int | None = Field(default=None, ge=1, le=100, description="`max_repairs` and `max_steps`")
    timeout: float | None = Field(default=None, gt=0, description="milliseconds of the whole task")


class RetryKeys(Keys):
    """How often a failed LLM call is tried again, and after how long."""

    max_retries: int = Field(default=2, ge=0, le=100)
    delay_seconds: float | None = Field(default=None, ge=0, le=3600)
    backoff: float | None = Field(default=None, ge=1, le=100, description="each pause is so many times the one before")
    exponential_backoff: YesNo | None = Field(default=None, description="true: `backoff: 2`, false: `backoff: 1`")


class CollaborationKeys(Keys):
    """`collaborative_config` of agentrunner."""

    preferred_collaborators: list[Word] | None = Field(default=None, description="the same as `subagents`")
    max_plan_steps: int | None = Field(default=None, ge=1, le=100, description="the same as `limits.max_plan_steps`")
    planning_agent: str | None = Field(default=None, description="kept, not acted on yet")
    allow_human_clarification: YesNo | None = Field(default=None, description="the same as `clarification.allowed`")
    clarification_timeout_seconds: float | None = Field(
        default=None, gt=0, description="the same as `clarification.timeout_seconds`"
    )


class ClarificationKeys(Keys):
    """How the agent's questions to people go."""

    allowed: YesNo | None = Field(default=None, description="default: true")
    timeout_seconds: float | None = Field(default=None, gt=0, le=2_592_000, description="default: as long as the task")
    on_timeout: OnTimeout = "fail"
    default: Json = Field(default=None, description="the answer when nobody gave one, with `on_timeout: default`")


class ApprovalKeys(Keys):
    """Calls of a skill that need a person's word, or need none."""

    skill: Word = Field(description="a skill, an agent, or a pattern of names: `mail-*`")
    policy: Literal["always", "never"] = "always"
    when: str = Field(default="", description="CEL over arguments, skill, agent, tenant, user_hash")
    deadline_seconds: float | None = Field(default=None, gt=0, le=2_592_000)
    on_timeout: Literal["fail", "proceed", "escalate"] = "fail"


class SessionKeys(Keys):
    """Conversations with the agent."""

    idle_timeout_seconds: float | None = Field(default=None, gt=0, description="then it hibernates, until it is needed")
    max_history: int | None = Field(
        default=None, ge=1, description="turns that are sent word for word at most; older ones are summed up"
    )
    pruning: Word | None = Field(default=None, description="kept; what does not fit is always summed up")
    context_messages: int | None = Field(default=None, ge=0, description="kept; all that fits is sent")


class ContinuousKeys(Keys):
    """`continuous_config` of agentrunner: the same as `session`."""

    idle_timeout_seconds: float | None = Field(
        default=None, gt=0, description="the same as `session.idle_timeout_seconds`"
    )
    max_conversation_history: int | None = Field(default=None, ge=1, description="the same as `session.max_history`")
    save_interval_seconds: float | None = Field(default=None, gt=0, description="kept; it is saved after every turn")
    conversation_pruning_strategy: Word | None = Field(
        default=None, description="kept; what does not fit is always summed up"
    )


Models = Annotated[
    Annotated[LlmKeys, Tag("<mapping>")] | Annotated[list[LlmKeys], Tag("<list>")],
    Discriminator(lambda value: "<list>" if isinstance(value, list) else "<mapping>"),
]
Entry = Annotated[
    Annotated[Word, Tag("<name>")] | Annotated[SkillEntry, Tag("<mapping>")],
    Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<name>"),
]


class AgentKeys(Keys):
    """An agent's file, `agents/<name>.yaml`. See docs/agents.md."""

    name: Name
    aliases: list[Word] = Field(default=[], description="other names that find it")
    description: str = ""
    agent_type: str = ""
    enabled: YesNo = True
    execution_mode: Literal["autonomous", "collaborative", "continuous", "scheduled"] = "autonomous"
    strategy: Strategy | None = Field(
        default=None,
        description="default: class if it names one, delegate if collaborative, ptc if it may use skills, else direct",
    )
    planning: Planning = "split"
    phrase: YesNo = False
    llm_config: Models | None = Field(default=None, description="a list: the next when one is down")
    system_prompt: str = ""
    system_prompt_file: str | None = Field(default=None, description="a text file, relative to this one")
    skills: list[Entry] | None = Field(default=None, description="not given: all; []: none")
    subagents: list[Word] | None = Field(default=None, description="agents that it may delegate to, or call as skills")
    class_: Word | None = Field(default=None, alias="class", description="`module:Class` of strategy `class`")
    tags: list[Word] = []
    event_subscriptions: list[Pattern] = Field(default=[], description="topics: `slack.command.*`, `task.#`")
    limits: LimitKeys = LimitKeys()
    budget: BudgetKeys = BudgetKeys()
    constraints: ConstraintKeys = ConstraintKeys()
    retry: RetryKeys = RetryKeys()
    output_schema: dict[str, Json] | None = None
    collaborative_config: CollaborationKeys = CollaborationKeys()
    config: dict[str, Json] | None = Field(default=None, description="what an agent of strategy `class` reads")
    schedule_config: ScheduleKeys | None = Field(default=None, description="asks it by the clock")
    session: SessionKeys = SessionKeys()
    continuous_config: ContinuousKeys = ContinuousKeys()
    clarification: ClarificationKeys = ClarificationKeys()
    approvals: list[ApprovalKeys] = Field(default=[], description="the first that holds counts; then the skill's own")
    sandbox: dict[str, Json] | None = Field(default=None, description="`adapter` of its programs; the rest is kept")


class DefaultKeys(Keys):
    """`config/agents.config.yaml`: what every agent has that does not say it itself."""

    llm_config: Models | None = None
    limits: LimitKeys = LimitKeys()
    budget: BudgetKeys = BudgetKeys()
    constraints: ConstraintKeys = ConstraintKeys()
    retry: RetryKeys = RetryKeys()


LATER = ("config",)
"""Fields that are read and kept; nothing in this version acts on them but, on `config`, an agent's own class."""

_PLACES: dict[str, type[BaseModel]] = {
    "llm_config": LlmKeys,
    "limits": LimitKeys,
    "budget": BudgetKeys,
    "constraints": ConstraintKeys,
    "retry": RetryKeys,
}
_MODEL_ALIASES = {"models": "llm_config", "retry_config": "retry"}
_ALIASES = {
    "llm_config": {"aws_region": "region", "timeout": "timeout_seconds", "base_url": "api_base"},
    "retry": {"retry_delay_seconds": "delay_seconds"},
}

_PEOPLE: dict[str, type[BaseModel]] = {"clarification": ClarificationKeys, "approvals": ApprovalKeys}

SHAPE = Shape(
    AgentKeys,
    {
        **_PLACES,
        "skills": SkillEntry,
        "collaborative_config": CollaborationKeys,
        **_PEOPLE,
        "schedule_config": ScheduleKeys,
        "session": SessionKeys,
        "continuous_config": ContinuousKeys,
    },
    {"": {"tools": "skills", "available_skills": "skills", **_MODEL_ALIASES}, **_ALIASES},
)
DEFAULTS = Shape(DefaultKeys, _PLACES, {"": _MODEL_ALIASES, **_ALIASES})


def schema() -> dict[str, Any]:
    """The JSON Schema of an agent's file, other names of keys included: for editors."""
    return SHAPE.schema("AgentFile")
