"""ScheduledWorkflow: a time of a schedule has come. The task is its child, so that Temporal knows when it is over."""

from temporalio import workflow
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

from holdfast.contracts.begin import ADMIT, AdmitRequest, Admitted, Begin, Cause
from holdfast.contracts.program import ProgramResult
from holdfast.contracts.schedule import SCHEDULED_WORKFLOW, ScheduledEnd, ScheduledRun, run_id
from holdfast.contracts.session import SESSION_SEND, SendRequest
from holdfast.ids import task_id_from_key
from workflows import policies
from workflows.beginning import begun
from workflows.children import ended_badly
from workflows.endings import is_cancelled


# Not in the SDK's sandbox: see TaskWorkflow.
@workflow.defn(name=SCHEDULED_WORKFLOW, sandboxed=False)
class ScheduledWorkflow:
    """Cancelling it cancels the task. A request that is refused fails it; a task that fails does not."""

    @workflow.run
    async def run(self, run: ScheduledRun) -> ScheduledEnd:
        admitted = await _admitted(run)
        if admitted.refused is not None:
            refused = admitted.refused
            raise ApplicationError(refused.message, refused.details, type=refused.type, non_retryable=True)
        if admitted.begin is None:
            # Somebody reset this workflow in Temporal, and the task was over before.
            return ScheduledEnd(task_id=task_id_from_key(run.tenant, workflow.info().workflow_id), state="DONE")
        if admitted.begin.session_id is not None:
            return await _sent(admitted.begin)
        return await _done(admitted.begin)


async def _admitted(run: ScheduledRun) -> Admitted:
    request = AdmitRequest(
        tenant=run.tenant,
        request={**run.request, "idempotency_key": workflow.info().workflow_id},
        trace_id=workflow.uuid4().hex,
        cause=Cause(schedule=run.name, due_at=_due_at(run)),
    )
    admitted: Admitted = await workflow.execute_activity(
        ADMIT.name, request, result_type=Admitted, summary=run.name, **policies.SAVE
    )
    return admitted


def _due_at(run: ScheduledRun) -> str | None:
    """The server writes it behind the id, as `2026-11-26T08:00:00Z`. One that people started by hand has none."""
    _, found, due_at = workflow.info().workflow_id.partition(f"{run_id(run.tenant, run.name)}-")
    return due_at if found else None


async def _sent(begin: Begin) -> ScheduledEnd:
    """A turn of a conversation is its session's to do: it comes behind those that wait."""
    await workflow.execute_activity(
        SESSION_SEND.name, SendRequest(begin=begin), summary=begin.session_id, **policies.SAVE
    )
    return ScheduledEnd(task_id=begin.task.task_id, state="PENDING")


async def _done(begin: Begin) -> ScheduledEnd:
    task_id = begin.task.task_id
    try:
        result: ProgramResult = await (await begun(begin))
    except WorkflowAlreadyStartedError:
        return ScheduledEnd(task_id=task_id, state="RUNNING")
    except ChildWorkflowError as exc:
        if is_cancelled():
            raise
        result = ProgramResult(state="CANCELLED") if is_cancelled_exception(exc) else ended_badly(exc)
    return ScheduledEnd(task_id=task_id, state=result.state, error=result.error)
