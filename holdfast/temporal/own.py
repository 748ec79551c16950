"""For the code of a project's own workflow: agents, skills and flows of the catalogue, each as a child.

from holdfast.temporal.own import run_agent, run_skill
"""

from collections import Counter
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ChildWorkflowError, is_cancelled_exception

from holdfast.contracts.base import Json, Value
from holdfast.contracts.flow import FLOW_WORKFLOW, PREPARE, Around, Prepared, PrepareStep, StepKind, StepSpec
from holdfast.contracts.own import MEMO, VALUE_READ, OwnContext, ReadJson, ReadValue
from holdfast.contracts.program import PROGRAM_WORKFLOW, QUEUE_AGENTS, QUEUE_SKILLS, ProgramResult
from holdfast.contracts.work import TASK_WORKFLOW
from holdfast.names import canonical_name

_PARTS = "_holdfast_parts"
_POLICY: dict[str, Any] = {
    "task_queue": QUEUE_SKILLS,
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)),
}
_TASK_TIMEOUT = timedelta(seconds=4)


async def run_agent(name: str, input: Json = None, *, timeout_seconds: float | None = None) -> Any:  # noqa: A002
    """The output of a task of this agent: a child of the task that the workflow is. A loop may call it again and again.

    Raises:
        ApplicationError: it failed, or cannot be started; `type` is that of the failure.
    """
    return await _run("agent", name, input, timeout_seconds)


async def run_flow(name: str, input: Json = None, *, timeout_seconds: float | None = None) -> Any:  # noqa: A002
    """The output of a flow. Raises as `run_agent`."""
    return await _run("flow", name, input, timeout_seconds)


async def run_skill(name: str, **arguments: Json) -> Any:
    """The answer of a skill or a tool. Raises as `run_agent`."""
    return await _run("skill", name, arguments, None)


async def _run(kind: StepKind, who: str, given: Json, timeout_seconds: float | None) -> Any:
    context, part = _context(), _part(who)
    step = StepSpec(name=part, kind=kind, who=who, timeout_seconds=timeout_seconds)
    prepared = await _prepared(context, step, given)
    result = await _child(context, part, prepared)
    if result.value is None:
        return None
    request = ReadValue(value=result.value)
    read: ReadJson = await workflow.execute_activity(VALUE_READ.name, request, result_type=ReadJson, **_POLICY)
    return read.json_


def _context() -> OwnContext:
    found = workflow.memo_value(MEMO, None, type_hint=dict[str, Any])
    if found is None:
        text = (
            "this workflow was not started by holdfast, so there is no task that its agents and skills belong to; "
            f'start it with POST /tasks {{"type": "workflow:{workflow.info().workflow_type}"}}'
        )
        raise ApplicationError(text, type="NoTask", non_retryable=True)
    return OwnContext.model_validate(found)


def _part(who: str) -> str:
    """The next free name for a child: `summarizer`, then `summarizer-2`."""
    one = workflow.instance()
    parts: Counter[str] = getattr(one, _PARTS, None) or Counter()
    name = canonical_name(who) or "step"
    parts[name] += 1
    setattr(one, _PARTS, parts)
    return name if parts[name] == 1 else f"{name}-{parts[name]}"


async def _prepared(context: OwnContext, step: StepSpec, given: Json) -> Prepared:
    request = PrepareStep(
        task=context.task,
        child=step.name,
        catalogue=context.catalogue,
        step=step,
        around=Around(input=Value(inline=given)),
        said_as="plain",
        models=context.models,
        left_seconds=max(0.001, context.until - workflow.now().timestamp()),
        depth=context.depth + 1,
        is_budgeted=context.is_budgeted,
    )
    summary = f"prepare {step.name}"
    prepared: Prepared = await workflow.execute_activity(
        PREPARE.name, request, result_type=Prepared, summary=summary, **_POLICY
    )
    if prepared.refused is not None:
        raise ApplicationError(prepared.refused.message, type=prepared.refused.type, non_retryable=True)
    return prepared


async def _child(context: OwnContext, part: str, prepared: Prepared) -> ProgramResult:
    kinds = ((TASK_WORKFLOW, prepared.task), (PROGRAM_WORKFLOW, prepared.program), (FLOW_WORKFLOW, prepared.flow))
    kind, spec = next((kind, spec) for kind, spec in kinds if spec is not None)
    try:
        result: ProgramResult = await workflow.execute_child_workflow(
            kind,
            {**spec, "reports_end": True} if kind != PROGRAM_WORKFLOW else spec,
            id=context.task.child(part).workflow_id,
            task_queue=QUEUE_AGENTS,
            task_timeout=_TASK_TIMEOUT,
            result_type=ProgramResult,
            static_summary=prepared.summary,
        )
    except ChildWorkflowError as exc:
        if is_cancelled_exception(exc) or not isinstance(exc.cause, ApplicationError):
            raise
        raise ApplicationError(exc.cause.message, type=exc.cause.type, non_retryable=True) from exc
    return result
