"""What a task asks of people. Open questions are data: they outlive the box, the worker and continue-as-new."""

from collections.abc import Iterable

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.approvals import decision_of
from holdfast.contracts.base import Failure, Json
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.question import AnswerMessage, Question, QuestionState
from holdfast.forms import unfit
from workflows.ledger import unfit_answer
from workflows.saving import audited

KEPT = 100
"""Closed questions that are carried on for people to read."""


class Questions:
    """All questions of a task by id. The first answer wins. Without a `task` they are only looked at."""

    def __init__(self, carried: Iterable[Question] = (), task: TaskRef | None = None) -> None:
        self._task = task
        self.all: dict[str, Question] = {question.id: question for question in carried}
        self.changes = 0

    @property
    def open(self) -> list[Question]:
        return [question for question in self.all.values() if question.state == "open"]

    def is_open(self, question_id: str) -> bool:
        question = self.all.get(question_id)
        return question is not None and question.state == "open"

    def ask(self, question: Question) -> None:
        """Open a question. Asking the same one again (after continue-as-new) changes nothing, answered or not."""
        known = self.all.get(question.id)
        if known is None or known.asked_at != question.asked_at:
            self.all[question.id] = question
            self.changes += 1

    def check(self, message: AnswerMessage) -> None:
        """
        Raises:
            ApplicationError: no such question (`NOT_FOUND`), or it is no longer open (`CONFLICT`).
        """
        question = self.all.get(message.question_id)
        if question is None:
            known = ", ".join(repr(one.id) for one in self.open) or "none"
            text = f"no question {message.question_id!r} in this task; open: {known}"
            raise ApplicationError(text, type="NOT_FOUND", non_retryable=True)
        if question.state != "open":
            text = f"question {question.id!r} is {question.state} already; the first answer wins"
            raise ApplicationError(text, type="CONFLICT", non_retryable=True)
        if not message.reject and (problem := _unfit(question, message.value)):
            raise ApplicationError(problem, type="BAD_REQUEST", non_retryable=True)

    def answer(self, message: AnswerMessage) -> None:
        if message.reject:
            self._close(message.question_id, "rejected", answered_by=message.by)
        else:
            self._close(message.question_id, "answered", answer=message.value, answered_by=message.by)

    def withdraw(self, question_id: str) -> None:
        if self.is_open(question_id):
            self._close(question_id, "withdrawn")

    def withdraw_all(self) -> None:
        for question in self.open:
            self.withdraw(question.id)

    async def wait(self, question_id: str) -> Question:
        """The question once it is closed. An overdue one is closed as `expired`; what follows says `answer_of`."""
        while self.is_open(question_id):
            deadline = self.all[question_id].deadline
            left = None if deadline is None else max(0.0, deadline - workflow.now().timestamp())
            try:
                await workflow.wait_condition(lambda: not self.is_open(question_id), timeout=left)
            except TimeoutError:
                await self._overdue(question_id)
        return self.all[question_id]

    async def _overdue(self, question_id: str) -> None:
        """One that is to be escalated stays open as long again, and others are told; all others are closed."""
        question = self.all[question_id]
        if question.on_timeout != "escalate" or question.escalated_at is not None:
            self._close(question_id, "expired")
            return
        now = workflow.now().timestamp()
        more = (question.deadline or now) - question.asked_at
        later = question.model_copy(update={"escalated_at": now, "deadline": now + more})
        if self._task is not None:
            # Before it counts: a run that continues as new meanwhile does it again, which changes nothing.
            await audited(self._task, [later])
        if self.is_open(question_id):
            self.all[question_id] = later
            self.changes += 1

    def carried(self) -> list[Question]:
        closed = [question for question in self.all.values() if question.state != "open"]
        return [*closed[-KEPT:], *self.open]

    def _close(self, question_id: str, state: QuestionState, **change: object) -> None:
        update = {"state": state, "answered_at": workflow.now().timestamp(), **change}
        self.all[question_id] = self.all[question_id].model_copy(update=update)
        self.changes += 1


class Unanswered(Exception):
    """Nobody answered, and whoever asked cannot go on without. `failure` is of type QuestionExpired, -Rejected or
    -Withdrawn."""

    def __init__(self, question: Question) -> None:
        text = f"no answer to {question.text[:200]!r}: {question.state}"
        super().__init__(text)
        self.failure = Failure(type=f"Question{question.state.capitalize()}", message=text)


def answer_of(closed: Question) -> Json:
    """What whoever asked goes on with: the answer, or what `on_timeout` says of a question that expired: its default,
    or null.

    Raises:
        Unanswered: there is neither.
    """
    if closed.state == "answered":
        return closed.answer
    if closed.state == "expired" and closed.on_timeout in ("default", "proceed"):
        # A program of before may have given a default beside `proceed`.
        return closed.default
    raise Unanswered(closed)


def _unfit(question: Question, value: Json) -> str | None:
    """What is wrong with an answer of this kind of question."""
    if question.kind == "budget":
        return unfit_answer(value)
    if question.kind == "repair":
        source = value.get("source") if isinstance(value, dict) else value
        return None if isinstance(source, str) else "the answer to a repair is the mended source, a text"
    if question.kind == "approval":
        return _unfit_decision(value)
    chosen = value.get("outcome") if question.kind == "outcome" and isinstance(value, dict) else value
    return unfit(question.options, question.form, chosen)


def _unfit_decision(value: Json) -> str | None:
    try:
        decision_of(value)
    except ValueError as exc:
        return str(exc)
    return None
