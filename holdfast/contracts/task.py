"""Tasks as the HTTP API takes and shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from holdfast.contracts.base import Contract, Failure, Json, Sha256
from holdfast.contracts.principal import Tenant
from holdfast.contracts.program import Limits, TaskState, Tuning
from holdfast.contracts.question import Question


class TaskRequest(BaseModel):
    """Body of `POST /tasks`. Type `program` takes `program`, the source text, and `input`, seen by it as `inputs`."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    input: Json = None
    program: str | None = None
    skills: list[str] | None = Field(default=None, description="skills that the program may call; default: all")
    limits: Limits = Limits()
    tuning: Tuning = Tuning()
    on_error: Annotated[str, StringConstraints(pattern="^(fail|ask)$")] = "fail"
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    user_id: Annotated[str, StringConstraints(max_length=320)] | None = None
    tenant_id: Tenant | None = None
    trace_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None


class Task(Contract):
    """A task as it stands now (P-01's shape, plus ours). Costs are USD; null means unknown, never 0."""

    id: str
    type: str
    status: str
    state: TaskState
    input: Json = None
    output: Json = None
    error: str | None = None
    failure: Failure | None = None
    created_at: datetime
    updated_at: datetime
    user_id_hash: str | None = None
    tenant_id: str = "default"
    trace_id: str
    catalogue: Sha256 | None = None
    model_used: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    total_cost: float | None = None
    calls_done: int = 0
    calls_open: int = 0
    repairs: int = 0
    suspensions: int = 0
    questions: list[Question] = []
    stdout: str = ""
    url: str | None = None
    note: str = Field(default="", description="why what is shown may be old; empty if it is not")


class Step(Contract):
    """One line of what people see: a version of the program, a call, a question. Times are UTC seconds since 1970."""

    kind: str
    name: str
    state: str
    id: str | None = None
    detail: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    error: str | None = None
