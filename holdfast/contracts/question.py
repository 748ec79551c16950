"""One primitive for everything that a task asks a human."""

from typing import Literal

from pydantic import Field

from holdfast.contracts.base import Contract, Json

QuestionKind = Literal["clarification", "outcome", "repair", "approval", "budget"]
QuestionState = Literal["open", "answered", "rejected", "expired", "withdrawn"]
OnTimeout = Literal["fail", "default", "proceed", "escalate"]

OF = ":"
"""Between the part of a child's id and its own id of a question; ids of a task's own, and its program's, have none."""

NOT_ASKED = "NotAllowedToAsk"
"""The error of a call of `ask` by an agent that may not ask people."""

OUTCOMES = ("done", "retry", "failed")
"""How a human settles a `once` call of which nobody knows whether it happened."""


class Clarification(Contract):
    """How an agent's questions to people go: whether it may ask at all, how long it waits, and what follows then. A
    question that has a deadline of its own goes by that."""

    allowed: bool = True
    timeout_seconds: float | None = Field(default=None, gt=0)
    on_timeout: OnTimeout = "fail"
    default: Json = None


class Question(Contract):
    """What a task asks. `id` is the call id for questions that a call raised. Times are UTC seconds since 1970.

    `form` is the JSON Schema of its answer. An overdue question whose `on_timeout` is `escalate` stays open as long
    again, with `escalated_at` set, and is said to those who subscribed to `question.escalated`; then it fails.
    `details` is what an approval is about: `{skill, arguments, why}`.
    """

    id: str
    kind: QuestionKind = "clarification"
    text: str
    options: list[str] = []
    default: Json = None
    state: QuestionState = "open"
    asked_at: float
    deadline: float | None = None
    on_timeout: OnTimeout = "fail"
    form: dict[str, Json] | None = None
    details: Json = None
    escalated_at: float | None = None
    answer: Json = None
    answered_by: str | None = None
    answered_at: float | None = None


class AnswerMessage(Contract):
    """An answer to an open question. For kind `outcome` the value is one of `done`, `retry`, `failed`, or
    {"outcome": "done", "result": …}; for kind `repair` it is the mended source, or {"source": …, "first_line": …}; for
    kind `budget` it is `stop`, or {"add": {"tokens": …, "usd": …, "calls": …, "seconds": …}} with any of these; for
    kind `approval` it is `approve` or `deny`, or {"decision": "approve", "grant": {"uses": 5, "when": <CEL>}}, a word
    for further calls of the same skill. With `reject` nobody answers: the question is closed as rejected."""

    question_id: str
    value: Json = None
    reject: bool = False
    by: str | None = None
