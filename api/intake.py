"""From a request to a running task: checked first, then recorded, then started, so that no task is lost on the way."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from api.capacity import Place
from api.house import House
from api.temporal import answering
from holdfast.contracts.base import Failure, Json, Sha256
from holdfast.contracts.principal import Principal, TaskRef
from holdfast.contracts.program import FINAL, QUEUE_AGENTS
from holdfast.contracts.task import TaskRequest
from holdfast.errors import InvalidRequest, NoTemporal, NotFound, TooLarge, TooManyTasks
from holdfast.ids import canonical, new_task_id, task_id_from_key
from holdfast.log import get_logger
from holdfast.snapshot import Catalogue
from holdfast.starts import Start, Wanted, kept, start
from holdfast.temporal import attributes
from store.records import NewTask, TaskRow
from workflows import policies

MAX_INPUT_BYTES = 1 << 20
_TRUST_SECONDS = 0.2
"""A look at every file of the project costs 1.5 ms: more than all other checks of a task."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """A request that passed every check, and what it starts."""

    wanted: Wanted
    start: Start

    @property
    def request(self) -> TaskRequest:
        return self.wanted.request

    @property
    def task(self) -> TaskRef:
        return self.wanted.task


async def accept(house: House, request: TaskRequest, tenant: str, trace_id: str) -> tuple[TaskRow, bool]:
    """Record and start a task; the row, and whether it is new. A known idempotency key leads to the task it made.

    Raises:
        UserError: the request is wrong; nothing was kept.
        IdempotencyMismatch: the key was used for another request.
        TooManyTasks: there is no room for a new task; nothing was kept.
        NoTemporal: not started. With a key, the same request again starts it.
    """
    async with _place(house, request, tenant) as place:
        async with house.capacity.checks:
            asked, new = await asyncio.to_thread(_checked, house, request, tenant, trace_id)
        row, is_new = await house.records.create(new)
        place.is_used = is_new
    if row.state not in FINAL and (is_new or row.state == "PENDING"):
        row = await _started(house, asked, row)
    return row, is_new


@asynccontextmanager
async def _place(house: House, request: TaskRequest, tenant: str) -> AsyncIterator[Place]:
    """Room for a task. One that was accepted before has its own, and is answered also when there is none."""
    async with AsyncExitStack() as stack:
        try:
            place = await stack.enter_async_context(house.capacity.place(tenant))
        except TooManyTasks:
            if not await _is_known(house, request, tenant):
                raise
            place = Place()
        yield place


async def _is_known(house: House, request: TaskRequest, tenant: str) -> bool:
    if request.idempotency_key is None:
        return False
    try:
        await house.records.get(tenant, task_id_from_key(tenant, request.idempotency_key))
    except NotFound:
        return False
    return True


def _checked(house: House, request: TaskRequest, tenant: str, trace_id: str) -> tuple[Asked, NewTask]:
    """What a request starts, and its record. All that reads or writes files is in here, for a thread of its own."""
    inputs, asker = _without_mail(request)
    _check_input(inputs)
    catalogue, sha, _ = house.library.current(_TRUST_SECONDS)
    key = request.idempotency_key
    task = TaskRef(
        task_id=task_id_from_key(tenant, key) if key else new_task_id(),
        principal=Principal(tenant=tenant, user_hash=asker),
        trace_id=trace_id,
    )
    settings = house.settings
    wanted = Wanted(request, inputs, task, catalogue, sha, house.blobs, settings.default_agent, settings.max_file_bytes)
    asked = Asked(wanted, _begun(house, wanted))
    return asked, _record(house, asked)


def _begun(house: House, wanted: Wanted) -> Start:
    """What a request starts, with the running time of the settings if it sets none."""
    found, limits = start(wanted), wanted.request.limits
    if "run_seconds" in limits.model_fields_set:
        return found
    limits = found.spec.limits.model_copy(update={"run_seconds": house.settings.sandbox_timeout_ms / 1000})
    return replace(found, spec=found.spec.model_copy(update={"limits": limits}))


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
            "Send large data with POST /files, and name it in `files`"
        )


def _record(house: House, asked: Asked) -> NewTask:
    begins, task = asked.start, asked.task
    given = kept(house.blobs, asked.wanted.inputs)
    return NewTask(
        tenant=task.principal.tenant,
        id=task.task_id,
        type=begins.type,
        name=begins.name,
        trace_id=task.trace_id,
        user_hash=task.principal.user_hash,
        session_id=asked.request.session_id,
        catalogue=asked.wanted.sha,
        request_hash=_request_hash(asked) if asked.request.idempotency_key else None,
        source_ref=house.blobs.put_json(begins.source.model_dump()) if begins.source else None,
        input=given.inline,
        input_ref=given.ref,
    )


def _request_hash(asked: Asked) -> str:
    """Two requests with one key are the same if all that bears on the task's work is.

    Fields that are as if not sent are left out: one that a later release adds must not make an old request another.
    """
    unlike = {"trace_id", "idempotency_key", "user_id", "tenant_id"}
    body: dict[str, Any] = asked.request.model_dump(mode="json", exclude=unlike, exclude_defaults=True)
    body |= {"input": asked.wanted.inputs, "user_hash": asked.task.principal.user_hash}
    return hashlib.sha256(canonical(body)).hexdigest()


async def _started(house: House, asked: Asked, row: TaskRow) -> TaskRow:
    begins = await _pinned(house, asked, row)
    try:
        client = await house.temporal.client()
    except NoTemporal as exc:
        if not asked.request.idempotency_key:
            row = await not_started(house, row, str(exc))
        raise _told(exc, asked, row) from exc
    try:
        async with house.capacity.turn(), answering():
            await _start(house, client, begins, asked, row)
    except NoTemporal as exc:
        raise _told(exc, asked, row) from exc
    except RPCError as exc:
        await not_started(house, row, exc.message)
        raise
    return row


async def _start(house: House, client: Client, begins: Start, asked: Asked, row: TaskRow) -> None:
    """Start a workflow, or find that it was started before."""
    try:
        await client.start_workflow(
            begins.workflow,
            begins.spec,
            id=asked.task.workflow_id,
            task_queue=QUEUE_AGENTS,
            task_timeout=policies.TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            memo={"trace_id": row.trace_id, "catalogue": row.catalogue or asked.wanted.sha},
            search_attributes=attributes.pairs(
                tenant=row.tenant,
                user_hash=row.user_hash,
                task_type=row.type,
                task_name=row.name or None,
                session_id=row.session_id,
                trace_id=row.trace_id,
            ),
            static_summary=begins.summary,
            priority=_priority(house, asked, row),
        )
    except WorkflowAlreadyStartedError:
        log.info("task.found", task_id=row.id)
    else:
        log.info("task.started", task_id=row.id, type=row.type)


def _priority(house: House, asked: Asked, row: TaskRow) -> Priority:
    """In which order work that has to wait is taken, children and activities included: by priority, then by tenant."""
    weight = house.settings.tenant_weights.get(row.tenant)
    return Priority(priority_key=asked.request.priority, fairness_key=row.tenant, fairness_weight=weight)


async def _pinned(house: House, asked: Asked, row: TaskRow) -> Start:
    """What the row pinned when it was made holds, also if this request is a later one with the same key."""
    sha, trace_id = row.catalogue or asked.wanted.sha, row.trace_id
    if (sha, trace_id) == (asked.wanted.sha, asked.task.trace_id):
        return asked.start
    return await asyncio.to_thread(_restored, house, asked, sha, trace_id)


def _restored(house: House, asked: Asked, sha: Sha256, trace_id: str) -> Start:
    task = asked.task.model_copy(update={"trace_id": trace_id})
    catalogue = Catalogue.open(asked.wanted.blobs, sha)
    return _begun(house, replace(asked.wanted, task=task, catalogue=catalogue, sha=sha))


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
