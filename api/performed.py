"""What the activities of one run did, as milestones: plans, programs, attempts, calls, and what models took."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from temporalio.api.common.v1 import Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter

from holdfast.contracts.base import Contract
from holdfast.contracts.llm import (
    LLM_ANSWER,
    LLM_ASK,
    LLM_DELEGATE,
    LLM_MERGE,
    LLM_PLAN,
    LLM_PROGRAM,
    LLM_SKILL,
    LLM_TURN,
    Answer,
    DelegationPlan,
    Draft,
    DraftRequest,
    LoopTurn,
    ModelAsk,
    Plan,
    SkillPrompt,
    ToolUse,
)
from holdfast.contracts.milestone import AttemptMade, CallMade, Milestone, PlanMade, ProgramWritten, UsageTaken
from holdfast.contracts.model import LlmStep, Usage
from holdfast.contracts.program import PROGRAM_RUN, ProgramEnd, ProgramJob
from holdfast.contracts.skill import AGENT_RUN, SKILL_RUN, SkillAnswer, SkillCall
from holdfast.ids import call_id
from holdfast.temporal.markers import local_activity

M = TypeVar("M", bound=Contract)
Begun = tuple["Work", list[Milestone]]


@dataclass(frozen=True)
class Work:
    """An activity under way: what was told of its beginning, and, of a draft, what was asked."""

    kind: str
    at: float
    told: Milestone | None = None
    draft: DraftRequest | None = None


def at(event: HistoryEvent) -> float:
    """When, in UTC seconds since 1970."""
    return event.event_time.seconds + event.event_time.nanos / 1e9


async def read(converter: DataConverter, payloads: Payloads, kind: type[M]) -> M:
    """The one model that a payload holds."""
    found: list[M] = await converter.decode(payloads.payloads, [kind])
    return found[0]


class Performed:
    """`open` are activities under way, by the id of the event that scheduled them; `version` is the last one told."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter
        self.open: dict[int, Work] = {}
        self.occurrences: Counter[str] = Counter()
        """How often a loop asked for each call."""
        self.version = 0
        self._begins: Mapping[str, Callable[[HistoryEvent, Payloads], Awaitable[Begun]]] = {
            LLM_PLAN.name: self._plan,
            LLM_PROGRAM.name: self._draft,
            LLM_ANSWER.name: self._asked,
            LLM_TURN.name: self._asked,
            LLM_MERGE.name: self._asked,
            LLM_DELEGATE.name: self._delegate,
            LLM_SKILL.name: self._prompt,
            LLM_ASK.name: self._nested,
            PROGRAM_RUN.name: self._attempt,
            SKILL_RUN.name: self._call,
            AGENT_RUN.name: self._call,
        }
        self._ends: Mapping[str, Callable[[Work, float, Payloads], Awaitable[list[Milestone]]]] = {
            LLM_PLAN.name: self._planned,
            LLM_PROGRAM.name: self._drafted,
            LLM_ANSWER.name: self._answered,
            LLM_TURN.name: self._turned,
            LLM_MERGE.name: self._merged,
            LLM_DELEGATE.name: self._delegated,
            LLM_SKILL.name: self._returned,
            LLM_ASK.name: self._returned,
            PROGRAM_RUN.name: self._attempted,
            SKILL_RUN.name: self._returned,
            AGENT_RUN.name: self._returned,
        }

    @property
    def model_since(self) -> float | None:
        """Since when a model is being asked."""
        return min((work.at for work in self.open.values() if work.kind.startswith("llm.")), default=None)

    async def begun(self, event: HistoryEvent) -> list[Milestone]:
        attributes = event.activity_task_scheduled_event_attributes
        begin = self._begins.get(attributes.activity_type.name)
        work, told = await begin(event, attributes.input) if begin else (Work("", at(event)), [])
        self.open[event.event_id] = work
        return told

    async def done(self, event: HistoryEvent) -> list[Milestone]:
        attributes = event.activity_task_completed_event_attributes
        work = self.open.pop(attributes.scheduled_event_id)
        end = self._ends.get(work.kind)
        return await end(work, at(event), attributes.result) if end else []

    async def marked(self, event: HistoryEvent) -> list[Milestone]:
        """A call of a light skill: a local activity leaves one event, at its end."""
        ran, marker = local_activity(event), event.marker_recorded_event_attributes
        if ran is None or ran.kind != SKILL_RUN.name:
            return []
        [summary] = await self._converter.decode([event.user_metadata.summary], [str])
        told = CallMade(at=ran.began, id=ran.id, skill=summary.partition("(")[0], summary=summary)
        if marker.HasField("failure"):
            return [told, _ended(told, ran.ended, state="failed", error=marker.failure.message)]
        return [told, *await self._returned(Work(ran.kind, ran.began, told), ran.ended, marker.details["result"])]

    def failed(self, event: HistoryEvent, scheduled: int, why: str) -> list[Milestone]:
        told = self.open.pop(scheduled).told
        return [] if told is None else [_ended(told, at(event), state="failed", error=why)]

    # how each kind begins

    async def _plan(self, event: HistoryEvent, _asked: Payloads) -> Begun:
        told = PlanMade(at=at(event), state="started")
        return Work(LLM_PLAN.name, told.at, told), [told]

    async def _draft(self, event: HistoryEvent, asked: Payloads) -> Begun:
        return Work(LLM_PROGRAM.name, at(event), draft=await read(self._converter, asked, DraftRequest)), []

    async def _delegate(self, event: HistoryEvent, _asked: Payloads) -> Begun:
        told = PlanMade(at=at(event), state="started")
        return Work(LLM_DELEGATE.name, told.at, told), [told]

    async def _asked(self, event: HistoryEvent, _asked: Payloads) -> Begun:
        return Work(event.activity_task_scheduled_event_attributes.activity_type.name, at(event)), []

    async def _attempt(self, event: HistoryEvent, asked: Payloads) -> Begun:
        job = await read(self._converter, asked, ProgramJob)
        told = AttemptMade(at=at(event), version=job.version, generation=job.generation)
        written = self.written(told.at, job.version, job.source)
        return Work(PROGRAM_RUN.name, told.at, told), [*written, told]

    async def _call(self, event: HistoryEvent, asked: Payloads) -> Begun:
        return await self._called(SKILL_RUN.name, event, await read(self._converter, asked, SkillCall))

    async def _prompt(self, event: HistoryEvent, asked: Payloads) -> Begun:
        return await self._called(LLM_SKILL.name, event, (await read(self._converter, asked, SkillPrompt)).call)

    async def _nested(self, event: HistoryEvent, asked: Payloads) -> Begun:
        ask = await read(self._converter, asked, ModelAsk)
        return await self._called(LLM_ASK.name, event, ask, parent=ask.parent)

    async def _called(
        self, kind: str, event: HistoryEvent, call: SkillCall | ModelAsk, parent: str | None = None
    ) -> Begun:
        text = event.user_metadata.summary
        [summary] = await self._converter.decode([text], [str]) if text.ByteSize() else [call.skill]
        told = CallMade(at=at(event), id=call.call_id, skill=call.skill, summary=summary, parent=parent)
        return Work(kind, told.at, told), [told]

    # how each kind ends

    async def _planned(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        plan = await read(self._converter, given, Plan)
        told = PlanMade(
            at=when,
            state="failed" if plan.kind == "invalid" else "done",
            decision=plan.kind,
            skills=plan.selected_skills,
            reasoning=plan.reasoning,
            error=plan.problems or None,
        )
        return [told, *_took(when, plan.usage, "plan")]

    async def _drafted(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        """A first draft is told of when its workflow begins, a mended one here: one with problems is never run."""
        draft = await read(self._converter, given, Draft)
        asked = work.draft
        is_mended = asked is not None and asked.why and draft.kind == "program"
        told = self.written(when, asked.version, draft.source, asked.why, draft.problems) if is_mended and asked else []
        return [*told, *_took(when, draft.usage, "program")]

    async def _answered(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        return _took(when, (await read(self._converter, given, Answer)).usage, "answer")

    async def _merged(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        return _took(when, (await read(self._converter, given, Answer)).usage, "merge")

    async def _turned(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        turn = await read(self._converter, given, LoopTurn)
        return [*_took(when, turn.usage, "turn"), *(told for use in turn.calls for told in self._denied(when, use))]

    def _denied(self, when: float, use: ToolUse) -> list[Milestone]:
        """A call that cannot be made: nothing else in the history tells of it."""
        self.occurrences[use.digest] += 1
        if not use.problem:
            return []
        one, summary = call_id(use.digest, self.occurrences[use.digest]), f"{use.skill}({use.summary})"
        return [CallMade(at=when, id=one, skill=use.skill, summary=summary, state="failed", error=use.problem, ms=0)]

    async def _delegated(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        plan = await read(self._converter, given, DelegationPlan)
        told = PlanMade(
            at=when,
            state="failed" if plan.kind == "invalid" else "done",
            decision=plan.kind,
            reasoning=plan.reasoning,
            error=plan.problems or None,
        )
        return [told, *_took(when, plan.usage, "plan")]

    async def _attempted(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        end = await read(self._converter, given, ProgramEnd)
        assert work.told is not None
        state = "failed" if end.outcome == "raised" else end.outcome
        error = end.error.message if end.error else None
        return [_ended(work.told, when, state=state, attempt=end.attempt, error=error)]

    async def _returned(self, work: Work, when: float, given: Payloads) -> list[Milestone]:
        answer = await read(self._converter, given, SkillAnswer)
        assert isinstance(work.told, CallMade)
        error = answer.error.message if answer.error else None
        told = _ended(work.told, when, state="failed" if answer.error else "done", error=error)
        return [told, *_took(when, answer.usage, "call", work.told.id)]

    def written(self, when: float, version: int, source: str, why: str = "", problems: str = "") -> list[Milestone]:
        """A version of the program, if it is a new one."""
        if version <= self.version or not source:
            return []
        self.version = version
        lines = len(source.splitlines())
        return [ProgramWritten(at=when, version=version, lines=lines, why=why, problems=problems)]


def _ended(told: Milestone, when: float, **change: object) -> Milestone:
    took = {"ms": round((when - told.at) * 1000)} if isinstance(told, CallMade | AttemptMade) else {}
    return told.model_copy(update={"at": when, **took, **change})


def _took(
    when: float, usage: Iterable[Usage], step: LlmStep | Literal["call"], call: str | None = None
) -> list[Milestone]:
    return [
        UsageTaken(
            at=when,
            step=step,
            call=call,
            provider=one.provider,
            model=one.model,
            input_tokens=one.input_tokens,
            output_tokens=one.output_tokens,
            cached_tokens=one.cached_tokens,
            cost=None if one.cost is None else float(one.cost),
        )
        for one in usage
    ]
