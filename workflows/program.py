"""ProgramWorkflow: runs one program to its end, whatever dies meanwhile.

    BOX -> DRAIN -> WAIT | continue-as-new | REPAIR | next BOX | END

It owns the box activity, takes the box's calls as updates, and runs each as an activity of its own. Suspending
the program is one mechanism for everything: a long wait, a full history, a mended source, a lost worker. The
program runs again from its first line, and the journal answers what it asked before.
"""

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from holdfast.contracts import program as contracts
from holdfast.contracts.base import Failure
from holdfast.contracts.journal import JournalView
from holdfast.contracts.program import (
    CallsMessage,
    CallsReply,
    Carried,
    Closing,
    HelloMessage,
    HelloReply,
    ParkReason,
    ProgramEnd,
    ProgramJob,
    ProgramResult,
    ProgramSpec,
    Progress,
    RecordChange,
    SavedSegment,
    SaveSegment,
    TaskState,
    Version,
)
from holdfast.contracts.question import AnswerMessage, Question
from workflows import policies
from workflows.effects import failure
from workflows.journal import Journal
from workflows.questions import Questions

_NEAR = 0.3
"""A suspended program continues-as-new early, at this part of the history bound: then it costs no extra suspension."""

_OVERTAKEN = 4
"""A message that is this many older than the newest hands its open calls on."""


@workflow.defn(name=contracts.PROGRAM_WORKFLOW)
class ProgramWorkflow:
    @workflow.init
    def __init__(self, spec: ProgramSpec) -> None:
        self.spec = spec
        self.limits, self.tuning = spec.limits, spec.tuning
        now = workflow.now().timestamp()
        first = Version(source=spec.source, first_line=spec.first_line, began_at=now)
        carried = spec.carried or Carried(
            version=first, generation=0, runs=1, repairs=0, seed=workflow.random().getrandbits(48), started_at=now
        )
        self.was = carried
        self.version = carried.version
        self.generation, self.repairs = carried.generation, carried.repairs
        self.suspensions = carried.suspensions
        self.segments = list(carried.segments)
        self.questions = Questions(carried.questions)
        self.journal = Journal(spec, self.questions, carried)
        self.parked_on = list(carried.parked_on)
        self.wake_at = carried.wake_at
        self.state: TaskState = "RUNNING"
        self.box = False
        self.park: ParkReason | None = None
        self.attempt = 1
        self.order = -1
        self.idle = False
        self.told = 0
        self.timer_at: float | None = None
        self.updates = 0
        self.expired = False

    # --- the story ------------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, spec: ProgramSpec) -> ProgramResult:
        if spec.carried is None:
            await self._record("RUNNING")
        story = asyncio.create_task(self._story())
        watching = (self._deadline(story), self._watch_idle(), self._watch_slow(), self._watch_faults(story))
        watches = [asyncio.create_task(one) for one in watching]
        try:
            end = await story
        except asyncio.CancelledError:
            if self.journal.fault is not None:
                raise self.journal.fault from None
            await self._stopped()
            return await self._close("TIMED_OUT", ProgramEnd(outcome="raised", error=self._overdue()))
        finally:
            for watch in watches:
                watch.cancel()
        return await self._close("DONE" if end.outcome == "done" else "ERROR", end)

    async def _story(self) -> ProgramEnd:
        while True:
            if self.parked_on:
                await self._wait()
            end = await self._run_box()
            self.journal.see(end.seen_from, end.seen)
            if end.outcome != "suspended":
                self.parked_on = []
            if end.outcome == "done" or (end.outcome == "raised" and not await self._mend(end)):
                await self.journal.settle(self.tuning.drain_seconds)
                await self._drain(self._closing(end.unused))
                return end
            await self._drain()
            if self._near(_NEAR):
                await self._continue_as_new()

    async def _run_box(self) -> ProgramEnd:
        """BOX: one generation of a box. It ends by itself, or because a reply said `park`."""
        self.generation += 1
        self.attempt, self.order, self.idle, self.timer_at = 1, -1, False, None
        self.park, self.box, self.told = None, True, 0
        self.journal.begin_again()
        handle = workflow.start_activity(
            contracts.PROGRAM_RUN.name,
            self._job(),
            result_type=ProgramEnd,
            summary=f"program version {self.version.number}, generation {self.generation}",
            **policies.BOX,
        )
        try:
            await workflow.wait_condition(handle.done)
            end: ProgramEnd = await handle
            return end
        except ActivityError as exc:
            if is_cancelled_exception(exc):
                raise asyncio.CancelledError from exc
            return ProgramEnd(outcome="raised", error=failure(exc.cause))
        except asyncio.CancelledError:
            self.park = "timeout" if self.expired else "cancel"
            handle.cancel()
            await asyncio.shield(_finished(handle))
            raise
        finally:
            self.box = False

    async def _drain(self, closing: Closing | None = None) -> None:
        """DRAIN: all handlers have answered and the journal is saved. Calls may still run, and land later."""
        while True:
            await workflow.wait_condition(workflow.all_handlers_finished)
            if closing is None and not self.journal.unsaved and not self.journal.seen:
                return
            segment = self.journal.take_segment(self.version.number, closing)
            try:
                self.segments.append(await self._save(segment))
            except BaseException:
                self.journal.put_back(segment)
                raise
            closing = None

    async def _wait(self) -> None:
        """WAIT: no box. Until one of the calls that the program waits for is answered, or its own timer is due."""
        await self._record("WAITING")
        left = None if self.wake_at is None else max(0.0, self.wake_at - workflow.now().timestamp())
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self.journal.has_answer(self.parked_on), timeout=left)
        self.parked_on, self.wake_at = [], None
        await self._record("RUNNING")
        await self._drain()

    async def _mend(self, end: ProgramEnd) -> bool:
        """REPAIR: whether there is a new version of the program to run."""
        if self.spec.on_error != "ask" or self.repairs >= self.limits.max_repairs:
            return False
        self.repairs += 1
        await self._drain()
        question_id = f"repair.{self.repairs}"
        now = workflow.now().timestamp()
        text = end.error.message if end.error else "the program failed"
        self.questions.ask(Question(id=question_id, kind="repair", text=text, asked_at=now))
        await self._record("WAITING")
        answer = (await self.questions.wait(question_id)).answer
        await self._record("RUNNING")
        source = answer if isinstance(answer, dict) else {"source": str(answer)}
        fields = {"number": self.version.number + 1, "began_at": workflow.now().timestamp(), "why": text}
        self.version = Version.model_validate({**source, **fields})
        self.journal.restart_order()
        return True

    async def _continue_as_new(self) -> None:
        """CAN: legal when nothing is left in this run. There is no await between the last look and the act."""
        await workflow.wait_condition(self.journal.only_data_open)
        await self._drain()
        if self.journal.only_data_open() and not self.journal.unsaved and workflow.all_handlers_finished():
            workflow.continue_as_new(self.spec.model_copy(update={"carried": self._carry()}))

    async def _stopped(self) -> None:
        """Cancelled or out of time: a `once` call in flight may end within the grace, all else stops now."""
        self.park = self.park or "cancel"
        self.journal.begin_nothing()
        self.journal.cancel_repeatable()
        await self.journal.settle(self.tuning.drain_seconds)
        await self._drain(self._closing([]))
        if not self.expired:
            await self._record("CANCELLED", self._result("CANCELLED", None))
            raise asyncio.CancelledError

    async def _close(self, state: TaskState, end: ProgramEnd) -> ProgramResult:
        """END: the record is final. A program that failed fails its workflow: it is never shown as a success."""
        result = self._result(state, end)
        await self._record(state, result)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if state == "DONE":
            return result
        error = result.error or Failure(type="ProgramFailed", message="the program failed")
        raise ApplicationError(error.message, result.model_dump(mode="json"), type=error.type, non_retryable=True)

    # --- what others say ------------------------------------------------------------------------------------------

    @workflow.update(name=contracts.UPDATE_CALLS)
    async def calls(self, message: CallsMessage) -> CallsReply:
        """Take new calls; answer as soon as any of them is answered, or the box must go."""
        self.updates += 1
        self.journal.see(message.seen_from, message.seen)
        self.journal.drop(message.drops)
        self._heard(message)
        if self.park is None and self._near(1.0):
            self.park = "history"
            self.journal.begin_nothing()
        if self.park is None and self.box:
            for ask in message.asks:
                self.journal.ask(ask, self.version)
            self.journal.want(message.again)
        ids = [*(ask.id for ask in message.asks), *message.again]
        if ids:
            await workflow.wait_condition(lambda: self._is_stale(message) or self.journal.has_answer(ids))
        self._show()
        answers = self.journal.answers(ids)
        if answers and message.attempt == self.attempt:
            self.told += len(answers)
            self.idle = False
        return CallsReply(answers=answers, park=self.park)

    @calls.validator
    def _check_calls(self, message: CallsMessage) -> None:
        if (message.generation, message.attempt) != (self.generation, self.attempt) or not self.box:
            raise ApplicationError(f"stale: generation {message.generation}, attempt {message.attempt}", type="Stale")

    @workflow.update(name=contracts.UPDATE_HELLO)
    async def hello(self, message: HelloMessage) -> HelloReply:
        """The first word of a box's attempt >= 2. From here on nothing of an earlier attempt is heard."""
        self.attempt, self.order, self.idle, self.told = message.attempt, -1, False, 0
        self.journal.listen()
        return HelloReply(answers=self.journal.unsaved_answers(), seen=self.journal.seen, park=self.park)

    @hello.validator
    def _check_hello(self, message: HelloMessage) -> None:
        if message.generation != self.generation or message.attempt < self.attempt or not self.box:
            raise ApplicationError(f"stale: generation {message.generation}, attempt {message.attempt}", type="Stale")

    @workflow.update(name=contracts.UPDATE_ANSWER)
    async def answer(self, message: AnswerMessage) -> None:
        """Answer an open question. A second answer is refused, and leaves no event."""
        self.questions.answer(message)

    @answer.validator
    def _check_answer(self, message: AnswerMessage) -> None:
        self.questions.check(message)

    @workflow.signal(name=contracts.SIGNAL_ANSWER)
    async def answer_question(self, message: AnswerMessage) -> None:
        """The same by signal. What cannot be taken is logged: a signal has no reply."""
        try:
            self.questions.check(message)
        except ApplicationError as exc:
            workflow.logger.warning(
                "question.answer_refused", extra={"reason": exc.message, "trace_id": self.spec.task.trace_id}
            )
        else:
            self.questions.answer(message)

    @workflow.query(name=contracts.QUERY_PROGRESS)
    def progress(self) -> Progress:
        """What a watcher sees now."""
        return Progress(
            state=self.state,
            version=self.version.number,
            generation=self.generation,
            runs=self.was.runs,
            calls_done=self.journal.recorded,
            calls_open=len(self.journal.tasks),
            repairs=self.repairs,
            suspensions=self.suspensions,
            box=self.box,
            source=self.version.source,
            questions=list(self.questions.all.values()),
            open_calls=self.journal.open_entries(),
        )

    @workflow.query(name=contracts.QUERY_JOURNAL)
    def journal_view(self) -> JournalView:
        """Where the journal is: saved segments, and what is not saved yet."""
        fresh = [self.journal.entries[one] for one in self.journal.unsaved]
        return JournalView(
            segments=self.segments,
            fresh=[*fresh, *self.journal.open_entries()],
            seen=self.journal.seen,
            version=self.version.number,
            source=self.version.source,
            seed=self.was.seed,
            started_at=self.was.started_at,
        )

    # --- watching -------------------------------------------------------------------------------------------------

    async def _deadline(self, story: "asyncio.Task[ProgramEnd]") -> None:
        left = self.was.started_at + self.limits.task_seconds - workflow.now().timestamp()
        await workflow.sleep(timedelta(seconds=max(0.0, left)))
        self.expired = True
        story.cancel()

    async def _watch_idle(self) -> None:
        """Park a guest that is idle and has nothing but long calls open, once it has been so for a moment."""
        while True:
            await workflow.wait_condition(self._is_stuck)
            if not await self._moves_on(self._marks()) and self._is_stuck():
                self.parked_on, self.wake_at = sorted(self.journal.wanted), self.timer_at
                self.suspensions += 1
                self.park = "wait"

    async def _moves_on(self, before: tuple[int, ...]) -> bool:
        try:
            await workflow.wait_condition(lambda: self._marks() != before, timeout=self.tuning.park_after_seconds)
        except TimeoutError:
            return False
        return True

    def _marks(self) -> tuple[int, ...]:
        return self.generation, self.attempt, self.order, self.journal.changes

    async def _watch_slow(self) -> None:
        """Look again, now and then, whether what is open has become slow. One timer, whatever the number of calls."""
        while True:
            await workflow.wait_condition(lambda: self.box and not self.park and self.journal.short_open())
            await workflow.sleep(timedelta(seconds=self.tuning.slow_after_seconds))

    def _is_stuck(self) -> bool:
        if not (self.box and self.idle and self.park is None):
            return False
        soon = workflow.now().timestamp() + self.tuning.slow_after_seconds
        if self.timer_at is not None and self.timer_at < soon:
            return False
        return self.journal.waits_long(self.tuning.slow_after_seconds)

    def _is_stale(self, message: CallsMessage) -> bool:
        """Whether nothing is to be waited for under this message: the box goes, or newer ones carry its calls on.

        The server takes ten updates at once. Calls that stay open move to later messages and share one.
        """
        overtaken = message.attempt != self.attempt or self.order - message.order >= _OVERTAKEN
        return bool(self.park) or not self.box or overtaken

    async def _watch_faults(self, story: "asyncio.Task[ProgramEnd]") -> None:
        """A bug in the journal must fail the workflow task, wherever the story stands."""
        await workflow.wait_condition(lambda: self.journal.fault is not None)
        story.cancel()

    def _heard(self, message: CallsMessage) -> None:
        if message.order > self.order:
            self.order, self.idle = message.order, message.idle and message.heard == self.told
            seconds = message.timer_seconds
            self.timer_at = None if seconds is None else workflow.now().timestamp() + seconds

    def _near(self, part: float) -> bool:
        info = workflow.info()
        return (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() > part * self.tuning.bound_events
            or self.updates > part * self.tuning.bound_updates
        )

    # --- parts ----------------------------------------------------------------------------------------------------

    def _job(self) -> ProgramJob:
        return ProgramJob(
            task=self.spec.task,
            source=self.version.source,
            first_line=self.version.first_line,
            inputs=self.spec.inputs,
            version=self.version.number,
            version_began_at=self.version.began_at,
            generation=self.generation,
            seed=self.was.seed,
            started_at=self.was.started_at,
            segments=self.segments,
            catalogue=self.spec.catalogue,
            skills=[facts.name for facts in self.spec.skills],
            scope=self.spec.scope,
            limits=self.limits,
            tuning=self.tuning,
        )

    def _carry(self) -> Carried:
        return Carried(
            version=self.version,
            generation=self.generation,
            runs=self.was.runs + 1,
            repairs=self.repairs,
            seed=self.was.seed,
            started_at=self.was.started_at,
            segments=self.segments,
            recorded=self.journal.recorded,
            seen_saved=self.journal.seen_saved,
            calls=self.journal.calls,
            suspensions=self.suspensions,
            open_entries=self.journal.open_entries(),
            questions=self.questions.carried(),
            parked_on=[] if self.journal.has_answer(self.parked_on) else self.parked_on,
            wake_at=self.wake_at,
        )

    def _result(self, state: TaskState, end: ProgramEnd | None) -> ProgramResult:
        return ProgramResult(
            state=state,
            value=end.value if end else None,
            error=end.error if end else None,
            stdout=end.stdout if end else "",
            version=self.version.number,
            calls=self.journal.recorded,
            repairs=self.repairs,
            suspensions=self.suspensions,
            generations=self.generation,
            runs=self.was.runs,
            journal=self.segments,
        )

    def _closing(self, unused: list[str]) -> Closing:
        questions = self.questions.carried()
        was = self.was
        return Closing(
            version=self.version, seed=was.seed, started_at=was.started_at, questions=questions, unused=unused
        )

    def _overdue(self) -> Failure:
        text = f"the task ran longer than its limit of {self.limits.task_seconds:g} s (limits.task_seconds)"
        return Failure(type="TaskTimeout", message=text, details={"kind": "timeout"})

    async def _record(self, state: TaskState, result: ProgramResult | None = None) -> None:
        self.state = state
        self._show()
        change = RecordChange(task=self.spec.task, state=state, result=result)
        await workflow.execute_activity(contracts.RECORD_SAVE.name, change, summary=state, **policies.SAVE)

    async def _save(self, segment: contracts.Segment) -> str:
        saved: SavedSegment = await workflow.execute_activity(
            contracts.JOURNAL_SAVE.name,
            SaveSegment(segment=segment),
            result_type=SavedSegment,
            summary=f"{len(segment.entries)} calls",
            **policies.SAVE,
        )
        return saved.ref

    def _show(self) -> None:
        """What the Temporal UI shows as current details."""
        done, total = self.journal.recorded, self.journal.recorded + len(self.journal.tasks)
        lines = [f"**{self.state}**: {done} of {total} calls answered, version {self.version.number}"]
        lines += [f"- question `{one.id}`: {one.text[:200]}" for one in self.questions.open]
        workflow.set_current_details("\n".join(lines))


async def _finished(handle: "workflow.ActivityHandle[ProgramEnd]") -> None:
    await workflow.wait_condition(handle.done)
    await workflow.wait_condition(workflow.all_handlers_finished)
