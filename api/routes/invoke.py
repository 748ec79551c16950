"""An agent asked by name, as the older agent runner's clients do it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict

from api import intake
from api.house import OurHouse, OurTenant
from api.view import Seen, as_task, current, ended
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import Body, Task, TaskRequest
from holdfast.errors import InvalidRequest
from holdfast.names import listed

router = APIRouter(prefix="/agents", tags=["agents"])

Status = Literal["started", "waiting_clarification", "completed", "failed", "cancelled", "timeout"]
_ENDS: dict[str, Status] = {"DONE": "completed", "CANCELLED": "cancelled", "TIMED_OUT": "timeout"}


class Invocation(Body):
    """What the agent is asked: `task_data`, or the body itself; text, or a mapping that holds it as `prompt`."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"task_data": {"prompt": "Say hello"}}]})

    task_data: Json = None

    @property
    def asked(self) -> Json:
        """
        Raises:
            InvalidRequest: something stands beside `task_data`.
        """
        beside = self.model_extra or {}
        if "task_data" not in self.model_fields_set:
            return beside
        if beside:
            raise InvalidRequest(f"{listed(beside)}: nothing may stand beside task_data; put it in there")
        return self.task_data


class Invoked(Contract):
    """`execution_id` is the id of the task: see `GET /tasks/{id}`. `output` and `error` come with its end."""

    agent_name: str
    execution_id: str
    status: Status
    output: Json = None
    error: str | None = None


@router.post("/{name}/invoke", operation_id="invoke_agent")
async def invoke(
    name: Annotated[str, Path(max_length=190)],
    body: Invocation,
    request: Request,
    response: Response,
    house: OurHouse,
    tenant: OurTenant,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait for the answer")] = 0,
) -> Invoked:
    """Start a task of an agent; with `wait`, the answer. Unknown: 404, with the agents that there are."""
    asked = TaskRequest(type=f"agent:{name}", input=body.asked)
    row, _ = await intake.accept(house, asked, tenant, request.state.trace_id)
    response.headers["Location"] = f"/tasks/{row.id}"
    seen = await current(house, await ended(house, row, wait)) if wait else Seen(row)
    return _invoked(row.name, await as_task(house, seen))


def _invoked(name: str, task: Task) -> Invoked:
    if task.state not in FINAL:
        is_asking = any(one.state == "open" for one in task.questions)
        status: Status = "waiting_clarification" if is_asking else "started"
        return Invoked(agent_name=name, execution_id=task.id, status=status)
    return Invoked(
        agent_name=name,
        execution_id=task.id,
        status=_ENDS.get(task.state, "failed"),
        output=task.output,
        error=task.error,
    )
