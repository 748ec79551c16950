"""Questions in the words of agentrunner: clarifications of an execution. The same questions as in `questions`."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter

from api.answers import answered, seen
from api.house import OurHouse, OurTenant
from api.routes.questions import Answer
from api.view import questions
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.question import Question, QuestionState

router = APIRouter(prefix="/tasks/{task_id}/clarifications", tags=["questions"])

Status = Literal["waiting_clarification", "answered", "rejected", "expired", "withdrawn"]


class Clarified(Contract):
    """`status` is `waiting_clarification` while it is open. Times are UTC seconds since 1970."""

    clarification_id: str
    execution_id: str
    status: Status
    question: str
    options: list[str]
    form: Json
    asked_at: float
    deadline: float | None
    answer: Json
    answered_at: float | None


@router.get("", operation_id="list_clarifications")
async def find(task_id: UUID, house: OurHouse, tenant: OurTenant) -> list[Clarified]:
    """What a task asks people, the oldest first; approvals and the like are among them."""
    asked = await questions(house, await seen(house, tenant, task_id))
    return [_clarified(task_id, one) for one in asked]


@router.post("/{clarification_id}", operation_id="answer_clarification")
async def answer(task_id: UUID, clarification_id: str, body: Answer, house: OurHouse, tenant: OurTenant) -> Clarified:
    """Answer one that is open; the task goes on."""
    found = await seen(house, tenant, task_id)
    return _clarified(task_id, await answered(house, found, clarification_id, body.said, body.user_id))


_STATUS: dict[QuestionState, Status] = {
    "open": "waiting_clarification",
    "answered": "answered",
    "rejected": "rejected",
    "expired": "expired",
    "withdrawn": "withdrawn",
}


def _clarified(task_id: UUID, question: Question) -> Clarified:
    return Clarified(
        clarification_id=question.id,
        execution_id=str(task_id),
        status=_STATUS[question.state],
        question=question.text,
        options=question.options,
        form=question.form,
        asked_at=question.asked_at,
        deadline=question.deadline,
        answer=question.answer,
        answered_at=question.answered_at,
    )
