"""The tasks and programs that a task started: child workflows, ended by its end, cancelled by its cancellation.

Their questions are this task's questions: answers are always addressed to the root, and handed down.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowHandle, ParentClosePolicy

from holdfast.contracts.base import Failure
from holdfast.contracts.principal import PROGRAM, TaskRef
from holdfast.contracts.program import FINAL, QUEUE_AGENTS, SIGNAL_ANSWER, ProgramReport, ProgramResult, TaskState
from holdfast.contracts.question import OF, AnswerMessage, Question
from workflows import policies
from workflows.budget import Purse
from workflows.effects import failure
from workflows.endings import is_cancelled, through

_OUTLIVING: dict[str, Any] = {
    "parent_close_policy": ParentClosePolicy.ABANDON,
    "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
}
_PATIENCE_S = 15.0
"""So long one that was cancelled may take to end."""


class Failed(Exception):
    """The task, or a step of it, cannot go on. `result` is what a child told that ended so."""

    def __init__(self, cause: Failure, result: ProgramResult | None = None) -> None:
        super().__init__(cause.message)
        self.failure, self.result = cause, result


class Children:
    """Children by the last part of their ids. `changes` grows with every report.

    `reports` are those of children that outlived a continue-as-new of this workflow.
    """

    def __init__(self, task: TaskRef, purse: Purse, reports: Iterable[ProgramReport] = ()) -> None:
        self._task, self._purse = task, purse
        self.follows_all = False
        """Whether others start children of this task, too: who reports is one."""
        self.reports: dict[str, ProgramReport] = {report.child: report for report in reports}
        self._open: set[str] = set(self.reports)
        self._outliving: set[str] = set(self.reports)
        self._handed_on: set[str] = set()
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
            if is_cancelled_exception(exc) and (part == PROGRAM or is_cancelled()):
                raise
            result = ended_badly(exc)
            error = result.error or Failure(type="ProgramFailed", message=f"{part} failed")
            raise Failed(error, result) from exc
        finally:
            self._open.discard(part)
            self.changes += 1

    async def _run(self, part: str, kind: str, spec: Any, summary: str) -> ProgramResult:
        result: ProgramResult = await (await self._start(part, kind, spec, summary))
        return result

    async def _start(
        self, part: str, kind: str, spec: Any, summary: str, **policy: Any
    ) -> "ChildWorkflowHandle[Any, ProgramResult]":
        return await workflow.start_child_workflow(
            kind,
            spec,
            id=self.workflow_id(part),
            task_queue=QUEUE_AGENTS,
            task_timeout=policies.TASK_TIMEOUT,
            result_type=ProgramResult,
            static_summary=summary,
            **policy,
        )

    # children that outlive a continue-as-new

    async def outlive(self, part: str, kind: str, spec: Any, summary: str) -> ProgramResult:
        """The same of a child that goes on when this workflow continues as new: its end is told by a report.

        Who gives up this call gives up the child.
        """
        self._open.add(part)
        try:
            result = await self._begun(part, kind, spec, summary)
        except asyncio.CancelledError:
            await through(self._call_off(part))
            raise
        finally:
            self._open.discard(part)
            self._outliving.discard(part)
            self.changes += 1
        if result.state != "DONE":
            self._purse.lost(part)
            raise Failed(result.error or Failure(type="AgentFailed", message=f"it was {result.state}"), result)
        return result

    async def _begun(self, part: str, kind: str, spec: Any, summary: str) -> ProgramResult:
        handle = None
        if part not in self._outliving:
            # It runs already where somebody reset this workflow in Temporal.
            with contextlib.suppress(WorkflowAlreadyStartedError):
                handle = await self._start(part, kind, spec, summary, **_OUTLIVING)
                handle.add_done_callback(_heard)
        self._outliving.add(part)
        await workflow.wait_condition(lambda: self._ended(part) is not None or (handle is not None and handle.done()))
        told = self._ended(part)
        if told is None:
            assert handle is not None
            return _result(handle)
        return told

    async def call_off_rest(self) -> None:
        """End those that nobody waits for: an earlier run of this workflow began them."""
        for part in sorted(self._outliving):
            await self._call_off(part)

    async def _call_off(self, part: str) -> None:
        """Cancel it, and wait until it is over: what it took is counted, and nothing of it goes on alone."""
        if part not in self._outliving or self._ended(part) is not None:
            return
        with contextlib.suppress(FailureError):
            await workflow.get_external_workflow_handle(self.workflow_id(part)).cancel()
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._ended(part) is not None, timeout=_PATIENCE_S)

    def is_outliving(self, part: str) -> bool:
        """Whether this child may be left alone by a continue-as-new now: it runs, and its end is not told yet."""
        return part in self._outliving and self._ended(part) is None

    def carried(self) -> list[ProgramReport]:
        """What the next run of this workflow must know of those that outlive this one."""
        return [
            self.reports.get(part) or ProgramReport(child=part, state="RUNNING") for part in sorted(self._outliving)
        ]

    def _ended(self, part: str) -> ProgramResult | None:
        report = self.reports.get(part)
        return report.result if report is not None and report.state in FINAL else None

    def workflow_id(self, part: str) -> str:
        return f"{self._task.workflow_id}/{part}"

    # what they say

    def report(self, report: ProgramReport) -> None:
        """Take what a child says. With its result it has said all: a signal that it sent before may come behind."""
        before = self.reports.get(report.child)
        if before is not None and before.result is not None and report.result is None:
            return
        self.reports[report.child] = report
        if self.follows_all:
            (self._open.discard if report.state in FINAL else self._open.add)(report.child)
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
        if closed and closed.state != ("rejected" if message.reject else "answered"):
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


def _heard(handle: "asyncio.Task[ProgramResult]") -> None:
    """Its end was told already: nobody need look at how the workflow ended."""
    if not handle.cancelled():
        handle.exception()


def _result(handle: "ChildWorkflowHandle[Any, ProgramResult]") -> ProgramResult:
    """How a child ended that did not tell."""
    failed = handle.exception()
    if failed is None:
        return handle.result()
    return ended_badly(failed) if isinstance(failed, ChildWorkflowError) else _unstarted(failed)


def _unstarted(cause: BaseException) -> ProgramResult:
    return ProgramResult(state="ERROR", error=failure(cause))


def _full(part: str, own: str) -> str:
    return own if part == PROGRAM else f"{part}{OF}{own}"


def ended_badly(exc: ChildWorkflowError) -> ProgramResult:
    """How a child ended that did not end well, as its workflow told."""
    cause = exc.cause
    if isinstance(cause, ApplicationError) and cause.details and isinstance(cause.details[0], dict):
        return ProgramResult.model_validate(cause.details[0])
    return ProgramResult(state="ERROR", error=failure(cause))
