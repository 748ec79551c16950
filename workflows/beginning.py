"""Tasks that a session or a schedule begins: child workflows, and yet tasks of their own, whose ids are no paths."""

from typing import Any

from temporalio import workflow
from temporalio.workflow import ChildWorkflowHandle

from holdfast.contracts.begin import Begin
from holdfast.contracts.program import ProgramResult
from holdfast.temporal.begin import options


async def begun(begin: Begin) -> "ChildWorkflowHandle[Any, ProgramResult]":
    """The task under way; awaiting the handle gives its result. It ends, and is cancelled, with this workflow.

    Raises:
        WorkflowAlreadyStartedError: it ran before.
    """
    return await workflow.start_child_workflow(begin.workflow, begin.spec, result_type=ProgramResult, **options(begin))
