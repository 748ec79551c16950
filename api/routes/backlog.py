"""The backlog of a session: follow-up work that was put aside, and working through it."""

import hashlib
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field, StringConstraints
from temporalio.client import WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.house import House, OurHouse, OurTenant
from api.temporal import answering
from holdfast.contracts.backlog import (
    BACKLOG_WORKFLOW,
    MAX_ITEMS,
    MAX_NOTE,
    MAX_TEXT,
    QUERY_WORK,
    SIGNAL_STOP,
    Item,
    ItemState,
    Next,
    WorkSpec,
    WorkView,
)
from holdfast.contracts.budget import Budget
from holdfast.contracts.principal import SessionId
from holdfast.contracts.program import QUEUE_AGENTS, TASK_TIMEOUT
from holdfast.contracts.task import AskedBudget, Body
from holdfast.errors import Conflict, HoldfastError, NoTemporal, NotFound
from holdfast.ids import new_trace_id
from holdfast.temporal import attributes
from store.backlog import Backlog
from store.sessions import Sessions
from store.tables import BacklogRow, SessionRow

router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])

Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]
OurItemId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$", description="as the list shows it")]


class NewItem(Body):
    """What is to be done, in plain words. Sent again with the same `idempotency_key`, it is added once."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
    idempotency_key: Key | None = None


class Take(Body):
    """Sent again with the same `idempotency_key`, it gives the same item."""

    idempotency_key: Key | None = None


class Note(Body):
    """What came of an item, or why it cannot be done."""

    note: Annotated[str, StringConstraints(max_length=MAX_NOTE)] = ""


class Work(Body):
    """How many items at most, and what their tasks may take together."""

    max_items: int = Field(default=10, ge=1, le=MAX_ITEMS)
    budget: AskedBudget = Field(default=Budget(), description="of all items together")


async def _session(session_id: SessionId, house: OurHouse, tenant: OurTenant) -> SessionRow:
    return await Sessions(house.records.db).get(tenant, session_id)


async def _living(row: Annotated[SessionRow, Depends(_session)]) -> SessionRow:
    if row.state == "closed":
        raise Conflict(f"session {row.id!r} is closed; its backlog can be read, and nothing else", state=row.state)
    return row


OurSession = Annotated[SessionRow, Depends(_session)]
LivingSession = Annotated[SessionRow, Depends(_living)]


@router.get("/backlog", operation_id="list_backlog")
async def find(
    session: OurSession, house: OurHouse, state: Annotated[ItemState | None, Query(description="only these")] = None
) -> list[Item]:
    """Follow-up work: first what is to be done, in the order of adding, then what is over. At most 1,000 items."""
    return [_item(row) for row in await _backlog(house).list(session.tenant, session.id, state)]


@router.post("/backlog", operation_id="add_to_backlog", status_code=201)
async def add(body: NewItem, session: LivingSession, house: OurHouse) -> Item:
    """Put follow-up work at the end."""
    return _item(await _backlog(house).add(session.tenant, session.id, _short(body.idempotency_key), body.text))


@router.post("/backlog/next", operation_id="take_from_backlog")
async def take(session: LivingSession, house: OurHouse, body: Take | None = None) -> Next:
    """Take the oldest open item, so that nobody else does."""
    backlog = _backlog(house)
    row = await backlog.take(session.tenant, session.id, f"api:{_short(body.idempotency_key if body else None)}")
    left = await backlog.count(session.tenant, session.id, "open")
    return Next(item=None if row is None else _item(row), open=left)


@router.post("/backlog/{item_id}/done", operation_id="finish_backlog_item")
async def done(item_id: OurItemId, session: OurSession, house: OurHouse, body: Note | None = None) -> Item:
    """Mark an item as done. The first word on it holds."""
    note = body.note if body else ""
    return _item(await _backlog(house).close(session.tenant, session.id, item_id, "done", note))


@router.post("/backlog/{item_id}/fail", operation_id="fail_backlog_item")
async def fail(item_id: OurItemId, session: OurSession, house: OurHouse, body: Note | None = None) -> Item:
    """Mark an item as failed. The first word on it holds."""
    note = body.note if body else ""
    return _item(await _backlog(house).close(session.tenant, session.id, item_id, "failed", note))


@router.post("/work", operation_id="work_backlog", status_code=202)
async def work(session: LivingSession, house: OurHouse, body: Work | None = None) -> WorkView:
    """Work through open items, one after another, each a turn of the session, until none is open, `max_items` are
    worked, or the budget is used up. It goes on whatever is restarted meanwhile."""
    asked = body or Work()
    spec = WorkSpec(
        tenant=session.tenant,
        session_id=session.id,
        trace_id=new_trace_id(),
        max_items=asked.max_items,
        budget=asked.budget,
    )
    client = await house.temporal.client()
    try:
        async with answering():
            await client.start_workflow(BACKLOG_WORKFLOW, spec, **_options(spec))
    except WorkflowAlreadyStartedError:
        text = f"the backlog of session {session.id!r} is being worked already"
        raise Conflict(f"{text}: look at `GET /sessions/<id>/work`, or `DELETE` it to stop after its item") from None
    return WorkView()


@router.get("/work", operation_id="get_backlog_work")
async def look(session: OurSession, house: OurHouse) -> WorkView:
    """The latest order to work: what it did so far, what that took, and why it ended."""
    handle: Any = await _handle(house, session)
    try:
        async with answering():
            status = (await handle.describe()).status
            if status == WorkflowExecutionStatus.COMPLETED:
                result: WorkView = await handle.result()
                return result
            view: WorkView = await handle.query(QUERY_WORK, result_type=WorkView)
            if status == WorkflowExecutionStatus.RUNNING:
                return view
            # Nobody here ends it so.
            return view.model_copy(update={"ended": f"its workflow was ended in Temporal ({status.name.lower()})"})
    except (RPCError, WorkflowQueryFailedError) as exc:
        raise _untold(exc, session) from exc


@router.delete("/work", operation_id="stop_backlog_work", status_code=202)
async def stop(session: OurSession, house: OurHouse) -> WorkView:
    """Work no further item. The one in work is finished; what was put aside stays open."""
    handle: Any = await _handle(house, session)
    try:
        async with answering():
            await handle.signal(SIGNAL_STOP)
    except RPCError as exc:
        raise _untold(exc, session) from exc
    return await look(session, house)


def _backlog(house: House) -> Backlog:
    return Backlog(house.records.db)


def _short(key: str | None) -> str:
    """16 hex digits: those that a key always leads to, or new ones."""
    return secrets.token_hex(8) if key is None else hashlib.sha256(key.encode()).hexdigest()[:16]


async def _handle(house: House, session: SessionRow) -> Any:
    client = await house.temporal.client()
    workflow_id = WorkSpec(tenant=session.tenant, session_id=session.id, trace_id=new_trace_id()).workflow_id
    return client.get_workflow_handle(workflow_id, result_type=WorkView)


def _untold(exc: RPCError | WorkflowQueryFailedError, session: SessionRow) -> HoldfastError:
    """Nobody works; or a worker has yet to begin with it, or to come back, so that none can tell."""
    if isinstance(exc, RPCError) and exc.status == RPCStatusCode.NOT_FOUND:
        return NotFound(f"nobody works the backlog of session {session.id!r}; `POST /sessions/<id>/work` begins")
    text = f"no worker can tell how the work of session {session.id!r} stands ({str(exc)[:200]})"
    return NoTemporal(f"{text}; is one running?")


def _options(spec: WorkSpec) -> dict[str, Any]:
    """One order at a time for a session."""
    return {
        "id": spec.workflow_id,
        "task_queue": QUEUE_AGENTS,
        "task_timeout": TASK_TIMEOUT,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "id_conflict_policy": WorkflowIDConflictPolicy.FAIL,
        "memo": {"trace_id": spec.trace_id},
        "search_attributes": attributes.pairs(
            tenant=spec.tenant, task_type="backlog", session_id=spec.session_id, trace_id=spec.trace_id
        ),
        "static_summary": f"backlog of session {spec.session_id}"[:200],
    }


def _item(row: BacklogRow) -> Item:
    return Item.model_validate({name: getattr(row, name) for name in Item.model_fields})
