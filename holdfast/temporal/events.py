"""Starting the workflow of an event."""

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from holdfast.contracts.event import EVENT_WORKFLOW, EventJob
from holdfast.contracts.program import QUEUE_AGENTS, TASK_TIMEOUT
from holdfast.contracts.task import PRIORITIES
from holdfast.temporal import attributes


async def begin_event(client: Client, job: EventJob) -> bool:
    """Start its workflow; False: it was started before."""
    event = job.event
    try:
        await client.start_workflow(
            EVENT_WORKFLOW,
            job,
            id=event.workflow_id,
            task_queue=QUEUE_AGENTS,
            task_timeout=TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            memo={"trace_id": event.trace_id},
            search_attributes=attributes.pairs(
                tenant=event.tenant, task_type="event", task_name=event.topic, trace_id=event.trace_id
            ),
            static_summary=f"event {event.topic}"[:200],
            priority=Priority(priority_key=PRIORITIES[event.priority], fairness_key=event.tenant),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
