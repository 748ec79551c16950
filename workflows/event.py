"""EventWorkflow: an event is routed to all who subscribed to its topic, and posted to those outside."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from holdfast.contracts.base import Nothing
from holdfast.contracts.event import EVENT_WORKFLOW, POST, ROUTE, EventJob, Post, Routed, Sink
from workflows import policies


# Not in the SDK's sandbox: see TaskWorkflow.
@workflow.defn(name=EVENT_WORKFLOW, sandboxed=False)
class EventWorkflow:
    """Its id is that of the event, so that one that comes twice is routed once."""

    @workflow.run
    async def run(self, job: EventJob) -> Routed:
        routed = await _routed(job)
        failed = await asyncio.gather(*(self._posted(job, sink) for sink in routed.sinks))
        if any(failed):
            raise ApplicationError("; ".join(filter(None, failed)), type="NotDelivered", non_retryable=True)
        return routed

    async def _posted(self, job: EventJob, sink: Sink) -> str:
        """Why a sink did not take it; empty: it did."""
        try:
            await workflow.execute_activity(
                POST.name,
                Post(event=job.event, sink=sink),
                result_type=Nothing,
                summary=f"post to {sink.url}"[:200],
                **policies.POST,
            )
        except ActivityError as exc:
            if is_cancelled_exception(exc):
                raise
            return f"{sink.url}: {exc.cause or exc}"
        return ""


async def _routed(job: EventJob) -> Routed:
    """Once within the workflow task: some milliseconds. What cannot be done now is left to an activity."""
    options: dict[str, Any] = {"result_type": Routed, "summary": f"route {job.event.topic}"[:200]}
    routed: Routed
    try:
        routed = await workflow.execute_local_activity(ROUTE.name, job, **options, **policies.SAVE_LOCALLY)
    except (ActivityError, ApplicationError) as exc:
        if is_cancelled_exception(exc):
            raise
        routed = await workflow.execute_activity(ROUTE.name, job, **options, **policies.ROUTE)
    return routed
