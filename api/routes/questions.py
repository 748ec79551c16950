"""What tasks ask of people, and the answers."""

import asyncio
import functools
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from api.house import House, OurHouse, OurTenant
from api.progress import handle_of
from api.temporal import answering, refusal
from api.view import Seen, current, questions
from holdfast.contracts.base import Json
from holdfast.contracts.program import FINAL, UPDATE_ANSWER
from holdfast.contracts.question import OUTCOMES, AnswerMessage, Question
from holdfast.contracts.task import Body
from holdfast.errors import Conflict, InvalidRequest, NoTemporal, NotFound, shown
from holdfast.ids import user_hash
from holdfast.snapshot import Catalogue
from holdfast.starts import checked_source
from holdfast.temporal.updates import processed

router = APIRouter(prefix="/tasks/{task_id}/questions", tags=["questions"])


class Answer(Body):
    """Either `answer` or `value` (the same, for older clients): any JSON, one of the options if there are any."""

    answer: Json = None
    value: Json = None
    user_id: str | None = None


@router.get("", operation_id="list_questions")
async def find(task_id: UUID, house: OurHouse, tenant: OurTenant) -> list[Question]:
    """Open and closed questions of a task, the oldest first."""
    return await questions(house, await _seen(house, tenant, task_id))


@router.post("/{question_id}", operation_id="answer_question")
async def answer(task_id: UUID, question_id: str, body: Answer, house: OurHouse, tenant: OurTenant) -> Question:
    """Answer an open question. The first answer wins; a second one is a conflict."""
    seen = await _seen(house, tenant, task_id)
    question = _one(await questions(house, seen), question_id, task_id)
    if question.state != "open" or seen.row.state in FINAL:
        raise Conflict(
            f"question {question_id!r} is {question.state} already; the first answer wins", state=question.state
        )
    given = await asyncio.to_thread(_checked, house, seen, question, _value(body))
    by = user_hash(body.user_id) if body.user_id else None
    await _tell(house, seen, AnswerMessage(question_id=question_id, value=given, by=by))
    return question.model_copy(update={"state": "answered", "answer": given, "answered_by": by})


async def _seen(house: House, tenant: str, task_id: UUID) -> Seen:
    return await current(house, await house.records.get(tenant, str(task_id)))


def _one(asked: list[Question], question_id: str, task_id: UUID) -> Question:
    found = next((one for one in asked if one.id == question_id), None)
    if found is None:
        known = ", ".join(repr(one.id) for one in asked if one.state == "open") or "none"
        raise NotFound(f"no question {shown(question_id)} in task {task_id}; open: {known}")
    return found


def _value(body: Answer) -> Json:
    if not body.model_fields_set & {"answer", "value"}:
        raise InvalidRequest('answer: is missing in the body; send {"answer": …}')
    return body.answer if "answer" in body.model_fields_set else body.value


def _checked(house: House, seen: Seen, question: Question, value: Json) -> Json:
    """The value as the workflow takes it.

    Raises:
        InvalidRequest: it is none of those that this question allows.
        ProgramInvalid: it is to be a mended program, and does not compile.
    """
    if question.kind == "repair":
        if not isinstance(value, str):
            raise InvalidRequest(
                f"answer: found {shown(value)}; a question of kind 'repair' takes the mended source as text"
            )
        skills = Catalogue.open(house.blobs, seen.row.catalogue).skills if seen.row.catalogue else {}
        mended = checked_source(value, list(skills.values()))
        return {"source": mended.source, "first_line": mended.first_line}
    if question.kind == "outcome":
        outcome = value.get("outcome") if isinstance(value, dict) else value
        return _among(value, outcome, list(OUTCOMES))
    return _among(value, value, question.options) if question.options else value


def _among(value: Json, chosen: Json, options: list[str]) -> Json:
    if chosen not in options:
        raise InvalidRequest(
            f"answer: found {shown(chosen)}; allowed: {', '.join(map(repr, options))}", allowed=options
        )
    return value


async def _tell(house: House, seen: Seen, message: AnswerMessage) -> None:
    handle: Any = await handle_of(house, seen.row)
    send = functools.partial(handle.execute_update, UPDATE_ANSWER, message, id=str(uuid4()))
    try:
        async with answering(10.0):
            await processed(send)
    except WorkflowUpdateFailedError as exc:
        raise refusal(exc.cause) or exc from exc
    except NoTemporal as exc:
        raise NoTemporal(
            f"{exc}. The answer may not have arrived: look at the question before answering again"
        ) from exc
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
        raise Conflict(f"task {seen.row.id} is over; its questions can no longer be answered") from exc
