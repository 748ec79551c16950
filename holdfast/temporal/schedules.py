"""Our schedules at the Temporal server: made, changed, found and driven, also beside people who use its own tools."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionResult,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleListDescription,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from holdfast.contracts.base import Json
from holdfast.contracts.schedule import ScheduleSpec, run_id, schedule_id
from holdfast.contracts.timing import Overlap, Timing
from holdfast.errors import Conflict, InvalidRequest, NotFound
from holdfast.ids import task_id_from_key
from holdfast.temporal import scheduleform as form

MANAGED_BY = "managed_by"
"""In a schedule's own memo, which cannot be changed later: the file that declares it."""
MOST_TIMES = 1000
"""Of one backfill: a slip in its year is to begin no week of work."""
_JUST = timedelta(microseconds=1)
_TRIGGER_SECONDS = 2.5
_TRIES, _PATIENCE = 3, timedelta(seconds=1.5)
Answer = TypeVar("Answer")
Change = Literal["created", "changed", "kept"]


@dataclass(frozen=True)
class Run:
    """One start. `due_at` is the time that it was for; a task of a session may be a turn that waits."""

    workflow_id: str
    task_id: str
    due_at: datetime
    started_at: datetime


@dataclass(frozen=True)
class Due:
    """A time that a task is begun for, or was."""

    task_id: str
    due_at: datetime


@dataclass(frozen=True)
class Line:
    """A schedule in a list. `timing.enabled` is false while it is paused; its overlap and catch-up are those of none: a
    list does not tell them."""

    name: str
    timing: Timing
    note: str
    managed_by: str
    next_times: list[datetime]
    runs: list[Run]


@dataclass(frozen=True)
class Standing(Line):
    """A schedule, whole. `running` are ids of workflows; `missed` and `skipped` count times that none was begun for."""

    request: dict[str, Json]
    running: list[str]
    created_at: datetime
    updated_at: datetime | None
    starts: int
    missed: int
    skipped: int


async def create(client: Client, spec: ScheduleSpec) -> None:
    """
    Raises:
        Conflict: there is one of that name.
        InvalidRequest: the server refused it.
    """
    memo = {MANAGED_BY: spec.managed_by} if spec.managed_by else None
    try:
        with _refused():
            await client.create_schedule(spec.schedule_id, form.schedule(spec), memo=memo)
    except ScheduleAlreadyRunningError:
        raise Conflict(f"there is a schedule {spec.name!r} already; change that one, or take another name") from None


async def change(client: Client, spec: ScheduleSpec) -> None:
    """Make it what `spec` says.

    Raises:
        NotFound: there is none of that name.
        InvalidRequest: the server refused it.
    """
    with _refused(spec.name):
        update = client.get_schedule_handle(spec.schedule_id).update
        await _again(partial(update, lambda _: ScheduleUpdate(form.schedule(spec))))


async def settle(client: Client, spec: ScheduleSpec) -> Change:
    """Make the schedule of a file what the file says; one that is so already is left alone, also if people paused it.

    Raises:
        Conflict: one of that name was made by hand.
        InvalidRequest: the server refused it.
    """
    try:
        found = await _described(client, spec.tenant, spec.name)
    except NotFound:
        return await _created(client, spec)
    place = (await found.memo()).get(MANAGED_BY, "")
    if not place:
        raise Conflict(f"schedule {spec.name!r} was made by hand; delete that one, or rename the agent or flow")
    if place != spec.managed_by:
        await delete(client, spec.tenant, spec.name)
        await create(client, spec)
        return "changed"
    if await form.noted(client, found.schedule, form.SHA) == form.sha(spec):
        return "kept"
    was_enabled = await form.noted(client, found.schedule, form.ENABLED)
    with _refused(spec.name):
        update = client.get_schedule_handle(spec.schedule_id).update
        await _again(partial(update, lambda now: _settled(now, spec, was_enabled)))
    return "changed"


async def _created(client: Client, spec: ScheduleSpec) -> Change:
    """Several APIs may be at it at once: then the one that is slower looks at what the other made."""
    try:
        await create(client, spec)
    except Conflict:
        return await settle(client, spec)
    return "created"


def _settled(now: ScheduleUpdateInput, spec: ScheduleSpec, was_enabled: Json) -> ScheduleUpdate:
    """Paused or not as it was, unless it is just that which the file changed."""
    wanted, state = form.schedule(spec), now.description.schedule.state
    return ScheduleUpdate(replace(wanted, state=state) if was_enabled == spec.enabled else wanted)


async def find(client: Client, tenant: str, name: str) -> Standing:
    """
    Raises:
        NotFound: there is none of that name.
    """
    found = await _described(client, tenant, name)
    schedule, info = found.schedule, found.info
    overlap = next((word for word, policy in form.OVERLAPS.items() if policy == schedule.policy.overlap), "skip")
    catchup = schedule.policy.catchup_window or timedelta(days=365)
    timing = form.timing_of(schedule.spec).model_copy(
        update={
            "overlap": overlap,
            "catchup_seconds": catchup.total_seconds(),
            "enabled": not schedule.state.paused,
        }
    )
    return Standing(
        name=name,
        timing=timing,
        note=schedule.state.note or "",
        managed_by=(await found.memo()).get(MANAGED_BY, ""),
        next_times=list(info.next_action_times),
        runs=_runs(tenant, info.recent_actions),
        request=await form.request_of(client, schedule),
        running=[
            one.workflow_id for one in info.running_actions if isinstance(one, ScheduleActionExecutionStartWorkflow)
        ],
        created_at=info.created_at,
        updated_at=info.last_updated_at,
        starts=info.num_actions,
        missed=info.num_actions_missed_catchup_window,
        skipped=info.num_actions_skipped_overlap,
    )


async def every(client: Client, tenant: str) -> list[Line]:
    """All of a tenant, by name. One that was made a moment ago may be missing still."""
    found = [line async for line in _lines(client, tenant)]
    return sorted(found, key=lambda line: line.name)


async def _lines(client: Client, tenant: str) -> AsyncIterator[Line]:
    prefix = schedule_id(tenant, "")
    async for entry in await client.list_schedules():
        if entry.id.startswith(prefix):
            yield await _line(tenant, entry.id.removeprefix(prefix), entry)


async def _line(tenant: str, name: str, entry: ScheduleListDescription) -> Line:
    paused = entry.schedule is not None and entry.schedule.state.paused
    timing = form.timing_of(entry.schedule.spec) if entry.schedule else Timing()
    return Line(
        name=name,
        timing=timing.model_copy(update={"enabled": not paused}),
        note=(entry.schedule.state.note if entry.schedule else None) or "",
        managed_by=(await entry.memo()).get(MANAGED_BY, ""),
        next_times=list(entry.info.next_action_times) if entry.info else [],
        runs=_runs(tenant, entry.info.recent_actions) if entry.info else [],
    )


async def pause(client: Client, tenant: str, name: str, note: str) -> None:
    with _refused(name):
        await client.get_schedule_handle(schedule_id(tenant, name)).pause(note=note)


async def resume(client: Client, tenant: str, name: str, note: str) -> None:
    with _refused(name):
        await client.get_schedule_handle(schedule_id(tenant, name)).unpause(note=note)


async def delete(client: Client, tenant: str, name: str) -> None:
    """Tasks that it began go on."""
    with _refused(name):
        await client.get_schedule_handle(schedule_id(tenant, name)).delete()


async def trigger(client: Client, tenant: str, name: str, overlap: Overlap | None = None) -> Run | None:
    """Begin one now, also if it is paused. None: it did not begin within 2.5 s, as the task before is in work.

    Raises:
        NotFound: there is none of that name.
    """
    handle = client.get_schedule_handle(schedule_id(tenant, name))
    with _refused(name):
        before = (await _again(handle.describe)).info
        await handle.trigger(overlap=None if overlap is None else form.OVERLAPS[overlap])
        known = {run.workflow_id for run in _runs(tenant, before.recent_actions)}
        deadline = time.monotonic() + _TRIGGER_SECONDS
        while time.monotonic() < deadline:
            now = (await _again(handle.describe)).info
            fresh = [run for run in _runs(tenant, now.recent_actions) if run.workflow_id not in known]
            if fresh or now.num_actions_skipped_overlap > before.num_actions_skipped_overlap:
                return fresh[-1] if fresh else None
            await asyncio.sleep(0.05)
    return None


async def backfill(
    client: Client, tenant: str, name: str, first: datetime, last: datetime, overlap: Overlap
) -> list[Due]:
    """Begin a task for each of its times from `first` to `last`, both included, also if it is paused. A time that has
    its task already begins no other.

    Raises:
        NotFound: there is none of that name.
        InvalidRequest: there are more than 1,000 such times. Nothing is begun.
    """
    handle = client.get_schedule_handle(schedule_id(tenant, name))
    with _refused(name):
        found = await _times(client, handle.id, first, last)
        if found:
            # By the SDK's words the start is left out; servers since temporalio/temporal#5179 take it in.
            policy = form.OVERLAPS[overlap]
            await handle.backfill(ScheduleBackfill(found[0] - _JUST, found[-1], overlap=policy))
    return [Due(task_id_from_key(tenant, f"{run_id(tenant, name)}-{at:%Y-%m-%dT%H:%M:%SZ}"), at) for at in found]


async def _times(client: Client, whole_id: str, first: datetime, last: datetime) -> list[datetime]:
    """When it comes from `first` to `last`, both included. The server tells some at once, and not if it was all."""
    found: list[datetime] = []
    while len(found) <= MOST_TIMES:
        more = await _matching(client, whole_id, found[-1] if found else first - _JUST, last)
        if not more:
            return found
        found += more
    rest = f"it comes more than {MOST_TIMES} times from {first.isoformat()} to {last.isoformat()}"
    raise InvalidRequest(f"{rest}; ask for a shorter range, up to {found[MOST_TIMES - 1].isoformat()}", field="to")


async def _matching(client: Client, whole_id: str, after: datetime, last: datetime) -> list[datetime]:
    request = ListScheduleMatchingTimesRequest(
        namespace=client.namespace, schedule_id=whole_id, start_time=_stamp(after), end_time=_stamp(last)
    )

    async def ask(rpc_timeout: timedelta) -> list[datetime]:
        found = await client.workflow_service.list_schedule_matching_times(request, timeout=rpc_timeout)
        return [one.ToDatetime(UTC) for one in found.start_time]

    return await _again(ask)


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _runs(tenant: str, actions: Sequence[ScheduleActionResult]) -> list[Run]:
    return [_run(tenant, one) for one in actions if _is_start(one.action)]


def _run(tenant: str, result: ScheduleActionResult) -> Run:
    started: Any = result.action
    task_id = task_id_from_key(tenant, started.workflow_id)
    return Run(started.workflow_id, task_id, result.scheduled_at, result.started_at)


def _is_start(action: object) -> bool:
    return isinstance(action, ScheduleActionExecutionStartWorkflow)


async def _described(client: Client, tenant: str, name: str) -> ScheduleDescription:
    with _refused(name):
        return await _again(client.get_schedule_handle(schedule_id(tenant, name)).describe)
    raise AssertionError("describe returns or raises")


async def _again(ask: Callable[..., Awaitable[Answer]]) -> Answer:
    """What may be asked twice. The server asks a schedule's own workflow, and waits 5 s when that moves on at this very
    moment: once in some hundred times, where else it takes 10 ms (measured)."""
    for _ in range(_TRIES - 1):
        try:
            return await ask(rpc_timeout=_PATIENCE)
        except RPCError as exc:
            if exc.status not in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED):
                raise
    return await ask(rpc_timeout=_PATIENCE)


@contextmanager
def _refused(name: str = "") -> Iterator[None]:
    """The server's refusals in our words."""
    try:
        yield
    except RPCError as exc:
        if exc.status == RPCStatusCode.NOT_FOUND and name:
            raise NotFound(f"no schedule named {name!r}; GET /schedules lists those there are") from exc
        if exc.status == RPCStatusCode.INVALID_ARGUMENT:
            raise InvalidRequest(f"the Temporal server does not take this schedule: {exc.message}") from exc
        raise
