"""From a request to a task that may begin: checked first, then recorded, whoever starts it."""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass, replace
from typing import Any

from holdfast.blobs import BlobStore
from holdfast.catalogue import Library
from holdfast.config import Settings
from holdfast.contracts.base import Json, Sha256
from holdfast.contracts.begin import Begin, Cause, begin_of
from holdfast.contracts.principal import Principal, TaskRef
from holdfast.contracts.task import TaskRequest
from holdfast.errors import InvalidRequest, NotFound, TooLarge, TooManyTasks
from holdfast.ids import canonical, new_task_id, task_id_from_key, user_hash
from holdfast.snapshot import Catalogue
from holdfast.starts import Start, Wanted, kept, start
from store.records import NewTask, Records, TaskRow

MAX_INPUT_BYTES = 1 << 20
_TRUST_SECONDS = 0.2
"""A look at every file of the project costs 1.5 ms: more than all other checks of a task."""
_PAUSE_SECONDS = 5


@dataclass(frozen=True)
class Checked:
    """A request that passed every check, what it starts, and its record."""

    wanted: Wanted
    start: Start
    new: NewTask


class Admission:
    """Takes tasks for the newest catalogue of the project."""

    def __init__(self, settings: Settings, records: Records, library: Library, blobs: BlobStore) -> None:
        self._settings, self._records, self._library, self._blobs = settings, records, library, blobs

    async def admit(
        self, request: TaskRequest, tenant: str, trace_id: str, cause: Cause | None = None
    ) -> tuple[Begin, TaskRow, bool]:
        """Check and record a task; what starts it, its row, and whether that is new. A known idempotency key leads to
        the task it made.

        Raises:
            UserError: the request is wrong; nothing was kept.
            IdempotencyMismatch: the key was used for another request.
            TooManyTasks: as many are in work as may be; nothing was kept.
        """
        checked = await self.checked(request, tenant, trace_id, cause)
        await self._room(tenant, checked.new.id)
        row, is_new = await self._records.create(checked.new)
        return await self.begin(checked, row), row, is_new

    async def checked(self, request: TaskRequest, tenant: str, trace_id: str, cause: Cause | None = None) -> Checked:
        """
        Raises:
            UserError: the request is wrong. Nothing was written but blobs.
        """
        # All that reads or writes files is in here, for a thread of its own.
        return await asyncio.to_thread(self._checked, request, tenant, trace_id, cause)

    async def record(self, checked: Checked) -> tuple[TaskRow, bool]:
        """The row of a task, and whether it is new, for one that starts it, and may die before: what starts it is kept
        in the row until it has begun.

        Raises:
            IdempotencyMismatch: the key was used for another request.
        """
        begins = self._begin(checked.wanted, checked.start).model_dump(mode="json", exclude_unset=True)
        return await self._records.create(replace(checked.new, begins=begins))

    async def begin(self, checked: Checked, row: TaskRow) -> Begin:
        """What starts a task. What the row pinned when it was made holds, also if this request is a later one with the
        same key."""
        wanted, sha, trace_id = checked.wanted, row.catalogue or checked.wanted.sha, row.trace_id
        begins = checked.start
        if (sha, trace_id) != (wanted.sha, wanted.task.trace_id):
            wanted, begins = await asyncio.to_thread(self._restored, wanted, sha, trace_id)
        return self._begin(wanted, begins)

    def _begin(self, wanted: Wanted, begins: Start) -> Begin:
        return begin_of(
            begins.spec,
            task=wanted.task,
            type=begins.type,
            name=begins.name,
            summary=begins.summary,
            catalogue=wanted.sha,
            session_id=wanted.request.session_id,
            priority=wanted.request.priority,
            fairness_weight=self._settings.tenant_weights.get(wanted.task.principal.tenant),
        )

    async def _room(self, tenant: str, task_id: str) -> None:
        """One that was accepted before has its own."""
        for whose, limit in ((tenant, self._settings.max_tenant_tasks), (None, self._settings.max_tasks)):
            if await self._records.in_work(whose) < limit:
                continue
            with contextlib.suppress(NotFound):
                await self._records.get(tenant, task_id)
                return
            raise TooManyTasks(f"{limit} tasks are in work; as many may be. Nothing was recorded", _PAUSE_SECONDS)

    def _checked(self, request: TaskRequest, tenant: str, trace_id: str, cause: Cause | None) -> Checked:
        inputs, asker = _without_mail(request)
        _check_input(inputs)
        catalogue, sha, _ = self._library.current(_TRUST_SECONDS)
        key = request.idempotency_key
        task = TaskRef(
            task_id=task_id_from_key(tenant, key) if key else new_task_id(),
            principal=Principal(tenant=tenant, user_hash=asker),
            trace_id=trace_id,
        )
        agent, most = self._settings.default_agent, self._settings.max_file_bytes
        wanted = Wanted(request, inputs, task, catalogue, sha, self._blobs, agent, most)
        begins = self._begun(wanted)
        return Checked(wanted, begins, self._record(wanted, begins, cause))

    def _begun(self, wanted: Wanted) -> Start:
        """What a request starts, with the running time of the settings if it sets none."""
        found, limits = start(wanted), wanted.request.limits
        if "run_seconds" in limits.model_fields_set:
            return found
        limits = found.spec.limits.model_copy(update={"run_seconds": self._settings.sandbox_timeout_ms / 1000})
        return replace(found, spec=found.spec.model_copy(update={"limits": limits}))

    def _restored(self, wanted: Wanted, sha: Sha256, trace_id: str) -> tuple[Wanted, Start]:
        task = wanted.task.model_copy(update={"trace_id": trace_id})
        pinned = replace(wanted, task=task, catalogue=Catalogue.open(self._blobs, sha), sha=sha)
        return pinned, self._begun(pinned)

    def _record(self, wanted: Wanted, begins: Start, cause: Cause | None) -> NewTask:
        task, request = wanted.task, wanted.request
        given = kept(self._blobs, wanted.inputs)
        return NewTask(
            tenant=task.principal.tenant,
            id=task.task_id,
            type=begins.type,
            name=begins.name,
            trace_id=task.trace_id,
            user_hash=task.principal.user_hash,
            session_id=request.session_id,
            catalogue=wanted.sha,
            request_hash=_request_hash(wanted) if request.idempotency_key else None,
            source_ref=self._blobs.put_json(begins.source.model_dump()) if begins.source else None,
            input=given.inline,
            input_ref=given.ref,
            callback_url=request.callback_url,
            cause=None if cause is None else cause.model_dump(exclude_defaults=True),
        )


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


def _request_hash(wanted: Wanted) -> str:
    """Two requests with one key are the same if all that bears on the task's work is.

    Fields that are as if not sent are left out: one that a later release adds must not make an old request another.
    """
    unlike = {"trace_id", "idempotency_key", "user_id", "tenant_id"}
    body: dict[str, Any] = wanted.request.model_dump(mode="json", exclude=unlike, exclude_defaults=True)
    body |= {"input": wanted.inputs, "user_hash": wanted.task.principal.user_hash}
    return hashlib.sha256(canonical(body)).hexdigest()
