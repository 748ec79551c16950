"""Our schedules in Temporal's words, and back.

What was said stands where Temporal shows it: the cron and its time zone in a comment of the calendar, the request in
the input of the workflow.
"""

import hashlib
from contextlib import suppress
from datetime import timedelta

from temporalio import client as temporal
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleState,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from holdfast import cron
from holdfast.contracts.base import Json
from holdfast.contracts.program import QUEUE_AGENTS, TASK_TIMEOUT
from holdfast.contracts.schedule import SCHEDULED_WORKFLOW, ScheduledRun, ScheduleSpec, run_id
from holdfast.contracts.timing import Overlap, Timing
from holdfast.ids import canonical
from holdfast.schedulekeys import zone_of
from holdfast.temporal import attributes

SHA, ENABLED = "schedule_sha", "schedule_enabled"
"""In the memo of each workflow that a schedule starts: what it was made from."""
FORMAT = 1
"""Part of what is compared at a reload: a release that makes other schedules of the same files counts it up."""

OVERLAPS: dict[Overlap, ScheduleOverlapPolicy] = {
    "skip": ScheduleOverlapPolicy.SKIP,
    "buffer_one": ScheduleOverlapPolicy.BUFFER_ONE,
    "buffer_all": ScheduleOverlapPolicy.BUFFER_ALL,
    "cancel_other": ScheduleOverlapPolicy.CANCEL_OTHER,
    "terminate_other": ScheduleOverlapPolicy.TERMINATE_OTHER,
    "allow_all": ScheduleOverlapPolicy.ALLOW_ALL,
}


def schedule(spec: ScheduleSpec) -> temporal.Schedule:
    run = ScheduledRun(name=spec.name, tenant=spec.tenant, request=spec.request)
    action = ScheduleActionStartWorkflow(
        SCHEDULED_WORKFLOW,
        run,
        id=run_id(spec.tenant, spec.name),
        task_queue=QUEUE_AGENTS,
        task_timeout=TASK_TIMEOUT,
        memo={SHA: sha(spec), ENABLED: spec.enabled},
        typed_search_attributes=_attributes(spec),
        static_summary=f"schedule {spec.name}",
    )
    policy = SchedulePolicy(overlap=OVERLAPS[spec.overlap], catchup_window=timedelta(seconds=spec.catchup_seconds))
    return temporal.Schedule(action, _times(spec), policy, ScheduleState(paused=not spec.enabled))


def _attributes(spec: ScheduleSpec) -> TypedSearchAttributes:
    """What its runs are found by; their tasks have their own."""
    found = {attributes.TENANT_ID: spec.tenant, attributes.TASK_TYPE: "schedule", attributes.TASK_NAME: spec.name}
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in found.items()])


def _times(timing: Timing) -> temporal.ScheduleSpec:
    if timing.interval_seconds is not None:
        return temporal.ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(seconds=timing.interval_seconds))])
    comment = f"{timing.cron} {timing.timezone}"
    calendars = [_calendar(one, comment) for one in cron.parse(timing.cron).calendars]
    return temporal.ScheduleSpec(calendars=calendars, time_zone_name=zone_of(timing))


def _calendar(of: cron.Calendar, comment: str) -> ScheduleCalendarSpec:
    return ScheduleCalendarSpec(
        minute=_ranges(of.minute),
        hour=_ranges(of.hour),
        day_of_month=_ranges(of.day),
        month=_ranges(of.month),
        day_of_week=_ranges(of.weekday),
        comment=comment,
    )


def _ranges(values: cron.Values) -> list[ScheduleRange]:
    return [ScheduleRange(one.first, one.last, one.pace) for one in cron.ranges(values)]


def sha(spec: ScheduleSpec) -> str:
    return hashlib.sha256(canonical([FORMAT, spec.model_dump(mode="json")])).hexdigest()


def timing_of(spec: temporal.ScheduleSpec) -> Timing:
    """When. Of a schedule that was made by other tools perhaps nothing: it may have times that no cron can say."""
    words = (spec.calendars[0].comment or "").split() if spec.calendars else []
    if len(words) == 6:
        return Timing(cron=" ".join(words[:5]), timezone=words[5])
    if len(spec.intervals) == 1 and not spec.calendars:
        return Timing(interval_seconds=max(1, round(spec.intervals[0].every.total_seconds())))
    return Timing(timezone=spec.time_zone_name or "UTC")


async def request_of(client: Client, schedule: temporal.Schedule) -> dict[str, Json]:
    """Empty if it starts something else than a task of ours."""
    action = schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow) or action.workflow != SCHEDULED_WORKFLOW:
        return {}
    with suppress(ValueError, TypeError, RuntimeError):
        [run] = await client.data_converter.decode(list(action.args), [ScheduledRun])
        return dict(run.request)
    return {}


async def noted(client: Client, schedule: temporal.Schedule, key: str) -> Json:
    memo = getattr(schedule.action, "memo", None) or {}
    if key not in memo:
        return None
    [value] = await client.data_converter.decode([memo[key]])
    return value
