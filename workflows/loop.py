"""The loop: a model calls skills, reads what they gave, and calls again, until it answers.

    TURN -> its calls, all at once, each by the journal -> TURN … -> the answer

A turn is one LLM activity. Between turns nothing runs: there the loop pauses, and continues as new.
"""

import asyncio
from collections import Counter

from temporalio import workflow
from temporalio.exceptions import FailureError

from holdfast.contracts.base import Failure, Value
from holdfast.contracts.journal import JournalView
from holdfast.contracts.llm import LLM_TURN, Brief, LoopTurn, ToolResult, ToolUse, TurnRequest
from holdfast.contracts.message import Part, TextPart
from holdfast.contracts.program import (
    Ask,
    Carried,
    Closing,
    NestMessage,
    NestReply,
    ProgramResult,
    ProgramSpec,
    Progress,
    Version,
)
from holdfast.contracts.work import TaskCarried, TaskSpec
from holdfast.ids import call_id
from workflows import saving
from workflows.agentcalls import AgentCalls
from workflows.children import Failed
from workflows.endings import through
from workflows.journal import Journal
from workflows.nesting import Nesting
from workflows.talk import Talk
from workflows.work import Work

SCOPE = "loop"
ALIKE = 3
"""So often a call may fail in the same way; then it is not made again. Asked for so often again, the task fails."""
GO_ON, STOP = "continue", "stop"
_NAMES = 5


class Loop:
    """The state of one task's loop; `talk` is its conversation, `journal` what was called."""

    def __init__(self, work: Work, spec: TaskSpec, talk: Talk) -> None:
        was = spec.carried or TaskCarried(started_at=work.began_at, allowed=spec.max_steps)
        self.work, self.spec, self.talk = work, spec, talk
        # Sent with every turn: what is at its default is left out.
        self._brief = Brief.model_validate(spec.brief.model_dump(exclude_defaults=True))
        self._version = Version(source="", began_at=work.began_at)
        program = _program(spec)
        agents = AgentCalls(program, work.task, work.children, work.left)
        self.journal = Journal(program, work.questions, _begun(self._version, was), work.purse, agents)
        self.nesting = Nesting(self.journal, lambda: not self._is_over)
        self.steps, self.allowed, self.generation = was.steps, was.allowed, was.generation
        self._say: list[Part] = list(was.say) if spec.carried else list(spec.say)
        self._results = list(was.results)
        self._occurrences = Counter(was.occurrences)
        self._failing = Counter(was.failing)
        self._segments = list(was.segments)
        self._updates = 0
        self._is_over = False

    # --- the story ------------------------------------------------------------------------------------------------

    async def run(self) -> Value:
        """The model's answer.

        Raises:
            Failed: it goes round in circles, a person stopped it, or the model cannot be asked.
        """
        try:
            value = await self._turns()
        except (Failed, FailureError, asyncio.CancelledError):
            await through(self._stopped())
            raise
        await self._ended()
        return value

    async def _turns(self) -> Value:
        while True:
            turn = await self._turn()
            if turn.kind == "answer":
                return turn.answer or Value(inline="")
            self._results = await self._made(turn.calls)
            self._judge(turn.calls)
            if self.steps >= self.allowed:
                await self._pause(turn.calls)
            if self._is_full():
                await self._continue_as_new()

    async def _turn(self) -> LoopTurn:
        self.steps += 1
        self.work.show(f"turn {self.steps}")
        # Only what there is: a field that is set stands in the history.
        told: dict[str, object] = {"head": self.talk.head, "say": self._say, "results": self._results}
        told |= {"output_schema": self.spec.output_schema}
        request = TurnRequest.model_validate({"brief": self._brief, **{key: one for key, one in told.items() if one}})
        summary = f"turn {self.steps}"
        turn: LoopTurn = await self.talk.ask(LLM_TURN.name, request, LoopTurn, "turn", summary)
        self._say, self._results = [], []
        self.talk.say_of_last(f"{summary}: {_named(turn.calls) or 'answer'}")
        return turn

    async def _made(self, uses: list[ToolUse]) -> list[ToolResult]:
        """What became of the calls of a turn, in their order. They run at the same time."""
        self.work.show(f"turn {self.steps}: {_named(uses)}")
        asks = [self._asked(use) for use in uses]
        for use, ask in zip(uses, asks, strict=True):
            if why := self._refused(use):
                self.journal.refuse(ask, self._version, why)
            else:
                self.journal.ask(ask, self._version)
        ids = [ask.id for ask in asks]
        await workflow.wait_condition(lambda: self.journal.fault is not None or self.journal.are_over(ids))
        if self.journal.fault is not None:
            raise self.journal.fault
        answers = {one.id: one for one in self.journal.answers(ids)}
        return [_result(use, answers[ask.id].value, answers[ask.id].error) for use, ask in zip(uses, asks, strict=True)]

    def _asked(self, use: ToolUse) -> Ask:
        self._occurrences[use.digest] += 1
        one = call_id(use.digest, self._occurrences[use.digest])
        return Ask(id=one, skill=use.skill, arguments=use.arguments, number=self.journal.calls)

    def _refused(self, use: ToolUse) -> Failure | None:
        """Why a call is not made."""
        if self._failing[use.digest] >= ALIKE:
            text = f"not made: this call of {use.skill!r} failed {ALIKE} times in the same way; do something else"
            return Failure(type="RepeatedCall", message=text)
        if use.problem:
            return Failure(type="CallInvalid", message=use.problem)
        most = self.spec.limits.max_calls
        if self.journal.calls >= most:
            return Failure(type="TooManyCalls", message=f"not made: the task has made its {most} calls")
        return None

    def _judge(self, uses: list[ToolUse]) -> None:
        """Count calls that fail again and again, and say so to the model.

        Raises:
            Failed: it was told, and goes on.
        """
        for use, result in zip(uses, self._results, strict=True):
            if result.error is None:
                self._failing.pop(use.digest, None)
                continue
            self._failing[use.digest] += 1
            if self._failing[use.digest] == ALIKE:
                self._say.append(TextPart(text=_guidance(use, result.error)))
            if self._failing[use.digest] >= 2 * ALIKE:
                raise Failed(_stuck(use, result.error))

    async def _pause(self, uses: list[ToolUse]) -> None:
        """Ask whether to go on.

        Raises:
            Failed: a person stopped it.
        """
        more = self.spec.max_steps
        text = (
            f"The task has taken {self.steps} turns and has no answer yet; the last one called {_named(uses)}. "
            f"Go on for {more} more? (limits.max_steps of the agent)"
        )
        self.work.show("paused")
        closed = await self.work.ask(f"continue.{self.allowed // more}", text, [GO_ON, STOP])
        if closed.answer != GO_ON:
            text = f"stopped after {self.steps} turns without an answer, as a person said"
            raise Failed(Failure(type="LoopStopped", message=text))
        self.allowed += more

    # --- ends -----------------------------------------------------------------------------------------------------

    async def _stopped(self) -> None:
        """A `once` call in flight may end within the grace, all else stops now."""
        self.journal.begin_nothing()
        self.journal.cancel_repeatable()
        await self._ended()

    async def _ended(self) -> None:
        self._is_over = True
        await self.journal.settle(self.spec.tuning.drain_seconds)
        questions = self.work.questions.carried()
        if questions:
            # That segment is read in the history: it holds no calls.
            await self._save()
        closing = Closing(version=self._version, seed=0, started_at=self.work.began_at, questions=questions)
        await self._save(closing)

    async def _save(self, closing: Closing | None = None) -> None:
        """What was called and asked since the last segment goes to a blob."""
        if closing is None and not self.journal.unsaved and not self.talk.llm:
            return
        llm, self.talk.llm = self.talk.llm, []
        segment = self.journal.take_segment(1, closing)
        try:
            saved = await saving.segment(segment.model_copy(update={"llm": llm}))
        except BaseException:
            self.journal.put_back(segment)
            self.talk.llm = [*llm, *self.talk.llm]
            raise
        self._segments.append(saved.ref)

    def _is_full(self) -> bool:
        info, tuning = workflow.info(), self.spec.tuning
        return (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() > tuning.bound_events
            or self._updates > tuning.bound_updates
        )

    async def _continue_as_new(self) -> None:
        """Nothing runs between turns. There is no await between the last look and the act."""
        await self.work.record.written()
        await self._save()
        if self.work.purse.is_open:
            await self.work.purse.flushed()
        await workflow.wait_condition(workflow.all_handlers_finished)
        runs = self.journal.tasks or self.journal.unsaved or self.work.children.are_open
        if not runs and self.work.purse.is_quiet:
            workflow.continue_as_new(self.spec.model_copy(update={"carried": self._carry()}))

    def _carry(self) -> TaskCarried:
        return TaskCarried(
            head=self.talk.head,
            started_at=self.work.began_at,
            steps=self.steps,
            allowed=self.allowed,
            results=self._results,
            say=self._say,
            occurrences=dict(self._occurrences),
            failing=dict(self._failing),
            segments=self._segments,
            recorded=self.journal.recorded,
            calls=self.journal.calls,
            questions=self.work.questions.carried(),
            spent=self.talk.spent.joined(self.journal.spent),
            generation=self.generation + 1,
            budget=self.work.purse.carried(),
            approvals=self.journal.approvals.carried(),
        )

    # --- what others see and say ----------------------------------------------------------------------------------

    @property
    def is_calling(self) -> bool:
        return bool(self.journal.tasks)

    async def nest(self, message: NestMessage) -> NestReply:
        self._updates += 1
        return await self.nesting.take(message, self._version)

    def progress(self, own: Progress) -> Progress:
        """How the task stands, with its calls."""
        calls = {
            "spent": own.spent.joined(self.journal.spent),
            "runs": self.generation,
            "calls_done": self.journal.recorded,
            "calls_open": len(self.journal.tasks),
            "open_calls": self.journal.open_entries(),
        }
        return own.model_copy(update=calls)

    def view(self) -> JournalView:
        fresh = [self.journal.entries[one] for one in self.journal.unsaved]
        return JournalView(
            segments=self._segments,
            fresh=[*fresh, *self.journal.open_entries()],
            llm=self.talk.llm,
            started_at=self.work.began_at,
        )

    def result(self, result: ProgramResult) -> ProgramResult:
        did = {
            "calls": self.journal.recorded,
            "runs": self.generation,
            "journal": self._segments,
            "spent": self.talk.spent.joined(self.journal.spent),
            "llm": self.talk.llm,
        }
        return result.model_copy(update=did)


def _program(spec: TaskSpec) -> ProgramSpec:
    """The task as the journal knows one."""
    return ProgramSpec(
        task=spec.brief.task,
        type=spec.type,
        models=spec.brief.models,
        catalogue=spec.brief.catalogue,
        skills=spec.skills,
        limits=spec.limits,
        tuning=spec.tuning,
        scope=SCOPE,
        depth=spec.depth,
        is_budgeted=spec.is_budgeted,
        agent=spec.brief.agent,
        clarification=spec.clarification,
        above=spec.above,
    )


def _begun(version: Version, was: TaskCarried) -> Carried:
    return Carried(
        version=version,
        generation=0,
        runs=was.generation,
        repairs=0,
        seed=0,
        started_at=was.started_at,
        recorded=was.recorded,
        calls=was.calls,
        approvals=was.approvals,
    )


def _result(use: ToolUse, value: Value | None, error: Failure | None) -> ToolResult:
    if error is not None:
        return ToolResult(id=use.id, skill=use.skill, error=error)
    return ToolResult(id=use.id, skill=use.skill, value=value or Value())


def _named(uses: list[ToolUse]) -> str:
    """`echo, boom (2 times)`, the first five."""
    counted = Counter(use.skill or "?" for use in uses)
    names = [name if times == 1 else f"{name} ({times} times)" for name, times in counted.items()]
    return ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")


def _guidance(use: ToolUse, error: Failure) -> str:
    return (
        f"The same call of {use.skill} has failed {ALIKE} times: {error.message[:500]}\nIt is not made again. Use "
        "other arguments or another tool, or answer with what you have and say what is missing."
    )


def _stuck(use: ToolUse, error: Failure) -> Failure:
    text = (
        f"the model asks for the same call of {use.skill!r} again and again: it failed {ALIKE} times, was then refused "
        f"{ALIKE} times, and the model was told so. Its last error: {error.message[:500]}"
    )
    return Failure(type="LoopStuck", message=text)
