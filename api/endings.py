"""Ends of workflows that did not write their own record: terminated, timed out, or lost their last activity."""

from temporalio.client import WorkflowFailureError, WorkflowHistoryEventFilterType
from temporalio.exceptions import ApplicationError, CancelledError, FailureError, TerminatedError
from temporalio.exceptions import TimeoutError as TooLate
from temporalio.service import RPCError

from api.house import House
from api.progress import Handle, query, whole
from api.temporal import answering
from holdfast.contracts.base import Failure
from holdfast.contracts.program import FINAL, QUERY_PROGRESS, ProgramResult, Progress, TaskState
from holdfast.errors import NoTemporal
from holdfast.log import get_logger
from store.records import Changes, TaskRow
from store.results import columns, took

log = get_logger(__name__)


async def noticed(house: House, row: TaskRow, handle: Handle) -> TaskRow:
    """The final record of a task whose workflow is closed, written here if the workflow could not."""
    row = await house.records.get(row.tenant, row.id)
    if row.state in FINAL:
        return row
    try:
        async with answering():
            result = await handle.result()
    except WorkflowFailureError as exc:
        result = await _terminated(handle) if isinstance(exc.cause, TerminatedError) else _failed(exc.cause)
    log.warning("task.end_noticed", task_id=row.id, state=result.state)
    changes = columns(result) if _tells(result) else _cut_short(result.error) | await _so_far(house, handle)
    change = await house.records.change(row.tenant, row.id, result.state, **changes)
    await published(house, change.row)
    return change.row


async def published(house: House, row: TaskRow) -> None:
    """Say the end that was recorded here to those who subscribed; while Temporal is away nobody hears of it."""
    try:
        async with answering():
            await house.publisher.ended(row)
    except (NoTemporal, RPCError) as exc:
        log.warning("task.end_not_published", task_id=row.id, reason=str(exc)[:200])


async def _terminated(handle: Handle) -> ProgramResult:
    reason = "no reason given"
    async with answering():
        async for event in handle.fetch_history_events(event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT):
            reason = event.workflow_execution_terminated_event_attributes.reason or reason
    return _end("ERROR", "Terminated", f"the workflow was terminated in Temporal: {reason}")


def _failed(cause: BaseException) -> ProgramResult:
    match cause:
        case ApplicationError(details=[{"state": _} as result, *_]):
            return ProgramResult.model_validate(result)
        case CancelledError():
            return _end("CANCELLED", "Cancelled", "the task was cancelled")
        case TooLate():
            return _end("TIMED_OUT", "TimedOut", "Temporal ended the workflow at its time limit")
        case TerminatedError(message=reason):
            return _end(
                "ERROR", "Terminated", f"the workflow was terminated in Temporal: {reason or 'no reason given'}"
            )
        case ApplicationError(type=kind, message=message):
            return _end("ERROR", kind or "WorkflowFailed", message)
        case FailureError(message=message):
            return _end("ERROR", type(cause).__name__, message)
    return _end("ERROR", type(cause).__name__, str(cause))


def _end(state: TaskState, kind: str, message: str) -> ProgramResult:
    return ProgramResult(state=state, error=Failure(type=kind, message=message))


def _tells(result: ProgramResult) -> bool:
    """Whether the workflow itself told how it ended."""
    return bool(result.journal or result.value or result.calls or result.llm)


def _cut_short(error: Failure | None) -> Changes:
    return Changes(failure=error.model_dump(mode="json")) if error else Changes()


async def _so_far(house: House, handle: Handle) -> Changes:
    """What a task did and took until it was ended from outside. Its cost is not known: a request may have been sent."""
    try:
        progress = await whole(house, await query(handle, QUERY_PROGRESS, Progress))
    except NoTemporal:
        return Changes()
    counts = took(progress.spent) | Changes(cost=None, calls=progress.calls_done, repairs=progress.repairs)
    return counts | Changes(llm=[call.model_dump(mode="json") for call in progress.llm])
