"""Agents: a model, a prompt and the skills that it may use, as a project's YAML declares them."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from holdfast.contracts.approval import AgentApproval
from holdfast.contracts.base import Contract, Json, Origin
from holdfast.contracts.budget import Budget
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.question import Clarification
from holdfast.contracts.timing import Scheduled

Strategy = Literal["direct", "ptc", "loop", "delegate", "class"]
"""`direct`: one LLM call answers. `ptc`: plan, write one program that uses skills, run it. `loop`: the model calls
skills turn by turn. `delegate`: plan over other agents, run them, merge. `class`: the project's own Python."""
Planning = Literal["split", "fused"]
"""`split`: the plan and the program are two LLM calls. `fused`: one call writes the program, or answers."""


class AgentLimits(Contract):
    """Bounds of one task of an agent."""

    max_repairs: int = Field(default=5, ge=0, le=100)
    timeout_seconds: float | None = Field(default=None, gt=0, description="of the whole task, waits included")
    run_seconds: float | None = Field(default=None, gt=0, le=3600, description="of a program's own running time")
    memory_bytes: int | None = Field(default=None, ge=64 << 20, description="of a program's box")
    max_steps: int = Field(default=20, ge=1, le=10_000, description="turns of the loop; then it asks whether to go on")
    max_plan_steps: int = Field(default=10, ge=1, le=100, description="steps of a delegation plan")


class Retry(Contract):
    """How often an LLM call that failed is tried again, after `delay_seconds`, each time `backoff` times longer; 429,
    529 and lost connections do not count. None: the engine's own pace."""

    max_retries: int = Field(default=2, ge=0, le=100)
    delay_seconds: float | None = Field(default=None, ge=0)
    backoff: float | None = Field(default=None, ge=1)


class AgentSession(Contract):
    """What holds for its conversations; None: the settings' own. `kept`: turns that are sent word for word at most."""

    idle_seconds: float | None = Field(default=None, gt=0)
    kept: int | None = Field(default=None, ge=1)


class AgentSpec(Contract):
    """An agent. `models` are asked in order: the next when one is down. `skills` None: every skill there is."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    name: str
    aliases: list[str] = Field(default=[], description="other names that find it, where no agent has one as its name")
    description: str = ""
    agent_type: str = ""
    enabled: bool = True
    execution_mode: Literal["autonomous", "collaborative", "continuous", "scheduled"] = "autonomous"
    strategy: Strategy = "ptc"
    planning: Planning = "split"
    phrase: bool = Field(default=False, description="the program's result is phrased by one more LLM call")
    models: list[ModelSettings] = []
    system_prompt: str = ""
    skills: list[str] | None = None
    subagents: list[str] | None = Field(
        default=None, description="agents that it may delegate to, or call as skills; None: none, a master: all others"
    )
    class_path: str = Field(default="", description="`module:Class` of strategy class, in the project folder")
    tags: list[str] = []
    event_subscriptions: list[str] = []
    limits: AgentLimits = AgentLimits()
    retry: Retry = Retry()
    budget: Budget = Budget()
    sandbox: str = Field(default="", description="adapter that its programs run on; empty: the worker's own")
    output_schema: dict[str, Json] | None = None
    clarification: Clarification = Clarification()
    approvals: list[AgentApproval] = Field(
        default=[], description="before those of the skills; the first that holds counts"
    )
    schedule: Scheduled | None = None
    session: AgentSession = AgentSession()
    extra: dict[str, Any] = Field(default={}, description="keys that are read, and not acted on by this version")
    origin: Origin = "project"
