"""Where people's answers arrive: at the workflow of a task or a program, for its own questions and its children's."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.contracts import program as contracts
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import ProgramReport
from holdfast.contracts.question import AnswerMessage
from holdfast.contracts.work import SIGNAL_REPORT
from workflows.children import Children
from workflows.questions import Questions


class Answering:
    """What children report, and what people answer. The first answer wins."""

    task: TaskRef
    questions: Questions
    children: Children

    @workflow.signal(name=SIGNAL_REPORT)
    def program_report(self, report: ProgramReport) -> None:
        """How a child stands, what it asks, and how it ended."""
        self.children.report(report)

    @workflow.update(name=contracts.UPDATE_ANSWER)
    async def answer(self, message: AnswerMessage) -> None:
        """Answer an open question, of this workflow or of what it started. A second answer is refused, and leaves no
        event."""
        await self._take(message)

    @answer.validator
    def _check_answer(self, message: AnswerMessage) -> None:
        self._check(message)

    @workflow.signal(name=contracts.SIGNAL_ANSWER)
    async def answer_question(self, message: AnswerMessage) -> None:
        """The same by signal. What cannot be taken is logged: a signal has no reply."""
        try:
            self._check(message)
            await self._take(message)
        except ApplicationError as exc:
            workflow.logger.warning(
                "question.answer_refused", extra={"reason": exc.message, "trace_id": self.task.trace_id}
            )

    async def _take(self, message: AnswerMessage) -> None:
        if message.question_id in self.questions.all:
            self.questions.answer(message)
        else:
            await self.children.hand_on(message)

    def _check(self, message: AnswerMessage) -> None:
        self.all_questions().check(message)
        self.children.check(message)

    def all_questions(self) -> Questions:
        """Its own, and those of its children."""
        return Questions([*self.questions.all.values(), *self.children.questions()])
