"""How a failed activity that will be tried again is told."""

from datetime import UTC, datetime

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo

from api.waiting import told

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def pending(message: str | None, again: datetime | None = None, is_running: bool = False) -> PendingActivityInfo:
    info = PendingActivityInfo(attempt=3, state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED)
    info.activity_type.name = "llm.plan"
    if message is not None:
        info.last_failure.message = message
    if again:
        info.next_attempt_schedule_time.FromDatetime(again)
    if is_running:
        info.state = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return info


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            pending("openai answered 429:\n  busy", NOW.replace(minute=3, second=4)),
            "llm.plan, attempt 3: openai answered 429: busy; next try at 12:03:04 UTC",
        ),
        (
            pending("busy", NOW.replace(day=26, hour=1)),
            "llm.plan, attempt 3: busy; next try at 2026-11-26 01:00:00 UTC",
        ),
        (pending("busy", is_running=True), "llm.plan, attempt 3: busy; being tried again now"),
        (pending("busy"), "llm.plan, attempt 3: busy; being tried again now"),
    ],
)
def test_failure_is_told_with_the_time_of_the_next_attempt(one: PendingActivityInfo, line: str) -> None:
    assert list(told([one], NOW)) == [line]


def test_activity_that_has_not_failed_is_not_waited_for() -> None:
    assert list(told([pending(None)], NOW)) == []


def test_long_message_is_cut() -> None:
    assert len(next(iter(told([pending("x" * 5000)], NOW)))) < 400
