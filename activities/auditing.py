"""`approval.judge` and `audit.write`: what is looked up before a person is asked, and written down when one decided."""

import asyncio
import hashlib
from datetime import UTC, datetime

import structlog
from temporalio import activity

from activities.alive import beating
from activities.values import loaded
from holdfast import cel
from holdfast.blobs import BlobStore
from holdfast.contracts.approval import APPROVAL_JUDGE, ApprovalRule, JudgeCall, Judged
from holdfast.contracts.audit import AUDIT_WRITE, AuditNote
from holdfast.contracts.base import Json, Nothing
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.question import Question
from holdfast.ids import canonical
from store.audit import Audit, NewEntry
from store.publishing import Publisher

log = structlog.stdlib.get_logger(__name__)

_SHOWN = 4000
_TEXT = 300


class Auditor:
    """Judges calls by their rules, and keeps the audit record."""

    def __init__(self, audit: Audit, blobs: BlobStore, publisher: Publisher) -> None:
        self._audit, self._blobs, self._publisher = audit, blobs, publisher

    @activity.defn(name=APPROVAL_JUDGE.name)
    async def judge(self, request: JudgeCall) -> Judged:
        """Which rule and which grant hold for a call. What cannot be evaluated lets no call pass: a rule that asks
        holds then, one that needs nobody does not, nor does a grant."""
        structlog.contextvars.bind_contextvars(trace_id=request.task.trace_id, task_id=request.task.task_id)
        arguments = await loaded(self._blobs, request.arguments)
        names = _names(request, arguments)
        return await asyncio.to_thread(_judged, request, arguments, names)

    @activity.defn(name=AUDIT_WRITE.name)
    async def write(self, note: AuditNote) -> Nothing:
        """Questions that were closed, or escalated: these are open, and who subscribed is told."""
        structlog.contextvars.bind_contextvars(trace_id=note.task.trace_id, task_id=note.task.task_id)
        async with beating():
            await self._audit.add(note.task.principal.tenant, entries(note.task, note.questions))
            for question in note.questions:
                if question.state == "open":
                    await self._publisher.escalated(note.task, question)
        return Nothing()


def entries(task: TaskRef, questions: list[Question]) -> list[NewEntry]:
    """What the audit record says of questions. Free text that people wrote stands there as its hash."""
    return [_entry(task, question) for question in questions]


def _entry(task: TaskRef, question: Question) -> NewEntry:
    is_open = question.state == "open"
    at = question.escalated_at if is_open else question.answered_at
    state = "escalated" if is_open else question.state
    return NewEntry(
        key=f"{task.task_id} {question.id} {question.asked_at:f} {state}",
        action=f"question.{state}",
        subject=task.task_id,
        actor=question.answered_by,
        details={"question_id": question.id, "kind": question.kind, **_about(question), **_decided(question)},
        at=datetime.fromtimestamp(at or question.asked_at, UTC),
    )


def _about(question: Question) -> dict[str, Json]:
    """What it was about. Arguments of a call may hold what is nobody's business: their hash tells them apart."""
    if question.kind != "approval" or not isinstance(question.details, dict):
        return {"text": question.text[:_TEXT], "on_timeout": question.on_timeout}
    told = {key: value for key, value in question.details.items() if key in ("skill", "effect", "why")}
    return {**told, "arguments_sha256": _hash(question.details.get("arguments")), "on_timeout": question.on_timeout}


def _decided(question: Question) -> dict[str, Json]:
    answer = question.answer
    if question.state != "answered":
        return {}
    if question.kind in ("approval", "budget") or (question.options and answer in question.options):
        return {"answer": answer}
    return {"answer_sha256": _hash(answer)}


def _hash(value: Json) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _names(request: JudgeCall, arguments: Json) -> dict[str, Json]:
    principal = request.task.principal
    return {
        "arguments": arguments,
        "skill": request.skill,
        "agent": request.agent,
        "tenant": principal.tenant,
        "user_hash": principal.user_hash or "",
    }


def _judged(request: JudgeCall, arguments: Json, names: dict[str, Json]) -> Judged:
    rule, why = _first(request.rules, names)
    above: dict[str, int] = {}
    doubts: dict[str, str] = {}
    for agent, rules in request.above.items():
        place, doubt = _first(rules, names)
        if place is not None and rules[place].policy == "always":
            above[agent], doubts[agent] = place, doubt
    grants = (number for number, when in enumerate(request.grants) if not when or _is_true(when, names))
    shown = _shown(arguments) if request.arguments.ref else ""
    return Judged(rule=rule, above=above, doubts=doubts, grant=next(grants, None), shown=shown, why=why)


def _first(rules: list[ApprovalRule], names: dict[str, Json]) -> tuple[int | None, str]:
    """The place of the first rule that holds, and why nobody can tell whether it does."""
    for number, rule in enumerate(rules):
        holds, why = _holds(rule, names)
        if holds:
            return number, why
    return None, ""


def _holds(rule: ApprovalRule, names: dict[str, Json]) -> tuple[bool, str]:
    if not rule.when:
        return True, ""
    try:
        return cel.is_true(rule.when, names), ""
    except ValueError as exc:
        log.warning("approval.not_judged", reason=str(exc)[:200])
        return rule.policy == "always", f"nobody can tell whether it needs a word: {exc}"


def _is_true(when: str, names: dict[str, Json]) -> bool:
    try:
        return cel.is_true(when, names)
    except ValueError:
        return False


def _shown(arguments: Json) -> str:
    text = canonical(arguments).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
