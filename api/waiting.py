"""What a workflow waits for because it failed and will be tried again, in words."""

from collections.abc import Iterable
from datetime import UTC, datetime

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowExecutionDescription

_MESSAGE = 300


def waiting(described: WorkflowExecutionDescription) -> list[str]:
    """A line for each activity whose last attempt failed: `llm.plan, attempt 3: openai answered 429; next try at …`."""
    return sorted(told(described.raw_description.pending_activities, datetime.now(UTC)))


def told(pending: Iterable[PendingActivityInfo], now: datetime) -> Iterable[str]:
    for one in pending:
        if one.HasField("last_failure"):
            why = " ".join(one.last_failure.message.split())[:_MESSAGE]
            yield f"{one.activity_type.name}, attempt {one.attempt}: {why}; {_next(one, now)}"


def _next(one: PendingActivityInfo, now: datetime) -> str:
    if one.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED or not one.HasField(
        "next_attempt_schedule_time"
    ):
        return "being tried again now"
    at = one.next_attempt_schedule_time.ToDatetime(tzinfo=UTC)
    form = "%H:%M:%S" if at.date() == now.date() else "%Y-%m-%d %H:%M:%S"
    return f"next try at {at.strftime(form)} UTC"
