"""A person's answer on its way to the task that asked: checked here, decided there."""

import asyncio
import functools
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from api.house import House
from api.progress import handle_of
from api.temporal import answering, refusal
from api.view import Seen, current, questions
from holdfast.approvals import check_when, decision_of
from holdfast.contracts.base import Json
from holdfast.contracts.program import FINAL, UPDATE_ANSWER
from holdfast.contracts.question import OUTCOMES, AnswerMessage, Question
from holdfast.errors import Conflict, InvalidRequest, NoTemporal, NotFound, shown
from holdfast.forms import unfit
from holdfast.ids import user_hash
from holdfast.snapshot import Catalogue
from holdfast.starts import checked_source
from holdfast.temporal.updates import processed
from store.records import TaskRow


async def seen(house: House, tenant: str, task_id: object) -> Seen:
    return await current(house, await house.records.get(tenant, str(task_id)))


async def answered(
    house: House, found: Seen, question_id: str, value: Json, user_id: str | None, update_id: str | None = None
) -> Question:
    """The question with its answer, once the task has taken it. An answer with the same `update_id` is the same answer.

    Raises:
        NotFound, Conflict: it is not there, or not open any more.
        InvalidRequest, ProgramInvalid: the answer does not fit it.
    """
    question = await _open(house, found, question_id)
    given = await asyncio.to_thread(_checked, house, found, question, value)
    by = user_hash(user_id) if user_id else None
    await _tell(house, found, AnswerMessage(question_id=question_id, value=given, by=by), update_id)
    return question.model_copy(update={"state": "answered", "answer": given, "answered_by": by})


async def rejected(house: House, found: Seen, question_id: str, user_id: str | None) -> Question:
    """The same of a question that nobody will answer."""
    question = await _open(house, found, question_id)
    by = user_hash(user_id) if user_id else None
    await _tell(house, found, AnswerMessage(question_id=question_id, reject=True, by=by))
    return question.model_copy(update={"state": "rejected", "answered_by": by})


async def _open(house: House, found: Seen, question_id: str) -> Question:
    asked = await questions(house, found)
    question = next((one for one in asked if one.id == question_id), None)
    if question is None:
        known = ", ".join(repr(one.id) for one in asked if one.state == "open") or "none"
        raise NotFound(f"no question {shown(question_id)} in task {found.row.id}; open: {known}")
    if question.state != "open" or found.row.state in FINAL:
        state = "withdrawn" if question.state == "open" else question.state
        raise Conflict(f"question {question_id!r} is {state} already; the first answer wins", state=state)
    return question


def _checked(house: House, found: Seen, question: Question, value: Json) -> Json:
    """The value as the workflow takes it.

    Raises:
        InvalidRequest: it is none of those that this question allows.
        ProgramInvalid: it is to be a mended program, and does not compile.
    """
    match question.kind:
        case "repair":
            return _mended(house, found, value)
        case "approval":
            return _decision(value)
        case "outcome":
            outcome = value.get("outcome") if isinstance(value, dict) else value
            return _fitting(value, outcome, list(OUTCOMES), None)
    return _fitting(value, value, question.options, question.form)


def _mended(house: House, found: Seen, value: Json) -> Json:
    if not isinstance(value, str):
        raise InvalidRequest(
            f"answer: found {shown(value)}; a question of kind 'repair' takes the mended source as text"
        )
    skills = Catalogue.open(house.blobs, found.row.catalogue).skills if found.row.catalogue else {}
    mended = checked_source(value, list(skills.values()))
    return {"source": mended.source, "first_line": mended.first_line}


def _decision(value: Json) -> Json:
    try:
        decision = decision_of(value)
        if decision.grant is not None and decision.grant.when:
            check_when(decision.grant.when)
    except ValueError as exc:
        raise InvalidRequest(f"answer: {exc}") from None
    return value


def _fitting(value: Json, chosen: Json, options: list[str], form: dict[str, Json] | None) -> Json:
    if options and chosen not in options:
        allowed = ", ".join(map(repr, options))
        raise InvalidRequest(f"answer: found {shown(chosen)}; allowed: {allowed}", allowed=options)
    if problem := unfit([], form, chosen):
        raise InvalidRequest(f"answer: does not fit the form of the question: {problem}", form=form)
    return value


async def was_answered(house: House, row: TaskRow, update_id: str) -> bool:
    """Whether a task took an answer with this id."""
    try:
        handle: Any = await handle_of(house, row)
        async with answering():
            await handle.get_update_handle(update_id).result()
    except (RPCError, WorkflowUpdateFailedError):
        return False
    return True


async def _tell(house: House, found: Seen, message: AnswerMessage, update_id: str | None = None) -> None:
    handle: Any = await handle_of(house, found.row)
    send = functools.partial(handle.execute_update, UPDATE_ANSWER, message, id=update_id or str(uuid4()))
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
        raise Conflict(f"task {found.row.id} is over; its questions can no longer be answered") from exc
