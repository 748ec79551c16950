"""What the workflow of every task does beside its story: its time, its record, its children, what it asks people."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from holdfast.contracts.base import Failure, Value
from holdfast.contracts.budget import Budget, LedgerState
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import Limits, ProgramReport, ProgramResult, TaskState
from holdfast.contracts.question import Clarification, Question
from holdfast.contracts.work import SIGNAL_REPORT
from workflows import policies
from workflows.answering import Answering
from workflows.budget import Budgeted, Purse
from workflows.children import Children, Failed
from workflows.clarifying import clarified
from workflows.effects import TASK_TIMEOUT, failure
from workflows.endings import settled, through
from workflows.questions import Questions, Unanswered, answer_of
from workflows.saving import Record


class Work(Budgeted, Answering):
    """The life of a task around its story. A workflow of ours says what is done (`_live` with a story, `_result`)."""

    def __init__(
        self,
        task: TaskRef,
        kind: str,
        limits: Limits,
        *,
        reports_end: bool = False,
        reports_to: str = "",
        started_at: float | None = None,
        questions: Iterable[Question] = (),
        budget: Budget | None = None,
        is_budgeted: bool = False,
        ledger: LedgerState | None = None,
    ) -> None:
        self.task, self.limits, self.reports_end = task, limits, reports_end
        self.is_turn = bool(reports_to)
        self.listener = reports_to or task.parent_workflow_id
        """The workflow that hears how this task stands: the session whose turn it is, or the task that started it."""
        self.is_carried = started_at is not None
        self.began_at = workflow.now().timestamp() if started_at is None else started_at
        self.state: TaskState = "RUNNING"
        self.phase = ""
        self.questions = Questions(questions, task)
        self.purse = Purse(task, self.questions, budget, is_budgeted, ledger)
        self.children = Children(task, self.purse)
        self.blocked = 0
        """How many parts of the story wait for people, here and not in a child."""
        self.expired = False
        self.closing = False
        # A report may have been on its way when the run before this one ended: a later run reports at once.
        self.reported: tuple[TaskState, int] = (self.state, -1 if self.is_carried else 0)
        self.record = Record(task, kind, self.began_at)

    # --- the life -------------------------------------------------------------------------------------------------

    async def _live(self, story: Coroutine[Any, Any, Value]) -> ProgramResult:
        telling = asyncio.create_task(story)
        watches = [asyncio.create_task(one) for one in self._watching(telling)]
        try:
            value = await telling
        except Failed as exc:
            # A child and the model's activity have the task's deadline, and may be the first to notice it.
            state: TaskState = "TIMED_OUT" if exc.failure.type == TASK_TIMEOUT else "ERROR"
            return await through(self._close(state, error=exc.failure))
        except (asyncio.CancelledError, FailureError) as exc:
            if not is_cancelled_exception(exc):
                return await through(self._close("ERROR", error=failure(exc)))
            self.questions.withdraw_all()
            if self.expired:
                return await through(self._close("TIMED_OUT", error=self.overdue()))
            await through(self._close("CANCELLED"))
            raise asyncio.CancelledError from exc
        finally:
            for watch in watches:
                watch.cancel()
        return await through(self._close("DONE", value=value))

    def _watching(self, telling: "asyncio.Task[Value]") -> list[Coroutine[Any, Any, None]]:
        watching = [self._deadline(telling), self._follow()]
        return watching if self.listener is None else [*watching, self._report()]

    def _result(self, result: ProgramResult) -> ProgramResult:
        """The result with what only this kind of work knows."""
        return result

    async def ask(
        self, question_id: str, text: str, options: list[str], rules: Clarification | None = None
    ) -> Question:
        """A question of the story itself, once it is closed, and not for want of an answer that is needed.

        Raises:
            Failed: nobody answered.
        """
        now = workflow.now().timestamp()
        asked = Question(id=question_id, text=text, options=options, asked_at=now)
        closed = await self.settle(clarified(asked, rules or Clarification()))
        try:
            answer_of(closed)
        except Unanswered as exc:
            raise Failed(exc.failure) from exc
        return closed

    async def settle(self, question: Question) -> Question:
        """A question of the story itself, once it is closed."""
        self.questions.ask(question)
        self.blocked += 1
        try:
            return await self.questions.wait(question.id)
        finally:
            self.blocked -= 1

    # --- watching -------------------------------------------------------------------------------------------------

    async def _deadline(self, telling: "asyncio.Task[Value]") -> None:
        """The end of the task's time. On the way there, what runs for a second is recorded as running."""
        await workflow.sleep(min(policies.UNRECORDED.total_seconds(), self.left()))
        await settled()
        if not self.record.is_begun and not self.is_carried:
            self._record("RUNNING")
        await workflow.sleep(self.left())
        self.expired = True
        telling.cancel()

    async def _follow(self) -> None:
        """Record when the task begins to wait for people, and when it goes on."""
        while True:
            await workflow.wait_condition(lambda: not self.closing and self._standing() != self.state)
            self._record(self._standing())

    def _standing(self) -> TaskState:
        """WAITING: all that is under way waits for people."""
        if self.children.are_open:
            return self.children.standing(self.state)
        waits = self.blocked or self.purse.waits or any(one.kind == "approval" for one in self.questions.open)
        return "WAITING" if waits else "RUNNING"

    async def _report(self) -> None:
        """Tell the parent how this task stands, whenever that or what is asked of people changes."""
        while True:
            await workflow.wait_condition(lambda: self._marks() != self.reported)
            self.reported = self._marks()
            await self._tell()

    def _marks(self) -> tuple[TaskState, int]:
        """What a report is about. A session hears of questions alone, not of each child."""
        if self.is_turn:
            asked = self.all_questions()
            return self.state, 2 * len(asked.all) - len(asked.open)
        return self.state, self.questions.changes + self.children.changes

    async def _tell(self, result: ProgramResult | None = None) -> None:
        assert self.listener is not None
        questions = list(self.all_questions().all.values())
        report = ProgramReport(child=self.task.part, state=self.state, questions=questions, result=result)
        await workflow.get_external_workflow_handle(self.listener).signal(SIGNAL_REPORT, report)

    # --- parts ----------------------------------------------------------------------------------------------------

    def left(self) -> float:
        """Seconds until the task's deadline."""
        return max(0.0, self.began_at + self.limits.task_seconds - workflow.now().timestamp())

    def overdue(self) -> Failure:
        text = f"the task ran longer than its limit of {self.limits.task_seconds:g} s (limits.task_seconds)"
        return Failure(type=TASK_TIMEOUT, message=text, details={"kind": "timeout"})

    async def _close(self, state: TaskState, value: Value | None = None, error: Failure | None = None) -> ProgramResult:
        """END: the record is final. A task that failed fails its workflow: it is never shown as a success."""
        self.closing = True
        self.phase = ""
        if self.purse.is_open:
            await self.purse.close()
        result = self._result(ProgramResult(state=state, value=value, error=error))
        result = result.model_copy(update={"budget": self.purse.state})
        self._record(state, result)
        await self.record.written()
        if self.reports_end or (state == "CANCELLED" and self.listener is not None):
            # Whoever began this task may be gone: its end is its end all the same.
            with contextlib.suppress(FailureError):
                await self._tell(result)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if error is None:
            return result
        raise ApplicationError(error.message, result.model_dump(mode="json"), type=error.type, non_retryable=True)

    def _record(self, state: TaskState, result: ProgramResult | None = None) -> None:
        """Write the state down, after what was written before. The work does not wait for it."""
        self.state = state
        self.show(self.phase)
        self.record.write(state, self.all_questions().all.values(), result)

    def show(self, phase: str) -> None:
        """What the Temporal UI shows as current details."""
        self.phase = phase
        lines = [f"**{self.state}** {phase}", *self._details()]
        lines += [f"- question `{one.id}`: {one.text[:200]}" for one in self.all_questions().open]
        workflow.set_current_details("\n".join(lines))

    def _details(self) -> list[str]:
        """More lines for the Temporal UI."""
        return []
