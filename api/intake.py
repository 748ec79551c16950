"""From a request to a running task: checked first, then recorded, then started, so that no task is lost on the way."""

import asyncio
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from api.house import House
from api.problems import InvalidRequest, TooLarge, UnknownTaskType
from api.temporal import answering
from holdfast.contracts.base import INLINE_ARGUMENT_BYTES, Failure, Json
from holdfast.contracts.principal import Principal, TaskRef
from holdfast.contracts.program import FINAL, PROGRAM_WORKFLOW, QUEUE_AGENTS, ProgramSpec, Version
from holdfast.contracts.skill import SkillFacts
from holdfast.contracts.task import TaskRequest
from holdfast.errors import NoTemporal, ProgramInvalid, UnknownSkill, shown
from holdfast.ids import canonical, new_task_id, task_id_from_key
from holdfast.log import get_logger
from holdfast.snapshot import Catalogue
from holdfast.source import Source, check, describe, normalise
from holdfast.temporal import attributes
from store.records import NewTask, TaskRow
from workflows import policies

MAX_INPUT_BYTES = 1 << 20
_TYPES = ("program",)

log = get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """A request that passed every check. No e-mail address is left in it."""

    task: TaskRef
    source: Source
    inputs: Json
    request: TaskRequest
    catalogue: str


async def accept(house: House, request: TaskRequest, tenant: str, trace_id: str) -> tuple[TaskRow, bool]:
    """Record and start a task; the row, and whether it is new. A known idempotency key leads to the task it made.

    Raises:
        ProgramInvalid, UnknownSkill, InvalidRequest, TooLarge, UnknownTaskType: the request is wrong; nothing was kept.
        IdempotencyMismatch: the key was used for another request.
        NoTemporal: not started. With a key, the same request again starts it.
    """
    asked = await _checked(house, request, tenant, trace_id)
    row, is_new = await house.records.create(await asyncio.to_thread(_record, house, asked))
    if row.state not in FINAL and (is_new or row.state == "PENDING"):
        row = await _started(house, asked, row)
    return row, is_new


async def _checked(house: House, request: TaskRequest, tenant: str, trace_id: str) -> Asked:
    if request.type not in _TYPES:
        raise UnknownTaskType(
            f"task type {shown(request.type)} is not known; available: {', '.join(_TYPES)}", available=list(_TYPES)
        )
    if request.program is None:
        raise InvalidRequest("program: is missing in the body; a task of type 'program' needs its source text")
    inputs, asker = _without_mail(request)
    _check_input(inputs)
    catalogue, sha, _ = await asyncio.to_thread(house.library.current)
    granted = _granted(catalogue, request.skills)
    source = await asyncio.to_thread(checked_source, request.program, [facts.name for facts in granted])
    key = request.idempotency_key
    task = TaskRef(
        task_id=task_id_from_key(tenant, key) if key else new_task_id(),
        principal=Principal(tenant=tenant, user_hash=asker),
        trace_id=trace_id,
    )
    return Asked(task, source, inputs, request, sha)


def _granted(catalogue: Catalogue, names: list[str] | None) -> list[SkillFacts]:
    try:
        return catalogue.granted(names)
    except UnknownSkill as exc:
        raise InvalidRequest(f"skills: {exc}") from exc


def user_hash(user_id: str) -> str:
    """All that is kept of a user's e-mail address or name: sha256 of it, trimmed and in lower case."""
    return hashlib.sha256(user_id.strip().lower().encode()).hexdigest()


def _without_mail(request: TaskRequest) -> tuple[Json, str | None]:
    """The input with `user_email` as its hash, and the hash of who asks."""
    inputs, asker = request.input, request.user_id or ""
    if isinstance(inputs, dict) and isinstance(mail := inputs.get("user_email"), str) and mail:
        inputs = inputs | {"user_email": user_hash(mail)}
        asker = asker or mail
    return inputs, user_hash(asker) if asker.strip() else None


def _check_input(inputs: Json) -> None:
    try:
        size = len(canonical(inputs))
    except ValueError as exc:
        raise InvalidRequest(f"input: {exc}; allowed is JSON in UTF-8, without NaN and infinities") from None
    if size > MAX_INPUT_BYTES:
        raise TooLarge(
            f"input has {size} bytes of JSON; {MAX_INPUT_BYTES} are allowed. "
            "Put large data into a file of the project, which the program's skills can read"
        )


def checked_source(text: str, skills: Collection[str]) -> Source:
    """
    Raises:
        ProgramInvalid: it does not compile, or names a skill that is not there; each place is in `details`.
    """
    source = normalise(text)
    if problems := check(source, skills):
        raise ProgramInvalid(describe(problems), problems=[vars(problem) for problem in problems])
    return source


def _record(house: House, asked: Asked) -> NewTask:
    version = Version(source=asked.source.source, first_line=asked.source.first_line)
    large = len(canonical(asked.inputs)) > INLINE_ARGUMENT_BYTES
    return NewTask(
        tenant=asked.task.principal.tenant,
        id=asked.task.task_id,
        type=asked.request.type,
        trace_id=asked.task.trace_id,
        user_hash=asked.task.principal.user_hash,
        catalogue=asked.catalogue,
        request_hash=_request_hash(asked) if asked.request.idempotency_key else None,
        source_ref=house.blobs.put_json(version.model_dump()),
        input=None if large else asked.inputs,
        input_ref=house.blobs.put_json(asked.inputs) if large else None,
    )


def _request_hash(asked: Asked) -> str:
    """Two requests with one key are the same if all that bears on the task's work is."""
    body: dict[str, Any] = asked.request.model_dump(exclude={"trace_id", "idempotency_key", "user_id", "tenant_id"})
    body |= {"input": asked.inputs, "user_hash": asked.task.principal.user_hash}
    return hashlib.sha256(canonical(body)).hexdigest()


async def _started(house: House, asked: Asked, row: TaskRow) -> TaskRow:
    spec = await asyncio.to_thread(_spec, house, asked, row)
    try:
        client = await house.temporal.client()
    except NoTemporal as exc:
        if not asked.request.idempotency_key:
            row = await not_started(house, row, str(exc))
        raise _told(exc, asked, row) from exc
    try:
        async with answering():
            await _start(client, spec, row.type)
    except NoTemporal as exc:
        raise _told(exc, asked, row) from exc
    except RPCError as exc:
        await not_started(house, row, exc.message)
        raise
    return row


async def _start(client: Client, spec: ProgramSpec, kind: str) -> None:
    """Start a workflow, or find that it was started before."""
    task = spec.task
    try:
        await client.start_workflow(
            PROGRAM_WORKFLOW,
            spec,
            id=task.workflow_id,
            task_queue=QUEUE_AGENTS,
            task_timeout=policies.TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            memo={"trace_id": task.trace_id, "catalogue": spec.catalogue},
            search_attributes=attributes.pairs(
                tenant=task.principal.tenant,
                user_hash=task.principal.user_hash,
                task_type=kind,
                trace_id=task.trace_id,
            ),
            static_summary=f"program of {len(spec.source.splitlines())} lines",
        )
    except WorkflowAlreadyStartedError:
        log.info("task.found", task_id=task.task_id)
    else:
        log.info("task.started", task_id=task.task_id, type=kind, skills=len(spec.skills))


def _spec(house: House, asked: Asked, row: TaskRow) -> ProgramSpec:
    """What the row pinned when it was made holds, also if this request is a later one with the same key."""
    sha = row.catalogue or asked.catalogue
    request = asked.request
    return ProgramSpec(
        task=asked.task.model_copy(update={"trace_id": row.trace_id}),
        source=asked.source.source,
        first_line=asked.source.first_line,
        inputs=asked.inputs,
        catalogue=sha,
        skills=Catalogue.open(house.blobs, sha).granted(request.skills),
        limits=request.limits,
        tuning=request.tuning,
        on_error="ask" if request.on_error == "ask" else "fail",
    ).pinned()


async def not_started(house: House, row: TaskRow, reason: str) -> TaskRow:
    """Close the record of a task of which it is sure that Temporal has never heard."""
    failure = Failure(type="NotStarted", message=f"the task was never started: {reason}")
    log.warning("task.not_started", task_id=row.id)
    change = await house.records.change(row.tenant, row.id, "ERROR", failure=failure.model_dump())
    return change.row


def _told(exc: NoTemporal, asked: Asked, row: TaskRow) -> NoTemporal:
    if asked.request.idempotency_key:
        advice = f"Send the same request again, with the same idempotency key: it starts task {row.id} once"
    elif row.state in FINAL:
        advice = "Nothing was started: send the request again. With an idempotency_key, repeating is always safe"
    else:
        advice = f"Whether task {row.id} was started is not known: look at it before sending the request again"
    return NoTemporal(f"{exc}. {advice}", task_id=row.id)
