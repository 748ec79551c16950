"""A turn of a conversation: the task that is begun for it, what that says of itself and asks, and what people see."""

from collections.abc import Iterable

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.contracts.base import Value
from holdfast.contracts.begin import Begin
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import BlobPart, Part, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.program import SIGNAL_ANSWER, UPDATE_ANSWER, ProgramReport, ProgramSpec
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.contracts.session import MAX_SHOWN, Memory, Message, SessionRef, Turn
from holdfast.contracts.work import SIGNAL_REPORT, TaskSpec
from workflows.questions import Questions


class TurnReports:
    """`running` is the turn that runs, as it began; `report` the last word of its task."""

    def __init__(self, session: SessionRef) -> None:
        self.session = session
        self.running: Turn | None = None
        self.report: ProgramReport | None = None
        self.answering: set[str] = set()

    def _running(self) -> Turn | None:
        if self.running is None or self.report is None:
            return self.running
        return self.running.model_copy(update={"state": self.report.state})

    def _questions(self) -> list[Question]:
        return self.report.questions if self.report else []

    @workflow.signal(name=SIGNAL_REPORT)
    def program_report(self, report: ProgramReport) -> None:
        """How the turn that runs stands, and what it asks."""
        if self.running is not None and report.child == self.running.task_id:
            self.report = report

    @workflow.update(name=UPDATE_ANSWER)
    async def answer(self, message: AnswerMessage) -> None:
        """Answer an open question of the turn that runs."""
        await self._hand_on(message)

    @answer.validator
    def _check_answer(self, message: AnswerMessage) -> None:
        Questions(self._questions()).check(message)
        if message.question_id in self.answering:
            text = f"question {message.question_id!r} has just been answered; the first answer wins"
            raise ApplicationError(text, type="CONFLICT", non_retryable=True)

    @workflow.signal(name=SIGNAL_ANSWER)
    async def answer_question(self, message: AnswerMessage) -> None:
        """The same by signal. What cannot be taken is logged: a signal has no reply."""
        try:
            self._check_answer(message)
        except ApplicationError as exc:
            workflow.logger.warning(
                "question.answer_refused", extra={"reason": exc.message, "trace_id": self.session.trace_id}
            )
        else:
            await self._hand_on(message)

    async def _hand_on(self, message: AnswerMessage) -> None:
        """Give an answer to the task that asked, and wait until it has taken it."""
        task_id = self.running.task_id if self.running else ""
        self.answering.add(message.question_id)
        try:
            handle = workflow.get_external_workflow_handle(f"{self.session.tenant}/{task_id}")
            await handle.signal(SIGNAL_ANSWER, message)
            await workflow.wait_condition(lambda: not self._is_asked(task_id, message.question_id))
        finally:
            self.answering.discard(message.question_id)

    def _is_asked(self, task_id: str, question_id: str) -> bool:
        is_running = self.running is not None and self.running.task_id == task_id
        return is_running and any(one.id == question_id and one.state == "open" for one in self._questions())


def ready(begin: Begin, memory: Memory, reports_to: str) -> Begin:
    """The task with what the session knows: what was said before it, and what programs saved."""
    variables = memory.variables or Value(inline={})
    match begin.spec:
        case TaskSpec() as spec:
            brief = spec.brief.model_copy(update={"before": memory.head, "variables": memory.names})
            change = {"brief": brief, "variables": variables, "reports_to": reports_to}
            return begin.model_copy(update={"agent": spec.model_copy(update=change)})
        case ProgramSpec() as spec:
            change = {"variables": variables, "reports_to": reports_to}
            return begin.model_copy(update={"program": spec.model_copy(update=change)})
        case flow:
            return begin.model_copy(update={"flow": flow.model_copy(update={"reports_to": reports_to})})


def brief_of(begin: Begin, models: list[ModelSettings]) -> Brief:
    """How a model is asked on behalf of a turn's session."""
    if isinstance(begin.spec, TaskSpec):
        return begin.spec.brief
    return Brief(task=begin.task, catalogue=begin.catalogue, models=begin.spec.models or models)


def turn_of(message: Message, number: int) -> Turn:
    """A turn that waits."""
    said = cut(spoken(message.say) or message.begin.summary)
    return Turn(
        number=number, task_id=message.begin.task.task_id, said=said, event=message.event, queued_at=message.sent_at
    )


def spoken(say: Iterable[Part]) -> str:
    """What was said, as text; a file by its name."""
    return "\n".join(filter(None, map(_named, say)))


def cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _named(part: Part) -> str:
    match part:
        case TextPart():
            return part.text
        case BlobPart():
            return f"[{part.name or part.media_type}]"
    return ""
