"""Timeouts and retries of every kind of work, in one place. Figures come from notes on recovery after kill -9."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from holdfast.contracts import program
from holdfast.contracts.skill import WORKER_STOPPING, SkillFacts

TASK_TIMEOUT = program.TASK_TIMEOUT

_OURS = ("AttributeError", "KeyError", "RecursionError", "TypeError", "UnicodeEncodeError", "ValidationError")
FINAL_ERRORS = ["NotFound", "UnknownSkill", "SpecInvalid", "ValueError", *_OURS]
"""Of an activity that asks a model: a blob that is gone, a fault of ours. Trying again would pay again, for ever."""

PERHAPS_PAID = ("ModelFailed", "OSError", "StoreUnavailable", WORKER_STOPPING)
"""Of an activity that asks a model: a reply may have been paid for, and is lost."""

STICKY_TIMEOUT = timedelta(seconds=1)

BOX: dict[str, Any] = {
    "task_queue": program.QUEUE_SANDBOX,
    "start_to_close_timeout": timedelta(days=1),
    "heartbeat_timeout": timedelta(seconds=2),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=2)),
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""A box is retried for ever: what is the program's own fault is a result, not a failure."""

UNRECORDED = timedelta(seconds=1)
"""A task that is over this soon needs one record, not two."""

SAVE: dict[str, Any] = {
    "task_queue": program.QUEUE_SKILLS,
    "start_to_close_timeout": timedelta(seconds=30),
    "heartbeat_timeout": timedelta(seconds=2),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)),
}

TURN_END: dict[str, Any] = {
    **SAVE,
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=500), backoff_coefficient=1.3, maximum_interval=timedelta(seconds=5)
    ),
}
"""How one who did not begin a turn asks whether it is over: for as long as it takes."""

SAVE_LOCALLY: dict[str, Any] = {
    "start_to_close_timeout": SAVE["start_to_close_timeout"],
    "retry_policy": RetryPolicy(maximum_attempts=1),
}


def llm(left_seconds: float | None = None) -> dict[str, Any]:
    """How a model is asked: for as long as the task has, `left_seconds`. The activity counts failures itself.

    Waiting for a busy or lost model is no failure, so there is no maximum of attempts; the provider's own time limit
    bounds one request, start-to-close a whole list of models that hang. A worker that is merely slow must not be taken
    for dead: the request would be paid for twice.
    """
    return {
        "task_queue": program.QUEUE_LLM,
        "start_to_close_timeout": timedelta(hours=1),
        "schedule_to_close_timeout": None if left_seconds is None else timedelta(seconds=max(0.001, left_seconds)),
        "heartbeat_timeout": timedelta(seconds=5),
        "retry_policy": RetryPolicy(
            initial_interval=timedelta(milliseconds=500),
            maximum_interval=timedelta(seconds=10),
            non_retryable_error_types=FINAL_ERRORS,
        ),
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


SUMMARY_SECONDS = 600.0
"""So long a conversation waits to be summed up. It goes on without, then, and is cut where it does not fit."""


def paid_llm(left_seconds: float | None) -> dict[str, Any]:
    """The same within a budget, which bounds one request: Temporal tries again only what surely cost nothing."""
    lost = ("TemporalTimeout:Heartbeat", "TemporalTimeout:StartToClose")
    policy = llm(left_seconds)
    retry = replace(policy["retry_policy"], non_retryable_error_types=[*FINAL_ERRORS, *PERHAPS_PAID, *lost])
    return {**policy, "retry_policy": retry}


def estimate(left_seconds: float | None) -> dict[str, Any]:
    """How it is found out what a request may take: nothing is asked, so it is tried for as long as the task has."""
    policy = llm(left_seconds)
    return {**policy, "start_to_close_timeout": timedelta(minutes=1), "heartbeat_timeout": None}


def skill(facts: SkillFacts, cap_seconds: float | None) -> dict[str, Any]:
    """How a call of this skill is tried: a `once` skill a single time, others `max_retries` times more.

    The activity enforces the skill's own limit; start-to-close leaves it 15 s to report that. The limit of a hybrid
    skill does not count the time in which it waits for a model, so its heartbeat alone tells that it lives.
    """
    limit = _limit(facts, cap_seconds)
    once = facts.effect == "once"
    longest = timedelta(days=1) if facts.kind == "hybrid" else timedelta(seconds=limit + 15)
    return {
        "task_queue": program.QUEUE_SKILLS,
        "start_to_close_timeout": longest,
        "heartbeat_timeout": timedelta(seconds=10 if once else 2),
        "retry_policy": RetryPolicy(
            initial_interval=timedelta(milliseconds=200),
            maximum_interval=timedelta(seconds=30),
            maximum_attempts=1 if once else facts.max_retries + 1,
        ),
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


OWN_FAULTS = ("SkillFailed", "SkillTimeout", "SkillCrashed")
"""What the code of an agent in Python did wrong, and may do right another time."""
OWN_PAUSE = timedelta(milliseconds=500)


def own(facts: SkillFacts) -> dict[str, Any]:
    """How an agent in Python is run. It waits for what it asks, so it has a queue to itself: those who wait must not
    take the places of what they wait for."""
    policy = skill(facts.model_copy(update={"kind": "hybrid"}), None)
    retry = replace(policy["retry_policy"], maximum_attempts=0, non_retryable_error_types=[*OWN_FAULTS])
    return {**policy, "task_queue": program.QUEUE_OWN, "retry_policy": retry}


def light(facts: SkillFacts, cap_seconds: float | None) -> dict[str, Any]:
    """The same for a local activity, which has no heartbeat: it is lost with its workflow task, and begins again."""
    return {
        "start_to_close_timeout": timedelta(seconds=_limit(facts, cap_seconds) + 15),
        "retry_policy": skill(facts, cap_seconds)["retry_policy"],
        # A longer pause before the next try is a timer: the workflow task is not held open for it.
        "local_retry_threshold": timedelta(seconds=1),
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


def _limit(facts: SkillFacts, cap_seconds: float | None) -> float:
    return min(facts.timeout_seconds, cap_seconds or facts.timeout_seconds)


def probe() -> dict[str, Any]:
    """How a `check` probe is tried: it only reads, so it may run again."""
    return {
        "task_queue": program.QUEUE_SKILLS,
        "start_to_close_timeout": timedelta(seconds=60),
        "heartbeat_timeout": timedelta(seconds=2),
        "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=3),
    }


ROUTE: dict[str, Any] = {**SAVE, "start_to_close_timeout": timedelta(minutes=10)}
"""An event may start hundreds of tasks, and wait for room for them."""

POST: dict[str, Any] = {
    "task_queue": program.QUEUE_SKILLS,
    "start_to_close_timeout": timedelta(seconds=60),
    "heartbeat_timeout": timedelta(seconds=5),
    "schedule_to_close_timeout": timedelta(days=1),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10)),
}
"""Someone else's server: it may be away for hours."""
