"""Tasks over several agents, as agentrunner's API has them."""

from typing import cast
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api import intake
from api.house import OurHouse, OurTenant
from api.older import CollaborativeTask
from api.subtasks import whole_task
from api.view import Seen, as_task, current
from holdfast.contracts.task import Task

router = APIRouter(prefix="/collaborative/tasks", tags=["tasks"])


@router.post("", status_code=202, operation_id="create_collaborative_task")
async def create(
    body: CollaborativeTask, request: Request, response: Response, house: OurHouse, tenant: OurTenant
) -> Task:
    """Ask an agent to plan a task over others, run them and merge what they say; without `agent_name`: the master."""
    row, _ = await intake.accept(house, body.asked(), tenant, cast(str, request.state.trace_id))
    response.headers["Location"] = f"/tasks/{row.id}"
    return await as_task(house, Seen(row))


@router.get("/{task_id}", operation_id="get_collaborative_task")
async def look(task_id: UUID, house: OurHouse, tenant: OurTenant) -> Task:
    """The same as `GET /tasks/{task_id}`: its `subtasks` are the steps of the plan."""
    return await whole_task(house, await current(house, await house.records.get(tenant, str(task_id))))
