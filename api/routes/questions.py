"""What tasks ask of people, and the answers."""

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from api.answers import answered, rejected, seen
from api.house import House, OurHouse, OurTenant
from api.view import Seen, current, questions
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.question import Question
from holdfast.contracts.task import Body
from holdfast.errors import InvalidRequest, NoTemporal
from store.tables import TaskRow

router = APIRouter(tags=["questions"])

_MOST = 100


class Answer(Body):
    """Either `answer` or `value` (the same, for older clients): any JSON; one of the options, or what fits the form, if
    there are any. To an approval: `approve`, `deny`, or a mapping with `decision` and, perhaps, `grant` or `reason`."""

    answer: Json = None
    value: Json = None
    user_id: str | None = None

    @property
    def said(self) -> Json:
        """
        Raises:
            InvalidRequest: there is none.
        """
        if not self.model_fields_set & {"answer", "value"}:
            raise InvalidRequest('answer: is missing in the body; send {"answer": …}')
        return self.answer if "answer" in self.model_fields_set else self.value


class Rejection(Body):
    """Who says that there will be no answer."""

    user_id: str | None = None


class Pending(Contract):
    """A question, and the task that asks it."""

    task_id: str
    task_type: str
    question: Question


class PendingPage(Contract):
    """`unread` are waiting tasks of which no worker could tell what they ask."""

    questions: list[Pending]
    unread: list[str] = []


@router.get("/questions", operation_id="list_open_questions")
async def all_open(
    house: OurHouse,
    tenant: OurTenant,
    state: Annotated[Literal["open"], Query(description="there is no other")] = "open",
    limit: Annotated[int, Query(ge=1, le=_MOST, description="of tasks that are looked at, the newest first")] = 50,
) -> PendingPage:
    """What the tasks that wait for people ask. A task that still does something else is not among them."""
    rows = (await house.records.list(tenant, state="WAITING", limit=limit)).rows
    found = await asyncio.gather(*(_asked(house, row) for row in rows))
    told = [one for asked in found for one in asked or []]
    unread = [row.id for row, asked in zip(rows, found, strict=True) if asked is None]
    return PendingPage(questions=sorted(told, key=lambda one: one.question.asked_at), unread=unread)


async def _asked(house: House, row: TaskRow) -> list[Pending] | None:
    try:
        found: Seen = await current(house, row)
        asked = found.progress.questions if found.progress else []
    except NoTemporal:
        return None
    if found.note and not asked:
        return None
    return [Pending(task_id=row.id, task_type=row.type, question=one) for one in asked if one.state == "open"]


@router.get("/tasks/{task_id}/questions", operation_id="list_questions")
async def find(task_id: UUID, house: OurHouse, tenant: OurTenant) -> list[Question]:
    """Open and closed questions of a task, the oldest first."""
    return await questions(house, await seen(house, tenant, task_id))


@router.post("/tasks/{task_id}/questions/{question_id}", operation_id="answer_question")
async def answer(task_id: UUID, question_id: str, body: Answer, house: OurHouse, tenant: OurTenant) -> Question:
    """Answer an open question. The first answer wins; a second one, or one that comes too late, is a conflict."""
    return await answered(house, await seen(house, tenant, task_id), question_id, body.said, body.user_id)


@router.post("/tasks/{task_id}/questions/{question_id}/reject", operation_id="reject_question")
async def reject(task_id: UUID, question_id: str, body: Rejection, house: OurHouse, tenant: OurTenant) -> Question:
    """Close an open question without an answer: whoever asked hears that there is none, whatever its `on_timeout`."""
    return await rejected(house, await seen(house, tenant, task_id), question_id, body.user_id)
