"""Running one skill call by its effect class. Here is the fence that keeps a `once` skill from beginning twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from temporalio import exceptions, workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType, is_cancelled_exception

from holdfast.contracts.base import ActivityRef, Failure, Value
from holdfast.contracts.llm import LLM_ASK, LLM_SKILL, ModelAsk, SkillPrompt
from holdfast.contracts.program import ProgramSpec
from holdfast.contracts.question import OUTCOMES, Question
from holdfast.contracts.skill import (
    OUTCOME_UNKNOWN,
    SKILL_CHECK,
    SKILL_RUN,
    CheckAnswer,
    SkillAnswer,
    SkillCall,
    SkillFacts,
)
from workflows import policies
from workflows.budget import Purse, Refused
from workflows.ledger import NOTHING, ONE_CALL
from workflows.questions import Questions
from workflows.spending import paid

TASK_TIMEOUT = "TaskTimeout"
"""The failure's type of a task that is overdue."""

_SHOWN = 100


class NotBegun(Exception):
    """The call was not begun, and will not be: the box that asked is going. It may be asked again."""


class Effects:
    """Runs calls, at most `max_parallel` of a program at once, and settles those whose outcome nobody knows.

    What a running skill asks in turn has slots of its own: it never waits for the one that its parent holds.
    """

    def __init__(self, questions: Questions, spec: ProgramSpec, purse: Purse) -> None:
        self._questions, self._spec, self._purse = questions, spec, purse
        self._slots = asyncio.Semaphore(spec.limits.max_parallel)
        self._nested_slots = asyncio.Semaphore(spec.limits.max_parallel)
        self.closed = False

    async def perform(self, call: SkillCall, facts: SkillFacts) -> SkillAnswer:
        """The recorded answer of a call: a value, or the error that stands after all retries.

        Raises:
            NotBegun: it had no slot yet when this was closed.
        """
        if not self._purse.is_open:
            return await self._performed(call, facts)
        try:
            return await self._paid(call, facts)
        except Refused as exc:
            return SkillAnswer(error=exc.failure)

    async def _paid(self, call: SkillCall, facts: SkillFacts) -> SkillAnswer:
        """The same, once the budget has room for it. A prompt skill's request pays for the call, too."""
        if facts.kind == "prompt":
            return await self._think_within(call, facts)
        took = NOTHING
        try:
            await self._purse.reserve(call.call_id, ONE_CALL, summary(call))
            took = ONE_CALL
            return await self._performed(call, facts)
        except NotBegun:
            took = NOTHING
            raise
        finally:
            self._purse.settle(call.call_id, took)

    async def _think_within(self, call: SkillCall, facts: SkillFacts) -> SkillAnswer:
        """A prompt skill's answer within the budget. Who waits for that holds no slot."""
        try:
            prompt = self._prompt(call, facts)
            return await self._pay(LLM_SKILL, prompt, call, summary(call), self._slot, calls=1)
        except ActivityError as exc:
            if is_cancelled_exception(exc):
                raise asyncio.CancelledError from exc
            return SkillAnswer(error=failure(exc.cause))

    async def _pay(
        self,
        ref: ActivityRef[Any, Any],
        request: Any,
        call: SkillCall,
        text: str,
        slot: Callable[[], AbstractAsyncContextManager[Any]],
        calls: int,
    ) -> SkillAnswer:
        options: dict[str, Any] = {"calls": calls, "slot": slot, "activity_id": call.call_id}
        answer: SkillAnswer = await paid(self._purse, ref.name, request, ref.gives, text, **options)
        return answer

    async def _performed(self, call: SkillCall, facts: SkillFacts) -> SkillAnswer:
        while True:
            try:
                async with self._slot():
                    return await self._begin(call, facts)
            except ActivityError as exc:
                if is_cancelled_exception(exc):
                    raise asyncio.CancelledError from exc
                if facts.effect != "once" or not _unknown(exc):
                    return SkillAnswer(error=failure(exc.cause))
                settled = await self._settle(call, facts, exc)
                if settled is not None:
                    return settled

    async def think(self, call: SkillCall, parent: str) -> SkillAnswer:
        """The model's recorded answer to what the code of a running skill asks."""
        ask = ModelAsk(
            task=call.task,
            call_id=call.call_id,
            parent=parent,
            skill=call.skill,
            arguments=call.arguments,
            models=self._spec.models,
        )
        text = f"a skill asks the model, for call {parent[:8]}"
        try:
            if self._purse.is_open:
                return await self._pay(LLM_ASK, ask, call, text, lambda: self._nested_slots, calls=0)
            options = {"activity_id": call.call_id, "summary": text}
            async with self._nested_slots:
                answer: SkillAnswer = await _execute(LLM_ASK, ask, policies.llm(), **options)
                return answer
        except Refused as exc:
            return SkillAnswer(error=exc.failure)
        except ActivityError as exc:
            if is_cancelled_exception(exc):
                raise asyncio.CancelledError from exc
            return SkillAnswer(error=failure(exc.cause))

    async def _begin(self, call: SkillCall, facts: SkillFacts) -> SkillAnswer:
        options = {"activity_id": call.call_id, "summary": summary(call)}
        if facts.kind == "prompt":
            asked: SkillAnswer = await _execute(LLM_SKILL, self._prompt(call, facts), policies.llm(), **options)
            return asked
        cap_seconds = self._spec.limits.call_seconds
        if facts.weight == "light":
            return await _locally(call, {**policies.light(facts, cap_seconds), **options})
        answer: SkillAnswer = await _execute(SKILL_RUN, call, policies.skill(facts, cap_seconds), **options)
        return answer

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of those that run at once.

        Raises:
            NotBegun: this was closed meanwhile.
        """
        async with self._slots:
            if self.closed:
                raise NotBegun
            yield

    def _prompt(self, call: SkillCall, facts: SkillFacts) -> SkillPrompt:
        return SkillPrompt(call=call, models=self._spec.models, max_retries=facts.max_retries)

    async def _settle(self, call: SkillCall, facts: SkillFacts, exc: ActivityError) -> SkillAnswer | None:
        """Find out what became of a `once` call that began and was lost. None: it did not happen, run it."""
        if facts.has_check:
            try:
                found = await _execute(SKILL_CHECK, call, policies.probe(), summary="did it happen? " + summary(call))
            except ActivityError as probe:
                if is_cancelled_exception(probe):
                    raise asyncio.CancelledError from probe
                found = CheckAnswer()
            if found.outcome == "done":
                return SkillAnswer(value=found.value or Value())
            if found.outcome == "not_done":
                return None
        return await self._ask(call, exc)

    async def _ask(self, call: SkillCall, exc: ActivityError) -> SkillAnswer | None:
        text = (
            f"{summary(call)} began, and its worker was lost before it reported ({failure(exc.cause).message}). "
            "It has effect `once`, so it is not run again by itself. Did it happen? "
            "Answer done (or {outcome: done, result: …}), retry, or failed."
        )
        asked_at = workflow.now().timestamp()
        question = Question(id=call.call_id, kind="outcome", text=text, options=list(OUTCOMES), asked_at=asked_at)
        self._questions.ask(question)
        closed = await self._questions.wait(call.call_id)
        if closed.state != "answered":
            text = f"{call.skill} began, and nobody could tell whether it happened ({closed.state})"
            return SkillAnswer(error=Failure(type="OutcomeUnknown", message=text))
        answer = closed.answer
        outcome = answer.get("outcome") if isinstance(answer, dict) else answer
        if outcome == "retry":
            return None
        if outcome == "done":
            result = answer.get("result") if isinstance(answer, dict) else None
            return SkillAnswer(value=Value(inline=result))
        return SkillAnswer(
            error=Failure(type="OutcomeFailed", message=f"a human says that {call.skill} did not happen")
        )


async def _execute(ref: ActivityRef[Any, Any], request: Any, policy: dict[str, Any], **options: Any) -> Any:
    return await workflow.execute_activity(ref.name, request, result_type=ref.gives, **policy, **options)


async def _locally(call: SkillCall, policy: dict[str, Any]) -> SkillAnswer:
    """Within the workflow task. Unlike that of an activity, its own failure comes bare."""
    try:
        answer: SkillAnswer = await workflow.execute_local_activity(
            SKILL_RUN.name, call, result_type=SkillAnswer, **policy
        )
        return answer
    except ApplicationError as exc:
        return SkillAnswer(error=failure(exc))


def _unknown(exc: ActivityError) -> bool:
    """Whether the call had begun and its outcome was lost, not reported."""
    cause = exc.cause
    if isinstance(cause, exceptions.TimeoutError):
        return cause.type in (TimeoutType.HEARTBEAT, TimeoutType.START_TO_CLOSE)
    return isinstance(cause, ApplicationError) and cause.type in OUTCOME_UNKNOWN


def is_overdue(exc: ActivityError) -> bool:
    """Whether an activity was given all the time that its task has, and it is over."""
    cause = exc.cause
    return isinstance(cause, exceptions.TimeoutError) and cause.type == TimeoutType.SCHEDULE_TO_CLOSE


def failure(cause: BaseException | None) -> Failure:
    """An activity's failure as data."""
    if isinstance(cause, ApplicationError):
        details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
        return Failure(type=cause.type or "SkillFailed", message=cause.message, details=details)
    if isinstance(cause, exceptions.TimeoutError):
        kind = cause.type.name.lower() if cause.type else "timeout"
        return Failure(type="SkillTimeout", message=f"no answer in time ({kind})")
    return Failure(type=type(cause).__name__, message=str(cause))


def summary(call: SkillCall) -> str:
    """`web-search(query='acme')`, cut to one short line: what the Temporal UI shows."""
    if call.arguments.ref:
        return f"{call.skill}({call.arguments.size_bytes} bytes of arguments)"
    pairs = call.arguments.inline or {}
    text = ", ".join(f"{name}={value!r}" for name, value in pairs.items())
    return f"{call.skill}({text if len(text) <= _SHOWN else text[:_SHOWN] + '…'})"
