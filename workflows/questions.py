"""What a task asks of people. Open questions are data: they outlive the box, the worker and continue-as-new."""

from collections.abc import Iterable

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.contracts.base import Json
from holdfast.contracts.question import AnswerMessage, Question, QuestionState
from workflows.ledger import unfit_answer

KEPT = 100
"""Closed questions that are carried on for people to read."""


class Questions:
    """All questions of a task by id. The first answer wins."""

    def __init__(self, carried: Iterable[Question] = ()) -> None:
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
        if problem := _unfit(question, message.value):
            raise ApplicationError(problem, type="BAD_REQUEST", non_retryable=True)

    def answer(self, message: AnswerMessage) -> None:
        change = {"answer": message.value, "answered_by": message.by}
        self._close(message.question_id, "answered", **change)

    def withdraw(self, question_id: str) -> None:
        if self.is_open(question_id):
            self._close(question_id, "withdrawn")

    def withdraw_all(self) -> None:
        for question in self.open:
            self.withdraw(question.id)

    async def wait(self, question_id: str) -> Question:
        """The question once it is closed. An overdue one is closed as `expired`; its `on_timeout` says what follows."""
        deadline = self.all[question_id].deadline
        left = None if deadline is None else max(0.0, deadline - workflow.now().timestamp())
        try:
            await workflow.wait_condition(lambda: not self.is_open(question_id), timeout=left)
        except TimeoutError:
            self._close(question_id, "expired")
        return self.all[question_id]

    def carried(self) -> list[Question]:
        closed = [question for question in self.all.values() if question.state != "open"]
        return [*closed[-KEPT:], *self.open]

    def _close(self, question_id: str, state: QuestionState, **change: object) -> None:
        update = {"state": state, "answered_at": workflow.now().timestamp(), **change}
        self.all[question_id] = self.all[question_id].model_copy(update=update)
        self.changes += 1


def _unfit(question: Question, value: Json) -> str | None:
    """What is wrong with an answer of this kind of question."""
    if question.kind == "budget":
        return unfit_answer(value)
    if question.kind == "repair":
        source = value.get("source") if isinstance(value, dict) else value
        return None if isinstance(source, str) else "the answer to a repair is the mended source, a text"
    chosen = value.get("outcome") if question.kind == "outcome" and isinstance(value, dict) else value
    if question.options and chosen not in question.options:
        return f"answer {chosen!r} is not one of the options: {', '.join(map(repr, question.options))}"
    return None
