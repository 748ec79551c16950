"""Schedules: tasks that begin by the clock. Those of the project's files are shown, paused and triggered here, and
changed in their files."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, Field
from temporalio.client import Client

from api.house import House, OurHouse, OurTenant
from api.temporal import answering
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.schedule import ScheduleName, ScheduleSpec
from holdfast.contracts.task import Body, TaskRequest
from holdfast.contracts.timing import Overlap, Timing
from holdfast.cron import MAX_CHARACTERS
from holdfast.errors import Conflict, InvalidRequest, NotFound, TooLarge
from holdfast.ids import canonical, new_trace_id, task_id_from_key
from holdfast.schedulekeys import LONGEST_SECONDS, Fault, Kind, ThisOverlap, check_asker, checked, told
from holdfast.temporal import schedules as floor

router = APIRouter(tags=["schedules"])

MAX_REQUEST_BYTES = 64 << 10
_RECORD_SECONDS = 2.0
_OWN = ("idempotency_key", "trace_id", "tenant_id", "user_id")
"""Of a request: each task gets its own, and nobody asks for it. A name or e-mail address would lie at the server."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)

Name = Annotated[ScheduleName, Path(description="of the schedule")]


class ScheduleChange(Body):
    """When, and what: exactly one of `cron` (five fields: minute hour day month day_of_week) and `interval_seconds`.
    `request` is the body of a `POST /tasks`."""

    type: Kind | None = None
    cron: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    interval_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS, strict=True)] | None = None
    timezone: Annotated[str, Field(max_length=100)] = "UTC"
    overlap: ThisOverlap = "skip"
    catchup_seconds: float = Field(default=60.0, ge=10, le=LONGEST_SECONDS)
    enabled: bool = True
    request: TaskRequest


class ScheduleRequest(ScheduleChange):
    name: ScheduleName


class Enabling(Body):
    enabled: bool


class ScheduleRun(Contract):
    """A task that a schedule began, and the time that it was due at."""

    task_id: str
    due_at: datetime
    started_at: datetime


class ScheduleLine(Contract):
    """`managed_by` is the file that declares it; empty: it was made by hand. `enabled` is false while it is paused.
    `runs` are the latest, newest first. One made by other tools may have times that are neither cron nor interval."""

    name: str
    cron: str | None
    interval_seconds: int | None
    timezone: str
    enabled: bool
    managed_by: str
    next_times: list[datetime]
    runs: list[ScheduleRun]


class ScheduleShown(ScheduleLine):
    """`running` are tasks. `starts` counts tasks, `missed` times that passed while the server was down for longer than
    `catchup_seconds`, `skipped` those that came while the task before was in work."""

    overlap: Overlap
    catchup_seconds: float
    note: str
    request: dict[str, Json]
    running: list[str]
    created_at: datetime
    updated_at: datetime | None
    starts: int
    missed: int
    skipped: int


class Schedules(Contract):
    schedules: list[ScheduleLine]
    total: int


class Triggered(Contract):
    """`task_id` is null if no task began within 2.5 s: by its overlap policy it waits, or is left out. One that is
    not recorded within 2 s, as no worker is there or it was refused, is not found (404)."""

    name: str
    task_id: str | None


class BackfillRequest(Body):
    """Times that are over, both ends included. `overlap` holds for these tasks among each other and with those in work;
    by default each waits for the one before."""

    from_: Annotated[AwareDatetime, Field(alias="from")]
    to: AwareDatetime
    overlap: ThisOverlap = "buffer_all"


class BackfillRun(Contract):
    """A time of the schedule, and the task that it has: from before, or soon. Another overlap policy than the default
    and `allow_all` leaves times out: their tasks are never found."""

    task_id: str
    due_at: datetime


class Backfilled(Contract):
    """`runs` are all times of the range, in order."""

    name: str
    runs: list[BackfillRun]


@router.get("/schedules", operation_id="list_schedules")
async def find(house: OurHouse, tenant: OurTenant) -> Schedules:
    """All schedules by name. One that was made a moment ago may be missing still."""
    client = await house.temporal.client()
    async with answering():
        lines = [ScheduleLine(**_line(line)) for line in await floor.every(client, tenant)]
    return Schedules(schedules=lines, total=len(lines))


@router.post("/schedules", operation_id="create_schedule", status_code=201)
async def create(body: ScheduleRequest, house: OurHouse, tenant: OurTenant) -> ScheduleShown:
    """Begin a task by the clock. It is checked now as `POST /tasks` would; a name that is taken: 409."""
    spec = await _spec(house, tenant, body.name, body)
    client = await house.temporal.client()
    async with answering():
        await floor.create(client, spec)
        return await _shown(client, tenant, body.name)


@router.get("/schedules/{name}", operation_id="get_schedule")
async def look(name: Name, house: OurHouse, tenant: OurTenant) -> ScheduleShown:
    """A schedule with its next times, its latest tasks, and what it asks for."""
    client = await house.temporal.client()
    async with answering():
        return await _shown(client, tenant, name)


@router.put("/schedules/{name}", operation_id="replace_schedule")
async def replace(name: Name, body: ScheduleChange, house: OurHouse, tenant: OurTenant) -> ScheduleShown:
    """Change one that was made by hand. A task that is in work goes on as it began."""
    spec = await _spec(house, tenant, name, body)
    client = await house.temporal.client()
    async with answering():
        await _refuse_managed(client, tenant, name)
        await floor.change(client, spec)
        return await _shown(client, tenant, name)


@router.delete("/schedules/{name}", operation_id="delete_schedule", status_code=204)
async def delete(name: Name, house: OurHouse, tenant: OurTenant) -> None:
    """End one that was made by hand. Tasks that it began go on."""
    client = await house.temporal.client()
    async with answering():
        await _refuse_managed(client, tenant, name)
        await floor.delete(client, tenant, name)


@router.patch("/schedules/{name}/enabled", operation_id="enable_schedule")
async def enable(name: Name, body: Enabling, house: OurHouse, tenant: OurTenant) -> ScheduleShown:
    """Pause or resume it; also one of a file, until the file itself says the other."""
    client = await house.temporal.client()
    async with answering():
        if body.enabled:
            await floor.resume(client, tenant, name, "resumed by the API")
        else:
            await floor.pause(client, tenant, name, "paused by the API")
        return await _shown(client, tenant, name)


@router.post("/schedules/{name}/trigger", operation_id="trigger_schedule", status_code=202)
async def trigger(
    name: Name,
    house: OurHouse,
    tenant: OurTenant,
    overlap: Annotated[Overlap | None, Query(description="instead of its own policy, for this time")] = None,
) -> Triggered:
    """Begin its task now, also while it is paused."""
    client = await house.temporal.client()
    async with answering():
        run = await floor.trigger(client, tenant, name, overlap)
    if run is not None:
        await _recorded(house, tenant, run.task_id)
    return Triggered(name=name, task_id=run.task_id if run else None)


@router.post("/schedules/{name}/backfill", operation_id="backfill_schedule", status_code=202)
async def backfill(name: Name, body: BackfillRequest, house: OurHouse, tenant: OurTenant) -> Backfilled:
    """Begin its tasks of times that are over, at most 1,000, also while it is paused. A time that has its task already
    begins no other, so repeating it is safe."""
    _check_range(body.from_, body.to)
    client = await house.temporal.client()
    async with answering():
        found = await floor.backfill(client, tenant, name, body.from_, body.to, body.overlap)
    return Backfilled(name=name, runs=[BackfillRun(task_id=one.task_id, due_at=one.due_at) for one in found])


def _check_range(first: datetime, last: datetime) -> None:
    now = datetime.now(UTC)
    if first < _EARLIEST:
        raise InvalidRequest(f"from: found {first.isoformat()}; times begin in 1970", field="from")
    if last > now:
        text = f"to: found {last.isoformat()}, and now it is {now:%Y-%m-%dT%H:%M:%SZ}; allowed are times that are over"
        raise InvalidRequest(f"{text}: the others begin by themselves", field="to")
    if first >= last:
        raise InvalidRequest(f"from {first.isoformat()} is not before to {last.isoformat()}; turn them", field="from")


async def _recorded(house: House, tenant: str, task_id: str) -> None:
    """Until the task can be looked at: a worker records it. None may be there, or refuse it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RECORD_SECONDS):
            while not await _is_known(house, tenant, task_id):  # noqa: ASYNC110 (another process records it)
                await asyncio.sleep(0.05)


async def _is_known(house: House, tenant: str, task_id: str) -> bool:
    try:
        await house.records.get(tenant, task_id)
    except NotFound:
        return False
    return True


async def _spec(house: House, tenant: str, name: str, body: ScheduleChange) -> ScheduleSpec:
    """
    Raises:
        UserError: when, or what, cannot be.
    """
    given: dict[str, Any] = {key: getattr(body, key) for key in Timing.model_fields}
    try:
        timing = checked(Timing(**{**given, "cron": body.cron or ""}), body.type)
        check_asker(body.request.input, "request.input")
    except Fault as exc:
        raise told(exc) from exc
    request = body.request.model_dump(mode="json", exclude_unset=True)
    await _check(house, tenant, body.request, request)
    return ScheduleSpec(**dict(timing), name=name, tenant=tenant, request=request)


async def _check(house: House, tenant: str, asked: TaskRequest, request: dict[str, Json]) -> None:
    if own := next((key for key in _OWN if key in request), None):
        raise InvalidRequest(f"request.{own}: a schedule gives none; leave it out", field=f"request.{own}")
    await house.admission.checked(asked, tenant, new_trace_id())
    if (size := len(canonical(request))) > MAX_REQUEST_BYTES:
        text = f"request has {size} bytes of JSON; {MAX_REQUEST_BYTES} are allowed in a schedule"
        raise TooLarge(f"{text}. Send large data with POST /files, and name it in `files`")


async def _refuse_managed(client: Client, tenant: str, name: str) -> None:
    file = (await floor.find(client, tenant, name)).managed_by
    if file:
        raise Conflict(f"schedule {name!r} is that of {file}; change it there: it is seen within 2 s", file=file)


async def _shown(client: Client, tenant: str, name: str) -> ScheduleShown:
    found = await floor.find(client, tenant, name)
    return ScheduleShown(
        **_line(found),
        overlap=found.timing.overlap,
        catchup_seconds=found.timing.catchup_seconds,
        note=found.note,
        request=found.request,
        running=[task_id_from_key(tenant, one) for one in found.running],
        created_at=found.created_at,
        updated_at=found.updated_at,
        starts=found.starts,
        missed=found.missed,
        skipped=found.skipped,
    )


def _line(found: floor.Line) -> dict[str, Any]:
    runs = [ScheduleRun(task_id=run.task_id, due_at=run.due_at, started_at=run.started_at) for run in found.runs]
    return {
        "name": found.name,
        "cron": found.timing.cron or None,
        "interval_seconds": found.timing.interval_seconds,
        "timezone": found.timing.timezone,
        "enabled": found.timing.enabled,
        "managed_by": found.managed_by,
        "next_times": found.next_times,
        "runs": runs[::-1],
    }
