"""From a request to a running task: checked first, then recorded, then started, so that no task is lost on the way."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.service import RPCError

from api import sessions
from api.capacity import Place
from api.house import House
from api.temporal import answering
from holdfast.contracts.base import Failure
from holdfast.contracts.begin import Begin
from holdfast.contracts.program import FINAL
from holdfast.contracts.session import Sent
from holdfast.contracts.task import TaskRequest
from holdfast.errors import Conflict, NoTemporal, NotFound, TooManyTasks
from holdfast.ids import task_id_from_key
from holdfast.log import get_logger
from holdfast.temporal.begin import begin
from store.admission import Checked
from store.records import TaskRow

_SOON = "starts if the server answers again within nine minutes"

log = get_logger(__name__)


async def accept(house: House, request: TaskRequest, tenant: str, trace_id: str) -> tuple[TaskRow, bool]:
    """Record and start a task; the row, and whether it is new. See `taken`."""
    found = await taken(house, request, tenant, trace_id)
    return found.row, found.is_new


@dataclass(frozen=True)
class Taken:
    """A task that was accepted. `sent` says which turn of its session it is, if this call made it one."""

    row: TaskRow
    is_new: bool
    sent: Sent | None = None


async def taken(house: House, request: TaskRequest, tenant: str, trace_id: str) -> Taken:
    """Record a task, and start it or hand it to its session. A known idempotency key leads to the task it made.

    Raises:
        UserError: the request is wrong; nothing was kept.
        IdempotencyMismatch: the key was used for another request.
        TooManyTasks: there is no room for a new task; nothing was kept.
        NoTemporal: not started. One that is recorded, and not closed, is started when there is a server (see
            `api.unbegun`), or by the same request with its key.
        Conflict: its session is closed.
    """
    request = await sessions.filled(house, request, tenant)
    async with _place(house, request, tenant) as place:
        async with house.capacity.checks:
            checked = await house.admission.checked(request, tenant, trace_id)
        row, is_new = await house.admission.record(checked)
        place.is_used = is_new
    if row.state not in FINAL and (is_new or row.state == "PENDING"):
        with _starting(house, row.id):
            return Taken(row, is_new, await _started(house, checked, row))
    return Taken(row, is_new)


@asynccontextmanager
async def _place(house: House, request: TaskRequest, tenant: str) -> AsyncIterator[Place]:
    """Room for a task. One that was accepted before has its own, and is answered also when there is none."""
    async with AsyncExitStack() as stack:
        try:
            place = await stack.enter_async_context(house.capacity.place(tenant))
        except TooManyTasks:
            if not await _is_known(house, request, tenant):
                raise
            place = Place()
        yield place


async def _is_known(house: House, request: TaskRequest, tenant: str) -> bool:
    if request.idempotency_key is None:
        return False
    try:
        await house.records.get(tenant, task_id_from_key(tenant, request.idempotency_key))
    except NotFound:
        return False
    return True


@contextmanager
def _starting(house: House, task_id: str) -> Iterator[None]:
    house.starting.add(task_id)
    try:
        yield
    finally:
        house.starting.discard(task_id)


async def _started(house: House, checked: Checked, row: TaskRow) -> Sent | None:
    begins = await house.admission.begin(checked, row)
    has_key = checked.wanted.request.idempotency_key is not None
    try:
        client = await house.temporal.client()
    except NoTemporal as exc:
        if not has_key:
            row = await not_started(house, row, str(exc))
        raise _told(exc, has_key, row) from exc
    try:
        async with house.capacity.turn():
            return await started(house, client, begins, row)
    except NoTemporal as exc:
        raise _told(exc, has_key, row) from exc
    except (RPCError, Conflict, TooManyTasks) as exc:
        if not (has_key and isinstance(exc, TooManyTasks)):
            await not_started(house, row, exc.message if isinstance(exc, RPCError) else str(exc))
        raise


async def started(house: House, client: Client, begins: Begin, row: TaskRow) -> Sent | None:
    """Start a task that is recorded, or hand it to its session: which turn of it it is. Repeating it changes nothing.

    Raises:
        NoTemporal: whether it was started is not known.
        RPCError, WorkflowUpdateFailedError: Temporal refused it.
        Conflict, TooManyTasks: its session did.
    """
    async with answering():
        await house.publisher.submitted(row)
    if row.session_id is not None:
        return await sessions.handed(house, client, begins, row)
    async with answering():
        await begin(client, begins)
    return None


async def not_started(house: House, row: TaskRow, reason: str) -> TaskRow:
    """Close the record of a task of which it is sure that Temporal has never heard."""
    failure = Failure(type="NotStarted", message=f"the task was never started: {reason}")
    log.warning("task.not_started", task_id=row.id)
    change = await house.records.change(row.tenant, row.id, "ERROR", failure=failure.model_dump())
    return change.row


def _told(exc: NoTemporal, has_key: bool, row: TaskRow) -> NoTemporal:
    if has_key:
        advice = f"Task {row.id} is recorded, and {_SOON}; the same request with the same idempotency key leads to it"
    elif row.state in FINAL:
        advice = "Nothing was started: send the request again. With an idempotency_key, repeating is always safe"
    else:
        advice = f"Task {row.id} is recorded, and {_SOON}: look at it before sending the request again"
    return NoTemporal(f"{exc}. {advice}", task_id=row.id)
