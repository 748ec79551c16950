"""What a task asks of people, as its history tells it: when a question is there, and how it was closed."""

from collections.abc import Iterable

from temporalio.exceptions import ApplicationError

from holdfast.contracts.budget import TopUp
from holdfast.contracts.milestone import QuestionAsked
from holdfast.contracts.program import Ask
from holdfast.contracts.question import AnswerMessage, Clarification, Question
from workflows.clarifying import of_call
from workflows.questions import Questions


class Asked:
    """Questions of one run, as last told of. Those that a program reports are closed by its reports alone."""

    def __init__(self) -> None:
        self._known: dict[str, Question] = {}
        self._reported: set[str] = set()

    def carried(self, questions: Iterable[Question]) -> None:
        """The run before has told of these."""
        self._known |= {question.id: question for question in questions}

    def called(self, when: float, ask: Ask) -> list[QuestionAsked]:
        """A program calls `ask`. Its record says so only once the program is suspended."""
        asked = ask.arguments.inline or {}
        if ask.id in self._known or "text" not in asked:
            return []
        return self._tell(when, of_call(ask.id, asked, when, Clarification()))

    def recorded(
        self, when: float, still_open: Iterable[Question], closed: Iterable[Question] = ()
    ) -> list[QuestionAsked]:
        """A record was written while these were open, and these closed. One that is neither came to nothing."""
        listed = {question.id: question for question in still_open}
        over = [one for one in closed if one.id in self._known and one.id not in self._reported]
        told = [one for question in (*over, *listed.values()) for one in self._tell(when, question)]
        gone = [one for one in self._open() if one.id not in listed and one.id not in self._reported]
        return [*told, *(each for one in gone for each in self._lapsed(when, one))]

    def reported(self, when: float, questions: Iterable[Question]) -> list[QuestionAsked]:
        """The program of a task told how its questions stand, open and closed ones."""
        found = list(questions)
        self._reported |= {question.id for question in found}
        return [one for question in found for one in self._tell(when, question)]

    def settled(self, when: float, questions: Iterable[Question]) -> list[QuestionAsked]:
        """How they stand where the run ends: in its journal's close, or in what it hands to the next run."""
        return [one for question in questions for one in self._tell(when, question)]

    def answered(self, when: float, message: AnswerMessage) -> list[QuestionAsked]:
        """The workflow took an answer. What it hands on to its program, that reports."""
        if message.question_id in self._reported:
            return []
        known = self._known.get(message.question_id) or Question(id=message.question_id, text="", asked_at=when)
        change = {"state": "answered", "answer": message.value, "answered_by": message.by}
        if message.reject:
            change = {"state": "rejected", "answered_by": message.by}
        return self._tell(when, known.model_copy(update=change))

    def topped_up(self, when: float, message: TopUp) -> list[QuestionAsked]:
        """Something was added to the budget: an open question for that is answered by it."""
        value = {"add": message.add.model_dump(mode="json", exclude_none=True)}
        asked = [one.id for one in self._open() if one.kind == "budget"]
        answers = [AnswerMessage(question_id=one, value=value, by=message.by) for one in asked]
        return [told for answer in answers for told in self.answered(when, answer)]

    def signalled(self, when: float, message: AnswerMessage) -> list[QuestionAsked]:
        """An answer came as a signal, which a workflow cannot refuse: it ignores those that do not fit."""
        try:
            Questions(self._known.values()).check(message)
        except ApplicationError:
            return []
        return self.answered(when, message)

    def over(self, when: float) -> list[QuestionAsked]:
        """The task is over: nobody waits for what is still open."""
        return [one for question in self._open() for one in self._lapsed(when, question)]

    def _open(self) -> list[Question]:
        return [question for question in self._known.values() if question.state == "open"]

    def _lapsed(self, when: float, question: Question) -> list[QuestionAsked]:
        overdue = question.deadline is not None and question.deadline <= when
        return self._tell(when, question.model_copy(update={"state": "expired" if overdue else "withdrawn"}))

    def _tell(self, when: float, question: Question) -> list[QuestionAsked]:
        if not _is_news(self._known.get(question.id), question):
            return []
        self._known[question.id] = question
        return [_milestone(when, question)]


def _is_news(known: Question | None, question: Question) -> bool:
    """Whether a question is new, closed now, or asked again. A record may be late: what it calls open may be closed."""
    if known is None:
        return True
    if known.state == "open":
        return question.state != "open" or (question.escalated_at is not None and known.escalated_at is None)
    return question.state == "open" and question.asked_at > known.asked_at


def _milestone(when: float, question: Question) -> QuestionAsked:
    return QuestionAsked(
        at=when,
        id=question.id,
        kind=question.kind,
        text=question.text,
        options=question.options,
        default=question.default,
        deadline=question.deadline,
        on_timeout=question.on_timeout,
        form=question.form,
        details=question.details,
        escalated_at=question.escalated_at,
        state=question.state,
        answer=None if question.kind == "repair" else question.answer,
        answered_by=question.answered_by,
    )
