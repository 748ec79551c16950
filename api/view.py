"""A task as it stands now: its record, and, while it is not final, what Temporal says of it."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote

from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from api.endings import noticed
from api.house import House
from api.intake import not_started
from api.temporal import answering
from api.waiting import waiting
from holdfast.contracts.base import Failure, Json
from holdfast.contracts.program import FINAL, QUERY_PROGRESS, ProgramResult, Progress, Segment, TaskState
from holdfast.contracts.question import Question
from holdfast.contracts.task import Task
from holdfast.contracts.work import program_workflow_id
from holdfast.errors import NoTemporal
from holdfast.ids import workflow_id
from store.records import Changes, TaskRow
from store.results import took

_START_GRACE = timedelta(minutes=10)
"""So long a recorded task may be unknown to Temporal: its start may be under way, or be repeated by its caller."""
_QUERY_SECONDS = 2.0

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
        async with answering(_QUERY_SECONDS):
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


async def handle_of(house: House, row: TaskRow) -> WorkflowHandle[Any, ProgramResult]:
    """
    Raises:
        NoTemporal: the server cannot be reached.
    """
    return await _handle(house, workflow_id(row.tenant, row.id))


async def program_of(house: House, row: TaskRow) -> WorkflowHandle[Any, ProgramResult]:
    """The workflow that runs the task's program and keeps its journal: of an agent's task, a child of the task's.

    Raises:
        NoTemporal: the server cannot be reached.
    """
    own = workflow_id(row.tenant, row.id)
    return await _handle(house, program_workflow_id(own) if is_agents(row) else own)


def is_agents(row: TaskRow) -> bool:
    return row.type.startswith("agent:")


async def _handle(house: House, name: str) -> WorkflowHandle[Any, ProgramResult]:
    client = await house.temporal.client()
    return client.get_workflow_handle(name, result_type=ProgramResult)


async def query(handle: WorkflowHandle[Any, ProgramResult], name: str, gives: type[Any]) -> Any:
    """
    Raises:
        NoTemporal: neither the server nor a worker answered in time.
    """
    try:
        async with answering(_QUERY_SECONDS):
            return await handle.query(name, result_type=gives)
    except (WorkflowQueryFailedError, RPCError) as exc:
        raise NoTemporal(f"no worker can tell how this task stands ({str(exc)[:200]}); is one running?") from exc


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


async def _running(house: House, row: TaskRow, handle: WorkflowHandle[Any, ProgramResult], lines: list[str]) -> Seen:
    own: Progress | None = None
    try:
        own = await query(handle, QUERY_PROGRESS, Progress)
        if own.program_id is None:
            return Seen(row, own, waiting=lines)
        program = await _handle(house, own.program_id)
        progress, more = await asyncio.gather(query(program, QUERY_PROGRESS, Progress), _waits(program))
    except NoTemporal as exc:
        return Seen(row, own, str(exc), lines)
    return Seen(row, _merged(own, progress), waiting=[*lines, *more])


async def _waits(handle: WorkflowHandle[Any, ProgramResult]) -> list[str]:
    with contextlib.suppress(NoTemporal, RPCError):
        async with answering(_QUERY_SECONDS):
            return waiting(await handle.describe())
    return []


def _merged(own: Progress, program: Progress) -> Progress:
    """An agent's task with its program: the state and the questions are the task's, the calls are the program's."""
    shared = {
        "state": own.state,
        "phase": (program.phase or own.phase) if own.phase == "running" else own.phase,
        "program_id": own.program_id,
        "questions": own.questions,
        "spent": own.spent.joined(program.spent),
        "llm": [*own.llm, *program.llm],
    }
    return program.model_copy(update=shared)


async def _unknown(house: House, row: TaskRow) -> Seen:
    if row.state == "PENDING" and datetime.now(UTC) - row.created_at > _START_GRACE:
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
            await handle.result()
    return await house.records.get(row.tenant, row.id)


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
        url=temporal_url(house, row),
        note=seen.note,
        **_took(seen),
    )


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
