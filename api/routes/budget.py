"""The budget of a task and all that it starts: how it stands, and more of it."""

import functools
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from api.house import House, OurHouse, OurTenant
from api.progress import handle_of
from api.temporal import answering, refusal
from api.view import Seen, as_task, current
from holdfast.contracts.budget import UPDATE_TOP_UP, BudgetState, TopUp
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import AskedBudget, Body
from holdfast.errors import Conflict, InvalidRequest, NoTemporal
from holdfast.ids import user_hash
from holdfast.temporal.updates import processed
from store.records import TaskRow

router = APIRouter(prefix="/tasks/{task_id}/budget", tags=["tasks"])

_NONE = "task {} has no budget: none was set when it was asked for, so there is nothing to add to"


class More(Body):
    """What is added to the limits. A unit without a limit stays without one."""

    add: AskedBudget
    user_id: str | None = None


@router.get("", operation_id="get_budget")
async def look(task_id: UUID, house: OurHouse, tenant: OurTenant) -> BudgetState:
    """How the budget of the whole tree stands; 422 if it has none."""
    task = await as_task(house, await _seen(house, tenant, task_id))
    if task.budget is None:
        raise InvalidRequest(_NONE.format(task_id))
    return task.budget


@router.post("", operation_id="top_up_budget")
async def add(task_id: UUID, body: More, house: OurHouse, tenant: OurTenant) -> BudgetState:
    """Add to the limits. What waits goes on; an open question of kind `budget` is answered by this."""
    seen = await _seen(house, tenant, task_id)
    if seen.row.state in FINAL:
        raise Conflict(f"task {task_id} is over ({seen.row.state}); only to one that is not can be added")
    if seen.progress is not None and seen.progress.budget is None:
        raise InvalidRequest(_NONE.format(task_id))
    if not any((body.add.tokens, body.add.usd, body.add.calls, body.add.seconds)):
        raise InvalidRequest("add: holds nothing; give a positive number of tokens, usd, calls or seconds")
    by = user_hash(body.user_id) if body.user_id else None
    return await _sent(house, seen.row, TopUp(add=body.add, by=by))


async def _seen(house: House, tenant: str, task_id: UUID) -> Seen:
    return await current(house, await house.records.get(tenant, str(task_id)))


async def _sent(house: House, row: TaskRow, message: TopUp) -> BudgetState:
    handle: Any = await handle_of(house, row)
    send = functools.partial(handle.execute_update, UPDATE_TOP_UP, message, id=str(uuid4()), result_type=BudgetState)
    try:
        async with answering(10.0):
            state: BudgetState = await processed(send)
            return state
    except WorkflowUpdateFailedError as exc:
        raise refusal(exc.cause) or exc from exc
    except NoTemporal as exc:
        raise NoTemporal(f"{exc}. It may have been added: look at the budget before adding again") from exc
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
        raise Conflict(f"task {row.id} is over; nothing can be added to its budget") from exc
