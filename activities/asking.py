"""Asking a model for an activity: alive while it thinks, counted when it fails, written down when it answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.alive import beating, refuse_overtaken
from activities.replies import utf8
from holdfast.contracts.llm import Brief
from holdfast.contracts.model import ModelSettings, Usage
from holdfast.contracts.principal import TaskRef
from holdfast.errors import HoldfastError, ModelFailed, ModelUnavailable
from providers.base import ModelReply, ModelRequest
from providers.table import Models
from store.deltas import Deltas
from store.usage import NewUsage
from store.usage import Usage as UsageRows

FLUSH_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3600.0
_MAX_GROWTH = 50
"""100 to this power is a float yet."""

_TOLD = ("http_status", "tokens", "fitting_tokens")

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """Who asks. `step` names the part of the task, for those who watch it live.

    A model that failed is tried again after `delay_seconds`, each time `backoff` times longer; None: Temporal's pace.
    """

    task: TaskRef
    step: str
    models: Sequence[ModelSettings]
    max_retries: int
    call_id: str | None = None
    delay_seconds: float | None = None
    backoff: float | None = None

    @classmethod
    def of(cls, brief: Brief, step: str) -> "Asked":
        delay, backoff = brief.retry_delay_seconds, brief.retry_backoff
        return cls(brief.task, step, brief.models, brief.max_retries, delay_seconds=delay, backoff=backoff)

    def pause(self, failures: int) -> timedelta | None:
        """How long to wait after so many failures."""
        if self.delay_seconds is None:
            return None
        longer = (self.backoff or 1.0) ** min(failures - 1, _MAX_GROWTH)
        return timedelta(seconds=min(self.delay_seconds * longer, _LONGEST_PAUSE_SECONDS))


class Asker:
    """The models of one worker, and where it writes down what they took."""

    def __init__(self, models: Models, usage: UsageRows, deltas: Deltas) -> None:
        self._models, self._usage, self._deltas = models, usage, deltas

    async def ask(self, asked: Asked, request: ModelRequest) -> ModelReply:
        """The reply of the first model that gives one.

        Raises:
            ApplicationError: none did. A busy or lost one is waited for as it says, for as long as the task has; a
                failing one is tried `max_retries` times more; a refusal is final.
        """
        failures = _Failures()
        async with beating(failures.beat):
            await refuse_overtaken(failures.count)
            try:
                async with self._telling(asked) as tell:
                    reply = await self._models.complete(asked.models, request, tell)
            except HoldfastError as exc:
                raise failures.counted(exc, asked) from exc
            await self._write(asked, reply.usage)
        if reply.stop == "refusal":
            text = f"{reply.usage.provider} model {reply.usage.model!r} declined to answer: {reply.text[:200]!r}"
            raise ApplicationError(text, type="ModelDeclined", non_retryable=True)
        log.info("llm.reply", step=asked.step, model=reply.usage.model, output_tokens=reply.usage.output_tokens)
        return replace(reply, text=utf8(reply.text))

    def unusable(self, exc: HoldfastError, asked: Asked) -> ApplicationError:
        """A reply that came, and is of no use: it counts as a failure, and is asked for again."""
        failed = ModelFailed(str(exc))
        return _Failures().counted(failed, asked)

    async def _write(self, asked: Asked, usage: Usage) -> None:
        info = activity.info()
        row = NewUsage(
            id=f"{info.workflow_run_id}/{info.activity_id}/{info.attempt}",
            tenant=asked.task.principal.tenant,
            task_id=asked.task.task_id,
            trace_id=asked.task.trace_id,
            user_hash=asked.task.principal.user_hash,
            call_id=asked.call_id,
            provider=usage.provider,
            model=usage.model,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            cost=usage.cost,
        )
        try:
            await self._usage.add(row)
        except HoldfastError as exc:
            # The reply is paid for: it must not be lost, and asked again, because a row could not be written.
            log.error("usage.lost", error=str(exc), model=usage.model, output_tokens=usage.output_tokens)

    @contextlib.asynccontextmanager
    async def _telling(self, asked: Asked) -> "AsyncIterator[_Telling]":
        told = _Telling(self._deltas, asked)
        flushing = asyncio.create_task(told.flush_often())
        try:
            yield told
        finally:
            flushing.cancel()
        if told.has_begun:
            await told.flush()


class _Telling:
    """Pieces of a reply on their way to those who watch. What is lost is cosmetic: the whole reply is recorded."""

    def __init__(self, deltas: Deltas, asked: Asked) -> None:
        self._deltas, self._asked = deltas, asked
        self._pieces: list[str] = []
        self.has_begun = False
        """Whether anything was told. A reply that came at once is not told: its record is there as soon."""

    async def __call__(self, piece: str) -> None:
        self._pieces.append(piece)

    async def flush_often(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        text, self._pieces = utf8("".join(self._pieces)), []
        if text:
            self.has_begun = True
            task = self._asked.task
            with contextlib.suppress(HoldfastError):
                await self._deltas.add(task.principal.tenant, task.task_id, self._asked.step, text)


class _Failures:
    """How often a model failed, kept in heartbeat details from one attempt to the next: waiting does not count."""

    def __init__(self) -> None:
        details = activity.info().heartbeat_details
        self.count = int(details[0]) if details else 0

    def beat(self) -> None:
        activity.heartbeat(self.count)

    def counted(self, exc: HoldfastError, asked: Asked) -> ApplicationError:
        """The failure as Temporal keeps it: whether, and when, it is tried again."""
        is_final, delay = not exc.retryable, None
        if isinstance(exc, ModelUnavailable):
            delay = None if exc.retry_after is None else timedelta(seconds=exc.retry_after)
        elif isinstance(exc, ModelFailed):
            self.count += 1
            self.beat()
            is_final, delay = self.count > asked.max_retries, asked.pause(self.count)
        log.warning("llm.failed", step=asked.step, error=type(exc).__name__, final=is_final, failures=self.count)
        return ApplicationError(
            str(exc),
            {"code": exc.code, "retry_count": max(0, self.count - 1), **told_of(exc)},
            type=type(exc).__name__,
            non_retryable=is_final,
            next_retry_delay=delay,
            category=ApplicationErrorCategory.BENIGN,
        )


def told_of(exc: HoldfastError) -> dict[str, object]:
    """What programs and budgets are told of a failure: the provider's HTTP status, where it sent an error in the place
    of a reply (that costs nothing), or how long a prompt was and may be."""
    return {name: exc.details[name] for name in _TOLD if name in exc.details}
