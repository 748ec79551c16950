"""Timeouts and retries of every kind of work, in one place. Figures come from notes on recovery after kill -9."""

from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from holdfast.contracts import program
from holdfast.contracts.skill import SkillFacts

TASK_TIMEOUT = timedelta(seconds=4)
"""Workflow task timeout: after kill -9 the server waits it out. It must exceed a full replay of `bound_events`."""

STICKY_TIMEOUT = timedelta(seconds=1)

BOX: dict[str, Any] = {
    "task_queue": program.QUEUE_SANDBOX,
    "start_to_close_timeout": timedelta(days=1),
    "heartbeat_timeout": timedelta(seconds=2),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=2)),
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""A box is retried for ever: what is the program's own fault is a result, not a failure."""

SAVE: dict[str, Any] = {
    "task_queue": program.QUEUE_SKILLS,
    "start_to_close_timeout": timedelta(seconds=30),
    "heartbeat_timeout": timedelta(seconds=2),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)),
}


def skill(facts: SkillFacts, cap_seconds: float | None) -> dict[str, Any]:
    """How a call of this skill is tried: a `once` skill a single time, others `max_retries` times more.

    The activity enforces the skill's own limit; start-to-close leaves it 15 s to report that.
    """
    limit = min(facts.timeout_seconds, cap_seconds or facts.timeout_seconds)
    once = facts.effect == "once"
    return {
        "task_queue": program.QUEUE_SKILLS,
        "start_to_close_timeout": timedelta(seconds=limit + 15),
        "heartbeat_timeout": timedelta(seconds=10 if once else 2),
        "retry_policy": RetryPolicy(
            initial_interval=timedelta(milliseconds=200),
            maximum_interval=timedelta(seconds=30),
            maximum_attempts=1 if once else facts.max_retries + 1,
        ),
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


def probe() -> dict[str, Any]:
    """How a `check` probe is tried: it only reads, so it may run again."""
    return {
        "task_queue": program.QUEUE_SKILLS,
        "start_to_close_timeout": timedelta(seconds=60),
        "heartbeat_timeout": timedelta(seconds=2),
        "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=3),
    }
