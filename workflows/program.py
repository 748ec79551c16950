"""ProgramWorkflow: runs one program to its end, whatever dies meanwhile.

    BOX -> DRAIN -> WAIT | continue-as-new | REPAIR | next BOX | END

It owns the box activity, takes the box's calls as updates, and runs each as an activity of its own. Suspending
the program is one mechanism for everything: a long wait, a full history, a mended source, a lost worker. The
program runs again from its first line, and the journal answers what it asked before.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from holdfast.contracts import program as contracts
from holdfast.contracts.base import Failure, Sha256, Value
from holdfast.contracts.journal import JournalView
from holdfast.contracts.model import Spent
from holdfast.contracts.principal import PROGRAM
from holdfast.contracts.program import (
    Ask,
    CallsMessage,
    CallsReply,
    Carried,
    Closing,
    HelloMessage,
    HelloReply,
    NestMessage,
    NestReply,
    Outcome,
    ProgramEnd,
    ProgramJob,
    ProgramReport,
    ProgramResult,
    ProgramSpec,
    Progress,
    TaskState,
    Version,
)
from holdfast.contracts.work import SIGNAL_REPORT
from workflows import policies, saving
from workflows.agentcalls import AgentCalls, place
from workflows.answering import Answering
from workflows.box import BoxState
from workflows.budget import Budgeted, Purse
from workflows.children import Children
from workflows.effects import TASK_TIMEOUT, failure
from workflows.endings import settled, through
from workflows.journal import Journal
from workflows.mending import NotMended
from workflows.nesting import Nesting
from workflows.parking import Parking
from workflows.questions import Questions
from workflows.repairs import Repairs, why_of
from workflows.saving import Record

Message = TypeVar("Message", ProgramJob, ProgramResult)

_NEAR = 0.3
"""A suspended program continues-as-new early, at this part of the history bound: then it costs no extra suspension."""


# Not in the SDK's sandbox: see TaskWorkflow.
@workflow.defn(name=contracts.PROGRAM_WORKFLOW, sandboxed=False)
class ProgramWorkflow(Budgeted, Answering):
    @workflow.init
    def __init__(self, spec: ProgramSpec) -> None:
        self.spec, self.task = spec, spec.task
        self.limits, self.tuning = spec.limits, spec.tuning
        now = workflow.now().timestamp()
        first = Version(source=spec.source, first_line=spec.first_line, began_at=now, problems=spec.problems)
        carried = spec.carried or Carried(
            version=first, generation=0, runs=1, repairs=0, seed=workflow.random().getrandbits(48), started_at=now
        )
        self.was = carried
        self.version = carried.version
        self.segments = list(carried.segments)
        self.questions = Questions(carried.questions, spec.task)
        of_agent = spec.author is not None
        self.parent = spec.task.workflow_id if of_agent else spec.reports_to or spec.task.parent_workflow_id
        self.purse = Purse(spec.task, self.questions, spec.budget, spec.is_budgeted, carried.budget, of_agent)
        self.children = Children(place(spec), self.purse, carried.reports)
        agents = AgentCalls(spec, place(spec), self.children, self._left)
        self.journal = Journal(spec, self.questions, carried, self.purse, agents)
        self.repairs = Repairs(spec, carried, self.purse, self.questions, self._record)
        self.state: TaskState = "RUNNING"
        self.box = BoxState(carried.generation)
        self.parking = Parking(self.box, self.journal, spec.tuning, carried)
        self.nesting = Nesting(self.journal, self._holds_updates)
        # A report may have been on its way when the run before this one ended: a later run reports at once.
        self.reported: tuple[TaskState, int] = (self.state, 0 if spec.carried is None else -1)
        self.draining = False
        self.closing = False
        self.final_source: Sha256 | None = None
        self.updates = 0
        self.expired = False
        self.record = Record(spec.task, spec.type, carried.started_at)

    # --- the story ------------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, spec: ProgramSpec) -> ProgramResult:
        watches: list[asyncio.Task[None]] = []
        try:
            story = asyncio.create_task(self._story())
            watches += [asyncio.create_task(one) for one in self._watching(story)]
            end = await story
        except (asyncio.CancelledError, ActivityError) as exc:
            if self.journal.fault is not None:
                raise self.journal.fault from None
            if not is_cancelled_exception(exc):
                raise
            await self._stopped()
            return await through(self._close("TIMED_OUT", ProgramEnd(outcome="raised", error=self._overdue())))
        finally:
            for watch in watches:
                watch.cancel()
        return await through(self._close("DONE" if end.outcome == "done" else "ERROR", end))

    async def _story(self) -> ProgramEnd:
        if self.spec.call is not None:
            return await self._one_call(self.spec.call)
        while True:
            if self.parking.calls:
                await self._wait()
            end = self._refused() or await self._run_box()
            self.journal.see(end.seen_from, end.seen)
            if end.outcome != "suspended":
                self.parking.calls = []
            if end.outcome == "raised":
                end = await self._mended(end)
            if end.outcome != "suspended":
                return await self._ended(end)
            await self._drain()
            if self._near(_NEAR):
                await self._continue_as_new()

    async def _one_call(self, ask: Ask) -> ProgramEnd:
        """No program: one call is the whole work. It is journalled, fenced and asked about like any other."""
        self.journal.ask(ask, self.version)
        while not self.journal.has_answer([ask.id]):
            state: TaskState = "WAITING" if self._waits_for_people() else "RUNNING"
            if state != self.state:
                await self._record(state)
            await workflow.wait_condition(
                lambda: self.journal.has_answer([ask.id]) or self._waits_for_people() != (self.state == "WAITING")
            )
        [answer] = self.journal.answers([ask.id])
        outcome: Outcome = "raised" if answer.error else "done"
        return await self._ended(ProgramEnd(outcome=outcome, value=answer.value, error=answer.error))

    def _waits_for_people(self) -> bool:
        if self.children.are_open:
            return self.children.standing("RUNNING") == "WAITING"
        return bool(self.questions.open) or self.purse.waits

    def _refused(self) -> ProgramEnd | None:
        """A version that a check found wrong is not run."""
        if not self.version.problems:
            return None
        error = Failure(type="ProgramInvalid", message=self.version.problems, details={"kind": "validation"})
        return ProgramEnd(outcome="raised", error=error)

    async def _ended(self, end: ProgramEnd) -> ProgramEnd:
        self.closing = True
        await self.journal.settle(self.tuning.drain_seconds)
        await self.children.call_off_rest()
        await self._drain(self._closing(end.unused))
        if self.purse.is_open:
            await self.purse.close()
        return end

    async def _run_box(self) -> ProgramEnd:
        """BOX: one generation of a box. It ends by itself, or because a reply said `park`."""
        self.box.begin()
        self.journal.begin_again()
        handle = workflow.start_activity(
            contracts.PROGRAM_RUN.name,
            self._job(),
            result_type=ProgramEnd,
            summary=f"program version {self.version.number}, generation {self.box.generation}",
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
            self.box.park = "timeout" if self.expired else "cancel"
            handle.cancel()
            await asyncio.shield(_finished(handle))
            raise
        finally:
            self.box.is_up = False

    async def _drain(self, closing: Closing | None = None) -> None:
        """DRAIN: all handlers have answered and the journal is saved. Calls may still run, and land later."""
        self.draining = True
        try:
            await self._drained(closing)
        finally:
            self.draining = False

    async def _drained(self, closing: Closing | None) -> None:
        while True:
            await workflow.wait_condition(workflow.all_handlers_finished)
            if closing is None and not self.journal.unsaved and not self.journal.seen:
                return
            segment = self.journal.take_segment(self.version.number, closing)
            try:
                saved = await saving.segment(segment)
            except BaseException:
                self.journal.put_back(segment)
                raise
            self.segments.append(saved.ref)
            self.final_source = saved.source
            closing = None

    async def _wait(self) -> None:
        """WAIT: no box. Until one of the calls that the program waits for is answered, or its own timer is due."""
        await self._record(self._parked())
        following = asyncio.create_task(self._follow_agents())
        try:
            await self.parking.over()
        finally:
            following.cancel()
        self.parking.end()
        await self._record("RUNNING")
        await self._drain()

    def _parked(self) -> TaskState:
        """A program without a box waits, unless an agent works for it."""
        return self.children.standing("WAITING")

    async def _follow_agents(self) -> None:
        """Record when the agents that a program waits for begin to wait for people, and when they go on."""
        while True:
            await workflow.wait_condition(lambda: self._parked() != self.state)
            await self._record(self._parked())

    async def _mended(self, end: ProgramEnd) -> ProgramEnd:
        """`suspended` if there is a new version of the program to run, else the end that stands."""
        if (final := self.repairs.final(end)) is not None:
            return final
        self.repairs.count += 1
        await self._drain()
        why = why_of(end)
        try:
            self.version = await self.repairs.next_version(self.version, why, self._left())
        except NotMended as exc:
            if exc.failure.type == TASK_TIMEOUT:
                self.expired = True
                raise asyncio.CancelledError from exc
            error = Failure(type=exc.failure.type, message=f"{why}\nNot mended: {exc.failure.message}")
            return end.model_copy(update={"error": error})
        self.journal.restart_order()
        return ProgramEnd(outcome="suspended")

    async def _continue_as_new(self) -> None:
        """CAN: legal when nothing is left in this run. There is no await between the last look and the act."""
        await workflow.wait_condition(self.journal.only_data_open)
        await self.record.written()
        await self._drain()
        if self.purse.is_open:
            await self.purse.flushed()
        if not self.purse.is_quiet:
            return
        if self.journal.only_data_open() and not self.journal.unsaved and workflow.all_handlers_finished():
            workflow.continue_as_new(self.spec.model_copy(update={"carried": self._carry()}))

    async def _stopped(self) -> None:
        """Cancelled or out of time: a `once` call in flight may end within the grace, all else stops now."""
        self.box.park, self.closing = self.box.park or "cancel", True
        self.journal.begin_nothing()
        self.journal.cancel_repeatable()
        await self.journal.settle(self.tuning.drain_seconds)
        await self.children.call_off_rest()
        await self._drain(self._closing([]))
        if self.purse.is_open:
            await self.purse.close()
        if not self.expired:
            result = self._result("CANCELLED", None)
            await self._record("CANCELLED", result)
            if self.parent is not None:
                await self._tell(result)
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
        self.box.heard(message)
        if self.box.park is None and self._near(1.0):
            self.box.park = "history"
            self.journal.begin_nothing()
        if self.box.park is None and self.box.is_up:
            for ask in message.asks:
                self.journal.ask(ask, self.version)
            self.journal.want(message.again)
        ids = [*(ask.id for ask in message.asks), *message.again]
        if ids:
            await workflow.wait_condition(lambda: self.box.is_over_for(message) or self.journal.has_answer(ids))
        self._show()
        answers = self.journal.answers(ids)
        self.box.tell(message, len(answers))
        return CallsReply(answers=answers, park=self.box.park)

    @calls.validator
    def _check_calls(self, message: CallsMessage) -> None:
        self.box.refuse_stale(message.generation, message.attempt, exactly=True)

    @workflow.update(name=contracts.UPDATE_HELLO)
    async def hello(self, message: HelloMessage) -> HelloReply:
        """The first word of a box's attempt >= 2. From here on nothing of an earlier attempt is heard."""
        self.box.begin_attempt(message.attempt)
        self.journal.listen()
        return HelloReply(answers=self.journal.unsaved_answers(), seen=self.journal.seen, park=self.box.park)

    @hello.validator
    def _check_hello(self, message: HelloMessage) -> None:
        self.box.refuse_stale(message.generation, message.attempt, exactly=False)

    @workflow.update(name=contracts.UPDATE_NEST)
    async def nest(self, message: NestMessage) -> NestReply:
        """Take what running skills ask in turn; answer as soon as any of it is answered, or nothing waits here now."""
        self.updates += 1
        return await self.nesting.take(message, self.version)

    @nest.validator
    def _check_nest(self, message: NestMessage) -> None:
        self.nesting.check(message)

    def _holds_updates(self) -> bool:
        """Whether an update may wait here: not while what is left is saved, nor when the program is stopped.

        It may while the program is suspended, else it would come again twice a second, for as long as that takes.
        """
        return not (self.closing or self.draining or self.box.park in ("cancel", "timeout"))

    @workflow.query(name=contracts.QUERY_PROGRESS)
    def progress(self) -> Progress:
        """What a watcher sees now."""
        return Progress(
            state=self.state,
            version=self.version.number,
            generation=self.box.generation,
            runs=self.was.runs,
            spent=self._spent(),
            llm=self.repairs.llm,
            calls_done=self.journal.recorded,
            calls_open=len(self.journal.tasks),
            repairs=self.repairs.count,
            suspensions=self.parking.suspensions,
            box=self.box.is_up,
            source=self.version.source,
            questions=list(self.all_questions().all.values()),
            open_calls=self.journal.open_entries(),
            budget=self.purse.state,
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

    def _watching(self, story: "asyncio.Task[ProgramEnd]") -> list[Coroutine[Any, Any, None]]:
        watching = [
            self._deadline(story),
            self.parking.watch_idle(),
            self.parking.watch_slow(),
            self._watch_faults(story),
        ]
        if self.purse.is_open:
            watching.append(self.repairs.watch())
        return watching if self.parent is None else [*watching, self._report()]

    async def _deadline(self, story: "asyncio.Task[ProgramEnd]") -> None:
        """The end of the task's time. On the way there, what runs for a second is recorded as running."""
        if self.spec.carried is None and self.spec.author is None:
            await workflow.sleep(min(policies.UNRECORDED.total_seconds(), self._left()))
            await settled()
            if not self.record.is_begun:
                await self._record("RUNNING")
        await workflow.sleep(self._left())
        self.expired = True
        story.cancel()

    async def _watch_faults(self, story: "asyncio.Task[ProgramEnd]") -> None:
        """A bug in the journal must fail the workflow task, wherever the story stands."""
        await workflow.wait_condition(lambda: self.journal.fault is not None)
        story.cancel()

    async def _report(self) -> None:
        """Tell the parent how this program stands, whenever that or what is asked of people changes."""
        while True:
            await workflow.wait_condition(lambda: self._news() != self.reported)
            self.reported = self._news()
            await self._tell()

    def _news(self) -> tuple[TaskState, int]:
        return self.state, self.questions.changes + self.children.changes

    async def _tell(self, result: ProgramResult | None = None) -> None:
        assert self.parent is not None
        report = ProgramReport(
            child=PROGRAM if self.spec.author else self.spec.task.part,
            state=self.state,
            version=self.version.number,
            questions=list(self.all_questions().all.values()),
            result=result,
        )
        await workflow.get_external_workflow_handle(self.parent).signal(SIGNAL_REPORT, report)

    def _left(self) -> float:
        """Seconds until the task's deadline."""
        return max(0.0, self.was.started_at + self.limits.task_seconds - workflow.now().timestamp())

    def _near(self, part: float) -> bool:
        info = workflow.info()
        return (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() > part * self.tuning.bound_events
            or self.updates > part * self.tuning.bound_updates
        )

    # --- parts ----------------------------------------------------------------------------------------------------

    def _job(self) -> ProgramJob:
        job = ProgramJob(
            task=self.spec.task,
            source=self.version.source,
            first_line=self.version.first_line,
            inputs=self.spec.inputs,
            inputs_ref=self.spec.inputs_ref,
            files_ref=self.spec.files_ref,
            version=self.version.number,
            version_began_at=self.version.began_at,
            generation=self.box.generation,
            seed=self.was.seed,
            started_at=self.was.started_at,
            segments=self.segments,
            catalogue=self.spec.catalogue,
            skills=[facts.name for facts in self.spec.skills],
            scope=self.spec.scope,
            adapter=self.spec.adapter,
            limits=self.limits,
            tuning=self.tuning,
        )
        return _with_variables(job, self.spec.variables)

    def _carry(self) -> Carried:
        return Carried(
            version=self.version,
            generation=self.box.generation,
            runs=self.was.runs + 1,
            repairs=self.repairs.count,
            seed=self.was.seed,
            started_at=self.was.started_at,
            segments=self.segments,
            recorded=self.journal.recorded,
            seen_saved=self.journal.seen_saved,
            calls=self.journal.calls,
            suspensions=self.parking.suspensions,
            open_entries=self.journal.open_entries(),
            questions=self.questions.carried(),
            parked_on=self.parking.still(),
            wake_at=self.parking.wake_at,
            head=self.repairs.head,
            spent=self.journal.spent,
            llm=self.repairs.llm,
            nested=self.journal.of_failed_parents(),
            budget=self.purse.carried(),
            reports=self.children.carried(),
            approvals=self.journal.approvals.carried(),
        )

    def _result(self, state: TaskState, end: ProgramEnd | None) -> ProgramResult:
        result = ProgramResult(
            state=state,
            value=end.value if end else None,
            files_ref=end.files_ref if end else None,
            error=end.error if end else None,
            stdout=end.stdout if end else "",
            version=self.version.number,
            calls=self.journal.recorded,
            repairs=self.repairs.count,
            suspensions=self.parking.suspensions,
            generations=self.box.generation,
            runs=self.was.runs,
            journal=self.segments,
            source=self.final_source if self.spec.author and not self.spec.call else None,
            spent=self._spent(),
            llm=self.repairs.llm,
            budget=self.purse.state,
        )
        return _with_variables(result, end.variables if end and end.outcome == "done" else None)

    def _spent(self) -> Spent:
        """What the model took so far: by skills, and by repairs."""
        spent = self.journal.spent
        for call in self.repairs.llm:
            for usage in call.usage:
                spent = spent.plus(usage)
        return spent

    def _closing(self, unused: list[str]) -> Closing:
        questions = self.questions.carried()
        was = self.was
        return Closing(
            version=self.version, seed=was.seed, started_at=was.started_at, questions=questions, unused=unused
        )

    def _overdue(self) -> Failure:
        text = f"the task ran longer than its limit of {self.limits.task_seconds:g} s (limits.task_seconds)"
        return Failure(type=TASK_TIMEOUT, message=text, details={"kind": "timeout"})

    async def _record(self, state: TaskState, result: ProgramResult | None = None) -> None:
        """Write the state down; in an agent's task that is done by the task's own workflow, which hears of it."""
        self.state = state
        self._show()
        if self.spec.author is None:
            self.record.write(state, self.all_questions().all.values(), result)
            await self.record.written()

    def _show(self) -> None:
        """What the Temporal UI shows as current details."""
        done, total = self.journal.recorded, self.journal.recorded + len(self.journal.tasks)
        lines = [f"**{self.state}**: {done} of {total} calls answered, version {self.version.number}"]
        lines += [f"- question `{one.id}`: {one.text[:200]}" for one in self.all_questions().open]
        workflow.set_current_details("\n".join(lines))


def _with_variables(message: Message, variables: Value | None) -> Message:
    """Outside a session nothing is said of them: a field that is set stands in the history."""
    return message if variables is None else message.model_copy(update={"variables": variables})


async def _finished(handle: "workflow.ActivityHandle[ProgramEnd]") -> None:
    await workflow.wait_condition(handle.done)
    await workflow.wait_condition(workflow.all_handlers_finished)
