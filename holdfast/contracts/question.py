"""One primitive for everything that a task asks a human."""

from typing import Literal

from holdfast.contracts.base import Contract, Json

QuestionKind = Literal["clarification", "outcome", "repair", "approval", "budget"]
QuestionState = Literal["open", "answered", "rejected", "expired", "withdrawn"]
OnTimeout = Literal["fail", "default", "proceed", "escalate"]

OUTCOMES = ("done", "retry", "failed")
"""How a human settles a `once` call of which nobody knows whether it happened."""


class Question(Contract):
    """What a task asks. `id` is the call id for questions that a call raised. Times are UTC seconds since 1970."""

    id: str
    kind: QuestionKind = "clarification"
    text: str
    options: list[str] = []
    default: Json = None
    state: QuestionState = "open"
    asked_at: float
    deadline: float | None = None
    on_timeout: OnTimeout = "fail"
    answer: Json = None
    answered_by: str | None = None
    answered_at: float | None = None


class AnswerMessage(Contract):
    """An answer to an open question. For kind `outcome` the value is one of `done`, `retry`, `failed`, or
    {"outcome": "done", "result": …}; for kind `repair` it is the mended source, or {"source": …, "first_line": …}; for
    kind `budget` it is `stop`, or {"add": {"tokens": …, "usd": …, "calls": …, "seconds": …}} with any of these."""

    question_id: str
    value: Json = None
    by: str | None = None
