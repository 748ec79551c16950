"""When something is asked by the clock, as people write it in files and requests: the keys, and what is wrong."""

import functools
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from holdfast import cron
from holdfast.contracts.base import Json
from holdfast.contracts.timing import Overlap, Scheduled, Timing
from holdfast.errors import InvalidCron, InvalidRequest, shown
from holdfast.filekeys import Keys, YesNo
from holdfast.names import suggestion

Kind = Literal["cron", "interval"]
LONGEST_SECONDS = 366 * 86400


def _word(value: Json) -> Json:
    """agentrunner's `overlap: 1`: one at a time."""
    return "skip" if value == 1 and not isinstance(value, bool) else value


ThisOverlap = Annotated[Overlap, BeforeValidator(_word, json_schema_input_type=Overlap | Literal[1])]


class ScheduleKeys(Keys):
    """`schedule_config` of an agent, `triggers.schedule` of a flow: when it is asked, and for what."""

    type: Kind | None = Field(default=None, description="not needed: `cron` or `interval_seconds` says it")
    cron: str | None = Field(default=None, description="minute hour day month day_of_week")
    interval_seconds: int | None = Field(default=None, ge=1, le=LONGEST_SECONDS)
    timezone: str = Field(default="UTC", description="of the cron, such as Europe/Berlin")
    overlap: ThisOverlap = Field(default="skip", description="while the task before is in work; 1 is skip")
    catchup_seconds: float = Field(default=60, ge=10, le=LONGEST_SECONDS, description="missed times are made up for")
    enabled: YesNo = True
    timeout_seconds: float | None = Field(default=None, gt=0, description="of each task, waits included")
    task_data: Json = Field(default=None, description="the input of each task; {prompt: …}")
    input: Json = Field(default=None, description="the same")


class Fault(Exception):
    """What is wrong with a key of a schedule."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key, self.message = key, message


def scheduled(keys: ScheduleKeys, file: str) -> Scheduled:
    """
    Raises:
        Fault: names the key that is wrong.
    """
    if keys.task_data is not None and keys.input is not None:
        raise Fault("input", "found beside 'task_data'; allowed is one")
    timing = Timing(
        cron=keys.cron or "",
        interval_seconds=keys.interval_seconds,
        timezone=keys.timezone,
        overlap=keys.overlap,
        catchup_seconds=keys.catchup_seconds,
        enabled=keys.enabled,
    )
    asked = keys.task_data if keys.input is None else keys.input
    check_asker(asked, "task_data" if keys.input is None else "input")
    return Scheduled(**dict(checked(timing, keys.type)), input=asked, timeout_seconds=keys.timeout_seconds, file=file)


def checked(timing: Timing, kind: Kind | None = None) -> Timing:
    """The same with its cron written in one way. `kind` is what its author says that it is.

    Raises:
        Fault: names the key that is wrong.
    """
    there = [key for key in ("cron", "interval_seconds") if getattr(timing, key)]
    wanted = {"cron": "cron", "interval": "interval_seconds"}.get(kind or "")
    if len(there) != 1 or (wanted and there != [wanted]):
        found = " and ".join(map(repr, there)) or "neither"
        allowed = f"{wanted!r} alone, as type is {kind!r}" if wanted else "exactly one of 'cron' and 'interval_seconds'"
        raise Fault(wanted or "cron", f"found {found}; allowed is {allowed}")
    _check_zone(timing.timezone)
    if not timing.cron:
        return timing
    try:
        return timing.model_copy(update={"cron": cron.parse(timing.cron).text})
    except InvalidCron as exc:
        raise Fault("cron", str(exc)) from exc


def check_asker(asked: Json, key: str) -> None:
    """An e-mail address is to be hashed before Temporal hears of it, and a schedule lies there.

    Raises:
        Fault: names the key that is wrong.
    """
    if isinstance(asked, dict) and "user_email" in asked:
        raise Fault(f"{key}.user_email", "the clock asks for nobody; leave it out")


def _check_zone(name: str) -> None:
    known = _zones()
    if name in known or name == "UTC" or not known:
        return
    alike = next((zone for zone in known if zone.lower() == name.lower()), None)
    hint = f" did you mean {alike!r}?" if alike else suggestion(name, known)
    raise Fault("timezone", f"found {shown(name)};{hint} allowed: a name of the tz database, such as 'Europe/Berlin'")


@functools.cache
def _zones() -> frozenset[str]:
    """Empty on a machine without a tz database: the Temporal server, which has its own, is left to judge then."""
    return frozenset(zoneinfo.available_timezones())


def told(fault: Fault) -> InvalidCron | InvalidRequest:
    """The same as the error of a request."""
    if isinstance(fault.__cause__, InvalidCron):
        return fault.__cause__
    return InvalidRequest(f"{fault.key}: {fault.message}", field=fault.key)


def zone_of(timing: Timing) -> str:
    """The time zone that Temporal is to count in.

    At the end of summer time Temporal leaves out one of two hours that are called alike. A cron which says nothing but
    minutes means each hour; counted in UTC, none is lost.
    """
    is_alike = bool(timing.cron) and cron.parse(timing.cron).is_of_minutes and _is_of_whole_hours(timing.timezone)
    return "UTC" if is_alike else timing.timezone


def _is_of_whole_hours(name: str) -> bool:
    """Whether its clocks show the same minutes as UTC, all year long."""
    if name not in _zones():
        return name == "UTC"
    zone, now = zoneinfo.ZoneInfo(name), datetime.now(UTC)
    moments = [now + timedelta(days=30 * month) for month in range(13)]
    offsets = [moment.astimezone(zone).utcoffset() or timedelta(0) for moment in moments]
    return all(offset % timedelta(hours=1) == timedelta(0) for offset in offsets)
