"""A flow that is a project's own Temporal workflow: it runs as the child `<workflow id>/own`.

What it starts with `run_agent` and the like are children of that child, and tasks of this flow: they report here, and
their questions are asked here.
"""

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, is_cancelled_exception

from holdfast.contracts.base import Value
from holdfast.contracts.flow import StepRun, StepState
from holdfast.contracts.own import MEMO, PART, VALUE_KEEP, VALUE_READ, KeepValue, OwnContext, ReadJson, ReadValue
from holdfast.contracts.program import FINAL, QUEUE_AGENTS, ProgramReport, ProgramResult
from holdfast.contracts.work import FlowTask
from workflows import policies, saving
from workflows.children import Children, Failed
from workflows.effects import failure
from workflows.work import Work

_STATES: dict[str, StepState] = {"DONE": "done", "WAITING": "waiting", "CANCELLED": "cancelled", "RUNNING": "running"}


async def run_own_flow(work: Work, spec: FlowTask) -> Value:
    """The output of the project's workflow, which gets the task's input as its one argument.

    Raises:
        Failed: it failed.
    """
    work.children.follows_all = True
    given: ReadJson = await saving.locally(
        VALUE_READ.name, ReadValue(value=spec.input), result_type=ReadJson, summary="read the input"
    )
    try:
        output = await workflow.execute_child_workflow(
            spec.flow.own_workflow,
            given.json_,
            id=work.children.workflow_id(PART),
            task_queue=QUEUE_AGENTS,
            task_timeout=policies.TASK_TIMEOUT,
            memo={MEMO: _context(work, spec).model_dump(mode="json", exclude_defaults=True)},
            static_summary=f"the project's workflow {spec.flow.name}",
        )
    except ChildWorkflowError as exc:
        if is_cancelled_exception(exc):
            raise
        raise Failed(failure(exc.cause)) from exc
    kept: ReadValue = await saving.locally(
        VALUE_KEEP.name, KeepValue(json_=output), result_type=ReadValue, summary="keep the output"
    )
    return kept.value


def _context(work: Work, spec: FlowTask) -> OwnContext:
    return OwnContext(
        task=spec.task,
        type=spec.type,
        catalogue=spec.catalogue,
        models=spec.models,
        until=work.began_at + spec.limits.task_seconds,
        depth=spec.depth,
        is_budgeted=spec.is_budgeted,
    )


def own_steps(children: Children) -> list[StepRun]:
    """What the workflow started, as far as that was told."""
    return [_step(report) for report in children.reports.values()]


def _step(report: ProgramReport) -> StepRun:
    result = report.result or ProgramResult(state=report.state)
    state = _STATES.get(report.state, "failed" if report.state in FINAL else "running")
    return StepRun(
        name=report.child,
        kind="agent",
        who=report.child,
        state=state,
        child=report.child,
        output=result.value,
        error=result.error,
        spent=result.spent,
        calls=result.calls,
    )
