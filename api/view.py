"""A task as it stands now: its record, and, while it is not final, what Temporal says of it."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from api import sessions
from api.endings import noticed
from api.house import House
from api.intake import not_started
from api.progress import QUERY_SECONDS, Handle, handle_of, program_waits, query, whole
from api.temporal import answering
from api.unbegun import START_GRACE
from api.waiting import waiting
from holdfast import filenames
from holdfast.contracts.base import Failure, Json
from holdfast.contracts.budget import BudgetState
from holdfast.contracts.program import FINAL, QUERY_PROGRESS, Progress, Segment, TaskState
from holdfast.contracts.question import Question
from holdfast.contracts.task import Task
from holdfast.errors import NoTemporal
from holdfast.ids import workflow_id
from store.records import Changes, TaskRow
from store.results import took

_LOOK_SECONDS = 0.1

STATUS: dict[TaskState, str] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "WAITING": "running",
    "DONE": "done",
    "ERROR": "error",
    "CANCELLED": "error",
    "TIMED_OUT": "error",
}
"""The four words of P-05 for our states."""


@dataclass(frozen=True)
class Seen:
    """A record, and what its workflow and that of its program said, if it runs and a worker could answer.

    `note` says why none could; `waiting` is what failed and will be tried again, a line each.
    """

    row: TaskRow
    progress: Progress | None = None
    note: str = ""
    waiting: list[str] = field(default_factory=list)

    @property
    def state(self) -> TaskState:
        if self.progress and self.row.state not in FINAL:
            # An end counts once it is recorded: until then there is no output to show with it.
            return "RUNNING" if self.progress.state in FINAL else self.progress.state
        return cast(TaskState, self.row.state)


async def current(house: House, row: TaskRow) -> Seen:
    """Check a record that is not final against Temporal. A workflow that ended without telling is recorded here."""
    if row.state in FINAL:
        return Seen(row)
    try:
        handle = await handle_of(house, row)
        async with answering(QUERY_SECONDS):
            found = await handle.describe()
    except NoTemporal as exc:
        return Seen(row, note=str(exc))
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
        return await _unknown(house, row)
    if found.status == WorkflowExecutionStatus.RUNNING:
        return await _running(house, row, handle, waiting(found))
    return Seen(await noticed(house, row, handle))


async def questions(house: House, seen: Seen) -> list[Question]:
    """All questions of a task; once it is over and no worker remembers them, those that its journal closed with.

    Raises:
        NoTemporal: the task is not over, and no worker can tell.
    """
    if seen.progress:
        return seen.progress.questions
    try:
        progress: Progress = await query(await handle_of(house, seen.row), QUERY_PROGRESS, Progress)
    except NoTemporal:
        if seen.row.state in FINAL:
            return await asyncio.to_thread(_closed_with, house, seen.row)
        raise
    return progress.questions


def _closed_with(house: House, row: TaskRow) -> list[Question]:
    if not row.journal:
        return []
    closing = Segment.model_validate(house.blobs.get_json(row.journal[-1])).closing
    return closing.questions if closing else []


async def _running(house: House, row: TaskRow, handle: Handle, lines: list[str]) -> Seen:
    own: Progress | None = None
    try:
        own = await query(handle, QUERY_PROGRESS, Progress)
        progress, more = await asyncio.gather(whole(house, own), program_waits(house, own))
    except NoTemporal as exc:
        return Seen(row, own, str(exc), lines)
    return Seen(row, progress, waiting=[*lines, *more])


async def _unknown(house: House, row: TaskRow) -> Seen:
    try:
        if row.state == "PENDING" and await sessions.waits(house, row):
            return Seen(row)
    except NoTemporal as exc:
        return Seen(row, note=str(exc))
    if row.state == "PENDING" and datetime.now(UTC) - row.created_at > START_GRACE:
        return Seen(await not_started(house, row, "Temporal does not know it; send the request again"))
    # Not written down: TEMPORAL_ADDRESS may merely name the wrong server today.
    where = f"{house.settings.temporal_address!r}, namespace {house.settings.temporal_namespace!r}"
    return Seen(row, note=f"the Temporal server at {where} does not know this task's workflow")


async def ended(house: House, row: TaskRow, seconds: float) -> TaskRow:
    """The record once the task is over, or after `seconds`."""
    if row.state in FINAL:
        return row
    with contextlib.suppress(NoTemporal, WorkflowFailureError, RPCError):
        handle = await handle_of(house, row)
        async with answering(seconds):
            if row.session_id is not None:
                await _begun(handle)
            await handle.result()
    return await house.records.get(row.tenant, row.id)


async def _begun(handle: Handle) -> None:
    """Until a turn has begun: it waits for those before it."""
    while True:
        try:
            await handle.describe()
        except RPCError as exc:
            if exc.status != RPCStatusCode.NOT_FOUND:
                raise
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            return


async def as_task(house: House, seen: Seen, whole: bool = True) -> Task:
    """A task for people. Values that are kept by reference are only fetched for a `whole` one."""
    row, progress = seen.row, seen.progress
    failure = Failure.model_validate(row.failure) if row.failure else None
    return Task(
        id=row.id,
        type=row.type,
        name=row.name,
        status=STATUS[seen.state],
        state=seen.state,
        phase=progress.phase if progress else "",
        waiting=seen.waiting,
        input=await value(house, row.input, row.input_ref, whole),
        output=await value(house, row.output, row.output_ref, whole),
        error=failure.message if failure else None,
        failure=failure,
        created_at=row.created_at,
        updated_at=row.updated_at,
        user_id_hash=row.user_hash,
        tenant_id=row.tenant,
        session_id=row.session_id,
        trace_id=row.trace_id,
        catalogue=row.catalogue,
        calls_done=progress.calls_done if progress else row.calls,
        calls_open=progress.calls_open if progress else 0,
        repairs=progress.repairs if progress else row.repairs,
        suspensions=progress.suspensions if progress else row.suspensions,
        questions=progress.questions if progress else [],
        stdout=row.stdout,
        files=await asyncio.to_thread(filenames.read, house.blobs, row.files_ref if whole else None),
        url=temporal_url(house, row),
        budget=_budget(seen),
        note=seen.note,
        **_took(seen),
    )


def _budget(seen: Seen) -> BudgetState | None:
    """How the budget of the tree stands; None of a task that another one started: that one has it."""
    if seen.progress or not seen.row.budget:
        return seen.progress.budget if seen.progress else None
    return BudgetState.model_validate(seen.row.budget)


def _took(seen: Seen) -> dict[str, Any]:
    """What the task took of models: so far, while it runs."""
    taken = took(seen.progress.spent) if seen.progress else _recorded(seen.row)
    cost = taken["cost"]
    return {
        "model_used": taken["model"],
        "llm_calls": taken["llm_calls"],
        "input_tokens": taken["input_tokens"],
        "output_tokens": taken["output_tokens"],
        "total_cost": None if cost is None else float(cost),
    }


def _recorded(row: TaskRow) -> Changes:
    return Changes(
        model=row.model,
        llm_calls=row.llm_calls,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost=row.cost,
    )


async def value(house: House, inline: Json, ref: str | None, whole: bool = True) -> Json:
    if ref is None or not whole:
        return inline
    return await asyncio.to_thread(house.blobs.get_json, ref)


def temporal_url(house: House, row: TaskRow) -> str:
    """Where the Temporal UI shows the task."""
    host = house.settings.temporal_address.rpartition(":")[0]
    place = f"{house.settings.temporal_namespace}/workflows/{quote(workflow_id(row.tenant, row.id), safe='')}"
    return f"http://{host}:{house.settings.temporal_ui_port}/namespaces/{place}"
