"""The activity `llm.estimate`: the most that a request to a model may take.

It makes the request as the activity that asks would, up to the moment in which that one asks, and measures it. So the
bound holds for whatever prompts are made of.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from decimal import Decimal
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.asking import Asked, Asker, told_of
from holdfast.contracts.base import ActivityRef
from holdfast.contracts.budget import LLM_ESTIMATE, Estimate, EstimateRequest
from holdfast.errors import HoldfastError
from providers.base import ModelReply, ModelRequest
from providers.bounds import Bound
from providers.table import Models

Thinking = tuple[ActivityRef[Any, Any], Callable[[Any], Coroutine[Any, Any, Any]]]
"""An activity that asks a model, and what it is called."""


class _Measured(Exception):
    def __init__(self, bounds: list[Bound]) -> None:
        super().__init__()
        self.bounds = bounds


class Measurer(Asker):
    """In the place of one that asks: it measures, and ends the activity there."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def ask(self, asked: Asked, request: ModelRequest) -> ModelReply:
        raise _Measured(await asyncio.to_thread(self._models.bounds, asked.models, request))


class Estimating:
    """Over the activities that ask models, made with a `Measurer`."""

    def __init__(self, thinking: Iterable[Thinking]) -> None:
        self._thinking = {ref.name: (ref, begin) for ref, begin in thinking}

    @activity.defn(name=LLM_ESTIMATE.name)
    async def estimate(self, request: EstimateRequest) -> Estimate:
        """Each model of the list may be asked once, and the next one when it fails: the bound is that of all."""
        ref, begin = self._thinking[request.name]
        try:
            await begin(ref.takes.model_validate(request.request))
        except _Measured as measured:
            return _sum(measured.bounds)
        except HoldfastError as exc:
            details = {"code": exc.code, **told_of(exc)}
            raise ApplicationError(str(exc), details, type=type(exc).__name__, non_retryable=not exc.retryable) from exc
        raise AssertionError(f"{request.name} asked no model")


def _sum(bounds: list[Bound]) -> Estimate:
    unpriced = [one.name for one in bounds if one.usd is None]
    return Estimate(
        tokens=sum(one.tokens for one in bounds),
        usd=None if unpriced else sum((one.usd or Decimal(0) for one in bounds), Decimal(0)),
        models=[one.settings for one in bounds],
        unpriced=unpriced[0] if unpriced else "",
    )
