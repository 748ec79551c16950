"""Tasks: ask, list, look at, cancel."""

from typing import Annotated, Any, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Body, Header, HTTPException, Query, Request, Response
from fastapi.openapi.models import Example
from pydantic import BeforeValidator, StringConstraints

from api import intake, sessions
from api.endings import published
from api.house import House, OurHouse, OurTaskId, OurTenant
from api.older import OlderRequest, OlderTask, either
from api.progress import handle_of, stopped
from api.subtasks import whole_task
from api.view import Seen, as_task, current, ended
from holdfast import log
from holdfast.contracts.base import Contract, Failure, Json, Sha256
from holdfast.contracts.principal import Tenant
from holdfast.contracts.program import FINAL, TaskState
from holdfast.contracts.task import Body as Fields
from holdfast.contracts.task import Task, TaskRequest
from holdfast.errors import Conflict
from store.cursors import MAX_PAGE
from store.records import TaskRow

router = APIRouter(prefix="/tasks", tags=["tasks"])

Wait = Annotated[float, Query(ge=0, le=60, description="seconds to wait for the end of the task")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
Status = Literal[
    "pending", "running", "done", "error", "PENDING", "RUNNING", "WAITING", "DONE", "ERROR", "CANCELLED", "TIMED_OUT"
]
_PRINTED = r"^[^\x00-\x1f\x7f]*$"
_EXAMPLES: dict[str, Example] = {
    "agent": {
        "summary": "in plain words",
        "value": {"type": "agent", "input": "Review examples/inventory for bugs and security problems"},
    },
    "skill": {"summary": "one call of a skill", "value": {"type": "skill:list-files", "input": {"path": "."}}},
    "program": {"summary": "a program of your own", "value": {"type": "program", "program": "result = 6 * 7"}},
}
Asked = Annotated[
    TaskRequest,
    BeforeValidator(either, json_schema_input_type=TaskRequest | OlderTask),
    Body(openapi_examples=_EXAMPLES),
]
_OLDER: dict[int | str, dict[str, Any]] = {
    202: {"model": Task, "description": "The same, of a body in agentrunner's words: {agent_name, task_data, …}"}
}
_Name = Annotated[str, StringConstraints(min_length=1, max_length=190)]
_STATES: dict[str, list[TaskState]] = {
    "pending": ["PENDING"],
    "running": ["RUNNING", "WAITING"],
    "done": ["DONE"],
    "error": ["ERROR", "CANCELLED", "TIMED_OUT"],
}


class _Addressed(Fields):
    """What both of the older platform's bodies have beside the name."""

    input: Json = None
    user_id: Annotated[str, StringConstraints(max_length=320)] | None = None
    tenant_id: Tenant | None = None

    def asked(self, kind: str) -> TaskRequest:
        return TaskRequest(type=kind, input=self.input, user_id=self.user_id, tenant_id=self.tenant_id)


class AgentTask(_Addressed):
    """A task of an agent. `input` is as in `POST /tasks` with `agent:<name>`."""

    agent_type: _Name


class ToolTask(_Addressed):
    """One call of a skill. `input` holds its arguments."""

    tool_name: _Name


class Result(Contract):
    """How a task ended."""

    id: str
    state: TaskState
    output: Json = None
    error: str | None = None
    failure: Failure | None = None
    stdout: str = ""


@router.post("", status_code=201, operation_id="create_task", responses=_OLDER)
async def create(
    body: Asked,
    request: Request,
    response: Response,
    house: OurHouse,
    tenant: OurTenant,
    key: Key = None,
    wait: Wait = 0,
) -> Task:
    """Ask for a task. It is checked whole before anything starts, and recorded before it is started.

    With `wait` the answer comes once the task is over, or then: as it stands, and it goes on. agentrunner's body
    `{agent_name, task_data, priority, timeout_seconds, callback_url}` is taken too.
    """
    if isinstance(body, OlderRequest):
        response.status_code = 202
    asked = body.model_copy(update={"idempotency_key": body.idempotency_key or key})
    row, is_new = await _accepted(asked, request, response, house, tenant)
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    if not wait:
        return await as_task(house, Seen(row))
    return await whole_task(house, await current(house, await ended(house, row, wait)))


@router.post("/agent", status_code=201, operation_id="create_agent_task")
async def create_of_agent(
    body: AgentTask, request: Request, response: Response, house: OurHouse, tenant: OurTenant
) -> Task:
    """The same as `POST /tasks` with type `agent:<agent_type>`. Unknown: 404, with the agents that there are."""
    row, _ = await _accepted(body.asked(f"agent:{body.agent_type}"), request, response, house, tenant)
    return await as_task(house, Seen(row))


@router.post("/tool", status_code=201, operation_id="create_tool_task")
async def create_of_tool(
    body: ToolTask, request: Request, response: Response, house: OurHouse, tenant: OurTenant
) -> Task:
    """The same as `POST /tasks` with type `tool:<tool_name>`. Unknown: 404, with the skills that there are."""
    row, _ = await _accepted(body.asked(f"tool:{body.tool_name}"), request, response, house, tenant)
    return await as_task(house, Seen(row))


@router.get("", operation_id="list_tasks")
async def find(
    request: Request,
    response: Response,
    house: OurHouse,
    tenant: OurTenant,
    status_filter: Status | None = None,
    state: TaskState | None = None,
    kind: Annotated[str | None, Query(alias="type", pattern=_PRINTED, description="a type, or how it begins")] = None,
    user_id_hash: Sha256 | None = None,
    parent_id: Annotated[str | None, Query(pattern=_PRINTED, max_length=2000)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    cursor: str | None = None,
) -> list[Task]:
    """Tasks that people asked for, newest first, as last recorded; with `parent_id`, those that one of them started.

    `X-Total-Count` counts all that fit; `Link` leads to the next page.
    """
    page = await house.records.list(
        tenant,
        state=_wanted(state or status_filter),
        type_prefix=kind,
        user_hash=user_id_hash,
        parent_id=parent_id,
        limit=limit,
        cursor=cursor,
    )
    response.headers["X-Total-Count"] = str(page.total)
    if page.next_cursor:
        following = request.url.include_query_params(cursor=page.next_cursor)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return [await as_task(house, Seen(row), whole=False) for row in page.rows]


@router.api_route("/agent", methods=["GET", "DELETE"], include_in_schema=False)
@router.api_route("/tool", methods=["GET", "DELETE"], include_in_schema=False)
async def ask_only() -> None:
    """These are no ids of tasks."""
    raise HTTPException(405)


@router.get("/{task_id}", operation_id="get_task")
async def look(task_id: OurTaskId, house: OurHouse, tenant: OurTenant, wait: Wait = 0) -> Task:
    """A task as it stands now, or, with `wait`, once it is over. `path` leads to a task that it started."""
    row = await house.records.get(tenant, task_id)
    if wait:
        row = await ended(house, row, wait)
    return await whole_task(house, await current(house, row))


@router.get("/{task_id}/result", operation_id="get_result")
async def result(task_id: OurTaskId, house: OurHouse, tenant: OurTenant, wait: Wait = 0) -> Result:
    """How a task ended; 409 while it has not."""
    task = await look(task_id, house, tenant, wait)
    if task.state not in FINAL:
        raise Conflict(
            f"task {task.id} is {task.state}: it has no result yet; ask again, or with ?wait=60", state=task.state
        )
    return Result.model_validate(task.model_dump())


@router.delete("/{task_id}", status_code=202, operation_id="delete_task")
async def delete(task_id: UUID, house: OurHouse, tenant: OurTenant) -> Task:
    """The same as `POST /tasks/{task_id}/cancel`: the record stays."""
    return await cancel(task_id, house, tenant)


@router.post("/{task_id}/cancel", status_code=202, operation_id="cancel_task")
async def cancel(task_id: UUID, house: OurHouse, tenant: OurTenant) -> Task:
    """Ask a task to stop: its box is killed, a `once` call in flight may end. The task is CANCELLED soon after."""
    seen = await current(house, await house.records.get(tenant, str(task_id)))
    if seen.row.state in FINAL:
        raise Conflict(f"task {seen.row.id} is over ({seen.row.state}); only one that is not can be cancelled")
    handle = await handle_of(house, seen.row)
    if await stopped(handle):
        return await as_task(house, seen)
    if seen.row.state != "PENDING":
        raise Conflict(f"task {seen.row.id} has no workflow that runs; look at it again in a moment")
    # A turn that waits for others: its session may begin it at this moment.
    await sessions.dropped(house, seen.row)
    if not await stopped(handle):
        change = await house.records.change(tenant, seen.row.id, "CANCELLED")
        await published(house, change.row)
        seen = Seen(change.row)
    return await as_task(house, seen)


async def _accepted(
    asked: TaskRequest, request: Request, response: Response, house: House, tenant: str
) -> tuple[TaskRow, bool]:
    row, is_new = await intake.accept(house, asked, asked.tenant_id or tenant, _trace(request, asked))
    response.headers["Location"] = f"/tasks/{row.id}"
    return row, is_new


def _wanted(status: str | None) -> list[TaskState] | None:
    if status is None:
        return None
    return _STATES.get(status) or [cast(TaskState, status)]


def _trace(request: Request, body: TaskRequest) -> str:
    """The trace id of the request's headers, else of its body, else the new one that the door gave."""
    if body.trace_id and not request.state.trace_given:
        request.state.trace_id = body.trace_id
        log.bind(trace_id=body.trace_id)
    return cast(str, request.state.trace_id)
