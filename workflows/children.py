"""The tasks and programs that a task started: child workflows, ended by its end, cancelled by its cancellation.

Their questions are this task's questions: answers are always addressed to the root, and handed down.
"""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError, is_cancelled_exception

from holdfast.contracts.base import Failure
from holdfast.contracts.principal import PROGRAM, TaskRef
from holdfast.contracts.program import FINAL, QUEUE_AGENTS, SIGNAL_ANSWER, ProgramResult, TaskState
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.contracts.work import ProgramReport
from workflows import policies
from workflows.budget import Purse
from workflows.effects import failure

OF = ":"
"""Between a child's part and its own id of a question; ids of the task's own program have neither."""


class Failed(Exception):
    """The task, or a step of it, cannot go on. `result` is what a child told that ended so."""

    def __init__(self, cause: Failure, result: ProgramResult | None = None) -> None:
        super().__init__(cause.message)
        self.failure, self.result = cause, result


class Children:
    """Children by the last part of their ids. `changes` grows with every report."""

    def __init__(self, task: TaskRef, purse: Purse) -> None:
        self._task, self._purse = task, purse
        self._open: set[str] = set()
        self._handed_on: set[str] = set()
        self.reports: dict[str, ProgramReport] = {}
        self.changes = 0

    async def run(self, part: str, kind: str, spec: Any, summary: str) -> ProgramResult:
        """The result of a child that ended well. `kind` is the name of its workflow.

        Raises:
            Failed: it did not.
            asyncio.CancelledError, ChildWorkflowError: this task was cancelled, and the child with it.
        """
        self._open.add(part)
        try:
            return await self._run(part, kind, spec, summary)
        except ChildWorkflowError as exc:
            # One that was terminated told nobody what it held.
            self._purse.lost(part)
            if is_cancelled_exception(exc) and (part == PROGRAM or _is_cancelled()):
                raise
            result = _failed(exc)
            error = result.error or Failure(type="ProgramFailed", message=f"{part} failed")
            raise Failed(error, result) from exc
        finally:
            self._open.discard(part)
            self.changes += 1

    async def _run(self, part: str, kind: str, spec: Any, summary: str) -> ProgramResult:
        handle = await workflow.start_child_workflow(
            kind,
            spec,
            id=self.workflow_id(part),
            task_queue=QUEUE_AGENTS,
            task_timeout=policies.TASK_TIMEOUT,
            result_type=ProgramResult,
            static_summary=summary,
        )
        result: ProgramResult = await handle
        return result

    def workflow_id(self, part: str) -> str:
        return f"{self._task.workflow_id}/{part}"

    # what they say

    def report(self, report: ProgramReport) -> None:
        self.reports[report.child] = report
        self.changes += 1

    def standing(self, now: TaskState) -> TaskState:
        """How those stand that are not over: WAITING if each waits for people. `now` if there are none."""
        states = [self.reports[part].state if part in self.reports else "RUNNING" for part in self._open]
        under_way = [state for state in states if state not in FINAL]
        if not under_way:
            return now
        return "WAITING" if all(state == "WAITING" for state in under_way) else "RUNNING"

    @property
    def are_open(self) -> bool:
        return bool(self._open)

    def questions(self) -> list[Question]:
        """What they ask, by ids that are unique in this task. Of a child that is over nothing is open."""
        return [
            question.model_copy(update={"id": _full(part, question.id)})
            for part, report in self.reports.items()
            for question in report.questions
            if question.state != "open" or part in self._open
        ]

    # what they are told

    def check(self, message: AnswerMessage) -> None:
        """
        Raises:
            ApplicationError: an answer to this question is on its way already.
        """
        if message.question_id in self._handed_on:
            text = f"question {message.question_id!r} has just been answered; the first answer wins"
            raise ApplicationError(text, type="CONFLICT", non_retryable=True)

    async def hand_on(self, message: AnswerMessage) -> None:
        """Give an answer to the child that asked, and see that it was taken.

        Raises:
            ApplicationError: the question was closed meanwhile.
        """
        part, own = self._owner(message.question_id)
        self._handed_on.add(message.question_id)
        try:
            handle = workflow.get_external_workflow_handle(self.workflow_id(part))
            await handle.signal(SIGNAL_ANSWER, message.model_copy(update={"question_id": own}))
            await workflow.wait_condition(lambda: part not in self._open or self._closed(part, own) is not None)
        finally:
            self._handed_on.discard(message.question_id)
        closed = self._closed(part, own)
        if closed and closed.state != "answered":
            text = f"question {message.question_id!r} is {closed.state} already"
            raise ApplicationError(text, type="CONFLICT", non_retryable=True)

    def _owner(self, question_id: str) -> tuple[str, str]:
        for part, report in self.reports.items():
            for question in report.questions:
                if _full(part, question.id) == question_id:
                    return part, question.id
        raise ApplicationError(f"no question {question_id!r} in this task", type="NOT_FOUND", non_retryable=True)

    def _closed(self, part: str, own: str) -> Question | None:
        found = next((one for one in self.reports[part].questions if one.id == own), None)
        return found if found and (found.state != "open" or self.reports[part].state in FINAL) else None


def _full(part: str, own: str) -> str:
    return own if part == PROGRAM else f"{part}{OF}{own}"


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed(exc: ChildWorkflowError) -> ProgramResult:
    """How a child ended that did not end well, as its workflow told."""
    cause = exc.cause
    if isinstance(cause, ApplicationError) and cause.details and isinstance(cause.details[0], dict):
        return ProgramResult.model_validate(cause.details[0])
    return ProgramResult(state="ERROR", error=failure(cause))
