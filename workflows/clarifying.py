"""An agent's questions to people, by the rules of its file: whether it may ask, how long it waits, what it is told."""

from typing import Any

from holdfast.contracts.base import Failure
from holdfast.contracts.llm import ANSWERED
from holdfast.contracts.program import ProgramSpec
from holdfast.contracts.question import NOT_ASKED, Clarification, Question
from holdfast.forms import fault
from workflows.questions import answer_of

UNASKED = (
    "You cannot ask people: nobody is there to answer, or this agent is set up not to. Go on with what you know, and "
    "say in your answer what you assumed."
)
"""What a model is told instead of an answer, if its agent may not ask."""
UNANSWERED = "Nobody answered in time. Go on with what you know, and say in your answer what you assumed."


def clarified(question: Question, rules: Clarification) -> Question:
    """The question with the deadline that its agent's file gives those that have none."""
    if question.deadline is not None or rules.timeout_seconds is None:
        return question
    change: dict[str, Any] = {"deadline": question.asked_at + rules.timeout_seconds}
    if question.on_timeout == "fail":
        change |= {"on_timeout": rules.on_timeout, "default": rules.default}
    return question.model_copy(update=change)


def told(closed: Question) -> str:
    """What a model hears of its question."""
    answer = answer_of(closed)
    return UNANSWERED if closed.state == "expired" and closed.on_timeout == "proceed" else f"{ANSWERED}{answer}"


def of_call(call_id: str, asked: dict[str, Any], asked_at: float, rules: Clarification) -> Question:
    """The question that a call of `ask` opens."""
    seconds = asked.get("deadline_seconds")
    question = Question(
        id=call_id,
        text=asked["text"],
        options=asked.get("options") or [],
        default=asked.get("default"),
        asked_at=asked_at,
        deadline=None if seconds is None else asked_at + seconds,
        on_timeout=asked.get("on_timeout") or "fail",
        form=asked.get("form"),
    )
    return clarified(question, rules)


def refused(asked: dict[str, Any], spec: ProgramSpec) -> Failure | None:
    """Why a call of `ask` asks nobody."""
    if not spec.clarification.allowed:
        return Failure(type=NOT_ASKED, message=UNASKED)
    if wrong := fault(asked):
        text = f"skill 'ask' cannot take these arguments: {wrong[0]}: {wrong[1]}"
        return Failure(type="SkillInputError", message=text)
    return None
