"""Tasks as the HTTP API takes and shows them."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from holdfast.contracts.agent import Planning, Strategy
from holdfast.contracts.base import Contract, Failure, Json, Sha256
from holdfast.contracts.budget import Budget, BudgetState
from holdfast.contracts.file import File, FileName
from holdfast.contracts.flow import FlowState
from holdfast.contracts.message import BlobPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import SessionId, Tenant
from holdfast.contracts.program import Limits, TaskState, Tuning
from holdfast.contracts.question import Question

MAX_PROMPT_CHARACTERS = 64 * 1024
MAX_PARTS = 20


def _model(value: Json) -> Json:
    """`provider:model` as the mapping that it stands for. Where a provider is reached is not for a caller to say: its
    key would be sent there."""
    if isinstance(value, dict) and (places := sorted({"api_base", "host"} & set(value))):
        raise ValueError(f"{places[0]} cannot be set by a request; set it in the agent's file or in providers.yaml")
    if not isinstance(value, str):
        return value
    provider, _, model = value.partition(":")
    if not (provider and model):
        raise ValueError("expected 'provider:model', such as 'anthropic:claude-sonnet-5-5', or a mapping")
    return {"provider": provider, "model": model}


ModelChoice = Annotated[ModelSettings, BeforeValidator(_model, json_schema_input_type=str | ModelSettings)]
PRIORITIES = {"critical": 1, "high": 2, "normal": 3, "low": 4}
"""The older systems' words."""


def _priority(value: Json) -> Json:
    if isinstance(value, str) and value not in PRIORITIES:
        raise ValueError(f"expected 1 (first) to 5 (last), or one of {', '.join(PRIORITIES)}")
    return PRIORITIES[value] if isinstance(value, str) else value


_WORDS = Literal["critical", "high", "normal", "low"]
TaskPriority = Annotated[
    int, Field(ge=1, le=5, strict=True), BeforeValidator(_priority, json_schema_input_type=int | _WORDS)
]
CallbackUrl = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s]+$")]


class Body(BaseModel):
    """A body of a request: no field but those it has, and nothing that is not JSON in UTF-8, however deep inside."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _is_json(cls, given: Any) -> Any:
        for key, value in given.items() if isinstance(given, dict) else ():
            try:
                json.dumps([key, value], ensure_ascii=False, allow_nan=False, default=str).encode()
            except UnicodeEncodeError:
                raise ValueError(f"{key!a} holds half of a surrogate pair; allowed is JSON in UTF-8") from None
            except (ValueError, RecursionError):
                raise ValueError(f"{key!a} holds NaN, an infinity, or is nested too deep; that is not JSON") from None
        return given


_TYPE: JsonDict = {"pattern": "^(agent|agent:.+|workflow:.+|skill:.+|tool:.+|program)$"}
"""Documented, and not enforced by the schema: what is wrong with a type is told with those that are available."""


def _units(value: Json) -> Json:
    """A limit that is misspelt would be none."""
    known = list(Budget.model_fields)
    if isinstance(value, dict) and (unknown := sorted(set(value) - set(known))):
        raise ValueError(f"{unknown[0]!r} is no unit of a budget; allowed: {', '.join(known)}")
    return value


AskedBudget = Annotated[Budget, BeforeValidator(_units)]


class GivenFile(Body):
    """A file that was sent with `POST /files`, and what it is called in the program's folder."""

    ref: Sha256
    name: FileName


class TaskRequest(Body):
    """Body of `POST /tasks`.

    `agent:<name>` (or `agent`, the default one) takes the task in plain words as `input`: text, or a mapping that holds
    it as `prompt`, `task`, `text`, `message`, `question`, `query` or `input`. `workflow:<name>` takes the flow's input:
    JSON that fits its `input_schema`. `skill:<name>` (or `tool:<name>`) takes
    the skill's arguments as `input`. `program` takes `program`, the source text, and `input`, its `inputs`.
    """

    type: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(json_schema_extra=_TYPE)
    input: Json = None
    program: str | None = None
    skills: list[str] | None = Field(
        default=None, description="skills that the task may use; default: all, or those of the agent"
    )
    files: list[GivenFile] = Field(
        default=[], max_length=1000, description="what the program finds in its folder `in` (/ws/in), read-only"
    )
    parts: list[BlobPart] = Field(
        default=[], max_length=MAX_PARTS, description="files that the model sees behind the text, such as images"
    )
    system_prompt: Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARACTERS)] | None = Field(
        default=None, description="replaces that of the agent"
    )
    model: ModelChoice | None = Field(default=None, description="instead of the agent's models: `provider:model`")
    strategy: Strategy | None = Field(default=None, description="instead of the agent's")
    planning: Planning | None = Field(default=None, description="instead of the agent's")
    phrase: bool | None = Field(default=None, description="instead of the agent's")
    limits: Limits = Limits()
    tuning: Tuning = Tuning()
    budget: AskedBudget = Field(default=Budget(), description="of this task and all that it starts, together")
    on_error: Annotated[str, StringConstraints(pattern="^(fail|ask)$")] = "fail"
    priority: TaskPriority = Field(
        default=3,
        description="1 is done first, 5 last, where work has to wait; also critical (1), high, normal, low (4)",
    )
    session_id: SessionId | None = Field(default=None, description="the conversation that it is the next turn of")
    callback_url: CallbackUrl | None = Field(default=None, description="its end is posted to this URL, as an event")
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    user_id: Annotated[str, StringConstraints(max_length=320)] | None = None
    tenant_id: Tenant | None = None
    trace_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None


class Task(Contract):
    """A task as it stands now (P-01's shape, plus ours). Costs are USD; null means unknown, never 0.

    `model_used` is `provider:model` of its latest LLM call. `phase` is what a task in work does now; `waiting` are the
    activities that failed and will be tried again, with their last error and the time (UTC) of the next attempt.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    id: str
    type: str
    name: str = ""
    status: str
    state: TaskState
    phase: str = ""
    waiting: list[str] = []
    input: Json = None
    output: Json = None
    error: str | None = None
    failure: Failure | None = None
    created_at: datetime
    updated_at: datetime
    user_id_hash: str | None = None
    tenant_id: str = "default"
    session_id: str | None = None
    trace_id: str
    catalogue: Sha256 | None = None
    model_used: str | None = None
    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_cost: float | None = None
    calls_done: int = 0
    calls_open: int = 0
    repairs: int = 0
    suspensions: int = 0
    questions: list[Question] = []
    stdout: str = ""
    files: list[File] = []
    url: str | None = None
    subtasks: list["Subtask"] = []
    workflow_state: FlowState | None = None
    budget: BudgetState | None = None
    note: str = Field(default="", description="why what is shown may be old; empty if it is not")


class Subtask(Contract):
    """A task that this one started (P-03). `state` is one of TaskState, or SKIPPED: its condition was false, or what it
    depends on failed. `status` is P's word for it. `agent_type` is the name of the agent, flow or skill."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    id: str
    name: str
    agent_type: str
    kind: str
    iteration: int = 1
    status: str
    state: str
    reason: str = ""
    input: Json = None
    output: Json = None
    error: str | None = None
    model_used: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    total_cost: float | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    url: str | None = None


class Step(Contract):
    """One line of what people see: an LLM call (`llm`), the program, a call, a question, a task that this one started
    (`child`; its `id` is the end of that one's). Times are UTC seconds since 1970. An LLM call says its `model`
    (`provider:model`) and its cost in USD; None: not known."""

    kind: str
    name: str
    state: str
    id: str | None = None
    detail: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    error: str | None = None
    model: str | None = None
    cost: float | None = None


Task.model_rebuild()
