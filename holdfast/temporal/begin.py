"""Starting the workflow of a task that was admitted."""

from typing import Any

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from holdfast.contracts.begin import Begin
from holdfast.contracts.program import QUEUE_AGENTS, TASK_TIMEOUT
from holdfast.log import get_logger
from holdfast.temporal import attributes

log = get_logger(__name__)


def options(begin: Begin) -> dict[str, Any]:
    """How its workflow is started, from outside or as a child.

    Work that has to wait, children and activities included, is taken in the order of priority, then by tenant.
    """
    task = begin.task
    tenant = task.principal.tenant
    return {
        "id": task.workflow_id,
        "task_queue": QUEUE_AGENTS,
        "task_timeout": TASK_TIMEOUT,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
        "memo": {"trace_id": task.trace_id, "catalogue": begin.catalogue},
        "search_attributes": attributes.pairs(
            tenant=tenant,
            user_hash=task.principal.user_hash,
            task_type=begin.type,
            task_name=begin.name or None,
            session_id=begin.session_id,
            trace_id=task.trace_id,
        ),
        "static_summary": begin.summary,
        "priority": Priority(priority_key=begin.priority, fairness_key=tenant, fairness_weight=begin.fairness_weight),
    }


async def begin(client: Client, begins: Begin) -> None:
    """Start its workflow, or find that it was started before."""
    try:
        await client.start_workflow(begins.workflow, begins.spec, **options(begins))
    except WorkflowAlreadyStartedError:
        log.info("task.found", task_id=begins.task.task_id)
    else:
        log.info("task.started", task_id=begins.task.task_id, type=begins.type)
