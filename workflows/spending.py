"""One LLM request within a budget: bounded before it is made, reserved for, made, and settled.

An attempt that may have been paid for is never repeated on the reservation of the one before: Temporal tries again only
what surely was not, and this tries the rest, each time with a reservation of its own.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from temporalio import exceptions, workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType, is_cancelled_exception

from holdfast.contracts.budget import LLM_ESTIMATE, Amount, Estimate, EstimateRequest, known
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.skill import WORKER_STOPPING
from workflows import policies
from workflows.budget import Purse
from workflows.endings import settled
from workflows.ledger import NOTHING

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _MOST_GROWTH = 0.5, 3600.0, 50
_UNPAID = frozenset(
    {"ModelBusy", "ModelUnavailable", "ModelRefused", "NoModel", "SkillInputError", "TooLarge", *policies.FINAL_ERRORS}
)
"""Of these no request was answered."""


async def paid(
    purse: Purse,
    name: str,
    request: Any,
    gives: type[Any],
    summary: str,
    *,
    calls: int = 0,
    left_seconds: float | None = None,
    activity_id: str | None = None,
    slot: Callable[[], AbstractAsyncContextManager[Any]] = contextlib.nullcontext,
) -> Any:
    """The reply of the LLM activity `name`, which counts as so many `calls` of skills too. It begins in a `slot`.

    Raises:
        Refused: the budget has no room for it, and never will.
        ActivityError: as if there were no budget.
    """
    until = None if left_seconds is None else workflow.now().timestamp() + left_seconds
    estimate = await _estimated(name, request, until)
    asked, failed = _of(request, models=estimate.models), 0
    at_most = estimate.amount.model_copy(update={"calls": calls})
    while True:
        key, took = activity_id or purse.new_key(name), NOTHING
        try:
            await purse.reserve(key, at_most, summary, estimate.unpriced)
            async with slot():
                took = at_most
                options = {"summary": summary, "activity_id": activity_id, **policies.paid_llm(_left(until))}
                reply = await workflow.execute_activity(name, asked, result_type=gives, **options)
            took = known(reply.usage, at_most)
            return reply
        except ActivityError as exc:
            took = at_most if _may_be_paid(exc) else Amount(calls=calls)
            failed += _counts(exc)
            if is_cancelled_exception(exc) or not _is_worth_a_try(exc) or failed > _retries(request):
                raise
        finally:
            purse.settle(key, took)
        await workflow.sleep(_pause_seconds(request, failed))
        await settled()


async def _estimated(name: str, request: Any, until: float | None) -> Estimate:
    wanted = EstimateRequest(name=name, request=request.model_dump(mode="json", exclude_unset=True))
    estimate: Estimate = await workflow.execute_activity(
        LLM_ESTIMATE.name,
        wanted,
        result_type=Estimate,
        summary=f"what {name} may take",
        **policies.estimate(_left(until)),
    )
    return estimate


def _left(until: float | None) -> float | None:
    return None if until is None else until - workflow.now().timestamp()


def _of(request: Any, models: list[ModelSettings]) -> Any:
    """The same request to these models: those of a skill stand in it, those of a task in its brief."""
    if "brief" in type(request).model_fields:
        return request.model_copy(update={"brief": request.brief.model_copy(update={"models": models})})
    return request.model_copy(update={"models": models})


def _retries(request: Any) -> int:
    found: int = getattr(request, "brief", request).max_retries
    return found


def _pause_seconds(request: Any, failed: int) -> float:
    """As the agent says: each time longer."""
    brief = getattr(request, "brief", None)
    if brief is None or brief.retry_delay_seconds is None or not failed:
        return _PAUSE_SECONDS
    grown: float = brief.retry_delay_seconds * (brief.retry_backoff or 1.0) ** min(failed - 1, _MOST_GROWTH)
    return max(_PAUSE_SECONDS, min(grown, _LONGEST_PAUSE_SECONDS))


def _may_be_paid(exc: ActivityError) -> bool:
    """Whether a model may have done something for its money. An error page is sent for nothing."""
    cause = exc.cause
    if not isinstance(cause, ApplicationError):
        return True
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    return cause.type not in _UNPAID and "http_status" not in details


def _is_worth_a_try(exc: ActivityError) -> bool:
    cause = exc.cause
    if isinstance(cause, exceptions.TimeoutError):
        return cause.type in (TimeoutType.HEARTBEAT, TimeoutType.START_TO_CLOSE)
    return isinstance(cause, ApplicationError) and cause.type in policies.PERHAPS_PAID


def _counts(exc: ActivityError) -> bool:
    """Whether it is the request that failed, not the worker that made it."""
    return isinstance(exc.cause, ApplicationError) and exc.cause.type != WORKER_STOPPING
