"""The agent endpoints of the older agent system: submit a task, read its result. Names of fields are that system's."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from api import intake, problems
from api.house import House, OurHouse, OurTenant
from api.view import Seen, as_task, current
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.principal import SessionId
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import MAX_PROMPT_CHARACTERS, Body, Task, TaskRequest
from holdfast.errors import NotFound, UserError, shown
from holdfast.said import plain
from store.cursors import MAX_PAGE
from store.records import TaskRow

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _Lenient(APIRoute):
    """A body that is wrong is a 400 here, not a 422."""

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except RequestValidationError as exc:
                return problems.invalid(request, exc, UserError)

        return handler


router = APIRouter(prefix="/agent", tags=["agent"], route_class=_Lenient)

_NAMES = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Execute(Body):
    """A task in plain words for the default agent. `availableSkills` are all that it may use; default: the agent's."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)

    task: Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
    session_id: SessionId | None = None
    available_skills: list[str] | None = None
    system_prompt: Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARACTERS)] | None = None


class Executing(Contract):
    """The task is recorded and started. Its result is at `/agent/results?taskId=`."""

    model_config = _NAMES

    success: Literal[True] = True
    message: str
    task_id: str
    task: str
    session_id: str


class Metadata(Contract):
    """True counts, of the whole task."""

    model_config = _NAMES

    llm_calls: int
    skill_calls: int
    total_tokens: int


class AgentResult(Contract):
    """How a task stands. `success` is null while it runs; `executionTime` is in milliseconds, null before it began."""

    model_config = _NAMES

    task_id: str
    session_id: str | None
    task: str
    status: Literal["pending", "running", "completed", "failed"]
    success: bool | None
    output: Json
    error: str | None
    execution_time: int | None
    metadata: Metadata
    timestamp: datetime


@router.post("/execute", operation_id="execute_agent")
async def execute(body: Execute, request: Request, house: OurHouse, tenant: OurTenant) -> Executing:
    """Ask the default agent for something. Answers as soon as the task is recorded and started."""
    session_id = body.session_id or str(uuid4())
    asked = TaskRequest(
        type="agent",
        input=body.task,
        skills=body.available_skills,
        system_prompt=body.system_prompt,
        session_id=session_id,
    )
    row, _ = await intake.accept(house, asked, tenant, request.state.trace_id)
    message = f"task submitted to agent {row.name}"
    return Executing(message=message, task_id=row.id, task=body.task, session_id=session_id)


@router.get("/results", operation_id="agent_results")
async def results(
    house: OurHouse,
    tenant: OurTenant,
    task_id: Annotated[str | None, Query(alias="taskId", max_length=200)] = None,
    session_id: Annotated[SessionId | None, Query(alias="sessionId")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 10,
) -> AgentResult | list[AgentResult]:
    """The result of one task; without `taskId` those of a session, or of all, the newest first. 404: no such task."""
    if task_id is not None:
        row = await house.records.get(tenant, _id(task_id))
        return await _result(house, await current(house, row))
    page = await house.records.list(tenant, type_prefix="agent:", session_id=session_id, limit=limit)
    return [await _result(house, Seen(row)) for row in page.rows]


def _id(given: str) -> str:
    try:
        return str(UUID(given))
    except ValueError:
        raise NotFound(f"no task {shown(given)}; a task's id is a UUID, as `taskId` of the submission said") from None


async def _result(house: House, seen: Seen) -> AgentResult:
    task = await as_task(house, seen)
    return AgentResult(
        task_id=task.id,
        session_id=task.session_id,
        task=plain(task.input),
        status=_status(task),
        success=task.state == "DONE" if task.state in FINAL else None,
        output=task.output,
        error=task.error,
        execution_time=_took_ms(seen.row),
        metadata=Metadata(
            llm_calls=task.llm_calls,
            skill_calls=task.calls_done,
            total_tokens=task.input_tokens + task.output_tokens,
        ),
        timestamp=seen.row.finished_at or seen.row.updated_at,
    )


def _status(task: Task) -> Literal["pending", "running", "completed", "failed"]:
    match task.state:
        case "PENDING":
            return "pending"
        case "RUNNING" | "WAITING":
            return "running"
        case "DONE":
            return "completed"
    return "failed"


def _took_ms(row: TaskRow) -> int | None:
    if row.started_at is None:
        return None
    return round(((row.finished_at or datetime.now(UTC)) - row.started_at).total_seconds() * 1000)
