"""Schedules as people write them: cron field by field, keys and time zones, and what a project declares."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from holdfast import cron, schedules
from holdfast.catalogue import load
from holdfast.contracts.timing import Scheduled, Timing
from holdfast.cron import Calendar, Range
from holdfast.errors import InvalidCron
from holdfast.schedulekeys import Fault, ScheduleKeys, checked, scheduled, zone_of
from tests.support.skill_folders import write_files
from tests.support.stack import ROOT

FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}


def only(text: str) -> Calendar:
    [calendar] = cron.parse(text).calendars
    return calendar


# -- cron


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("*/1 * * * *", "minute", tuple(range(60))),
        ("*/20 * * * *", "minute", (0, 20, 40)),
        ("5 * * * *", "minute", (5,)),
        ("5/15 * * * *", "minute", (5, 20, 35, 50)),
        ("10-40/15,0 * * * *", "minute", (0, 10, 25, 40)),
        ("0 22-23,0-4 * * *", "hour", (0, 1, 2, 3, 4, 22, 23)),
        ("0 0 1,15,31 * *", "day", (1, 15, 31)),
        ("0 0 1 JAN,mar-May *", "month", (1, 3, 4, 5)),
        ("0 0 * * MON-FRI", "weekday", (1, 2, 3, 4, 5)),
        ("0 0 * * 5-7", "weekday", (0, 5, 6)),
        ("0 0 * * 7", "weekday", (0,)),
        ("0 0 * * */2", "weekday", (0, 2, 4, 6)),
        ("  0   0 * * sun ", "weekday", (0,)),
    ],
)
def test_a_field_is_read_as_cron_reads_it(text: str, field: str, values: tuple[int, ...]) -> None:
    assert getattr(only(text), field) == values


def test_a_day_of_the_month_and_a_day_of_the_week_mean_either() -> None:
    assert cron.parse("0 0 13 * FRI").calendars == (
        Calendar((0,), (0,), day=(13,)),
        Calendar((0,), (0,), weekday=(5,)),
    )
    assert only("0 0 */2 * FRI") == Calendar((0,), (0,), day=tuple(range(1, 32, 2)), weekday=(5,))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0 * *", ("'0 0 * *'", "4 fields", "minute hour day month day_of_week")),
        ("0 0 0 * * *", ("6 fields",)),
        ("", ("0 fields",)),
        ("@daily", ("'@daily'", "'0 0 * * *'")),
        ("60 * * * *", ("minute", "'60'", "0-59")),
        ("* 24 * * *", ("hour", "0-23")),
        ("* * 0 * *", ("day", "1-31")),
        ("* * * 13 *", ("month", "1-12", "JAN-DEC")),
        ("* * * * 8", ("day_of_week", "0-7", "SUN-SAT")),
        ("* * * * mom", ("did you mean 'mon'?",)),
        ("0 22-4 * * *", ("hour", "'22-23,0-4'")),
        ("0 0 ? * *", ("day", "'?'")),
        ("*/0 * * * *", ("minute", "'*/0'")),
        ("*/60 * * * *", ("minute", "'*/60'")),
        ("1,, * * * *", ("minute", "'1,,'")),
        ("1-2-3 * * * *", ("minute",)),
        ("-1 * * * *", ("minute",)),
        ("0 0 * * ١", ("day_of_week",)),
        ("0 0 30 2 *", ("never comes",)),
        ("0 0 31 4,6,9,11 *", ("never comes",)),
        ("9" * 300, ("300 characters",)),
    ],
)
def test_a_wrong_cron_is_told_by_its_field(text: str, says: tuple[str, ...]) -> None:
    with pytest.raises(InvalidCron) as caught:
        cron.parse(text)
    assert [word for word in says if word not in str(caught.value)] == [], str(caught.value)
    assert (caught.value.code, caught.value.status) == ("INVALID_CRON", 400)


def test_the_29th_of_february_comes() -> None:
    assert only("0 0 29 2 *").day == (29,)


@given(some.text(max_size=30) | some.from_regex(r"[0-9*/,\-a-z ]{0,30}", fullmatch=True))
def test_any_text_is_a_cron_or_refused(text: str) -> None:
    try:
        found = cron.parse(text)
    except InvalidCron:
        return
    for calendar in found.calendars:
        for field, (low, high) in FIELDS.items():
            values = getattr(calendar, field)
            assert values
            assert low <= values[0] <= values[-1] <= high


@given(some.data())
def test_a_cron_means_the_values_that_it_lists(data: some.DataObject) -> None:
    chosen = {
        field: data.draw(some.sets(some.integers(low, high), min_size=1), label=field)
        for field, (low, high) in FIELDS.items()
        if field not in ("day", "weekday")
    }
    lists = [",".join(map(str, chosen[field])) for field in ("minute", "hour", "month")]
    assert only(f"{lists[0]} {lists[1]} * {lists[2]} *") == Calendar(
        tuple(sorted(chosen["minute"])), tuple(sorted(chosen["hour"])), month=tuple(sorted(chosen["month"]))
    )


@given(some.sets(some.integers(0, 59), min_size=1))
def test_ranges_hold_the_same_values(values: set[int]) -> None:
    found = cron.ranges(tuple(sorted(values)))
    assert sorted(n for one in found for n in range(one.first, one.last + 1, one.pace)) == sorted(values)


def test_ranges_are_few() -> None:
    assert cron.ranges(tuple(range(60))) == [Range(0, 59)]
    assert cron.ranges((0, 15, 30, 45)) == [Range(0, 45, 15)]
    assert cron.ranges((0, 5, 6)) == [Range(0, 0), Range(5, 6)]
    assert cron.ranges((7,)) == [Range(7, 7)]


# -- keys


def read(**keys: Any) -> Scheduled:
    return scheduled(ScheduleKeys.model_validate(keys), "agents/a.yaml")


def test_the_older_systems_number_of_overlaps_is_skip() -> None:
    assert read(interval_seconds=5, overlap=1).overlap == "skip"
    assert read(interval_seconds=5, overlap="buffer_one").overlap == "buffer_one"


def test_the_input_has_two_names_and_one_value() -> None:
    assert (
        read(cron="* * * * *", task_data={"prompt": "x"}).input == read(cron="* * * * *", input={"prompt": "x"}).input
    )
    with pytest.raises(Fault, match="beside 'task_data'"):
        read(cron="* * * * *", task_data=1, input=2)


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ({}, "cron", "neither"),
        ({"cron": "* * * * *", "interval_seconds": 5}, "cron", "'cron' and 'interval_seconds'"),
        ({"type": "cron", "interval_seconds": 5}, "cron", "type is 'cron'"),
        ({"type": "interval", "cron": "* * * * *"}, "interval_seconds", "type is 'interval'"),
        ({"cron": "0 0 * *"}, "cron", "4 fields"),
        ({"cron": "* * * * *", "timezone": "Europe/Berln"}, "timezone", "did you mean 'Europe/Berlin'?"),
        ({"cron": "* * * * *", "timezone": "europe/berlin"}, "timezone", "did you mean 'Europe/Berlin'?"),
        ({"cron": "* * * * *", "timezone": "Mars"}, "timezone", "'Europe/Berlin'"),
    ],
)
def test_a_wrong_key_is_named(keys: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(Fault, match=re.escape(says)) as caught:
        read(**keys)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("text", "zone", "counted_in"),
    [
        ("*/5 * * * *", "Europe/Berlin", "UTC"),
        ("0 * * * *", "America/New_York", "UTC"),
        ("0 * * * *", "Asia/Kolkata", "Asia/Kolkata"),
        ("0 * * * *", "Australia/Lord_Howe", "Australia/Lord_Howe"),
        ("0 8 * * *", "Europe/Berlin", "Europe/Berlin"),
        ("*/5 * * * MON", "Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_a_cron_of_minutes_alone_is_counted_in_utc(text: str, zone: str, counted_in: str) -> None:
    assert zone_of(checked(Timing(cron=text, timezone=zone))) == counted_in


# -- what a project declares


def test_a_project_declares_the_schedules_of_its_agents_and_flows(tmp_path: Path) -> None:
    project = write_files(
        tmp_path,
        {
            "agents/daily.yaml": "name: Daily_Report\nschedule_config: {cron: 0 0 * * *, task_data: Go, timeout_seconds: 9}",
            "agents/guard.yaml": "name: Guard\nexecution_mode: continuous\nschedule_config: {interval_seconds: 60, input: Look}",
            "agents/off.yaml": "name: off\nenabled: false\nschedule_config: {interval_seconds: 60, input: x}",
            "flows/daily.yaml": "name: Daily_Report\nsteps: [{agent: off}]\ntriggers: {schedule: {interval_seconds: 3600}}",
            "agents/broken.yaml": "name: broken\nschedule_config: {cron: 0 0 * *, task_data: Go}",
        },
    )
    loaded = load(project, ROOT / "skills" / "builtin")
    assert [(one.file, one.line, one.key) for one in loaded.problems] == [
        ("agents/broken.yaml", 2, "schedule_config.cron")
    ]
    found = {spec.name: spec for spec in schedules.declared(loaded.catalogue)}
    assert list(found) == ["Daily_Report", "Guard", "off", "flow.Daily_Report"]
    daily = found["Daily_Report"]
    assert (daily.cron, daily.managed_by, daily.enabled) == ("0 0 * * *", "agents/daily.yaml", True)
    assert daily.request == {"type": "agent:Daily_Report", "input": "Go", "limits": {"task_seconds": 9.0}}
    assert found["Guard"].request == {"type": "agent:Guard", "session_id": "agent:guard", "input": "Look"}
    assert not found["off"].enabled
    assert found["flow.Daily_Report"].request == {"type": "workflow:Daily_Report", "input": None}


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("name: a\nschedule_config: {interval_seconds: 1.5, input: x}", "interval_seconds", "whole number"),
        ("name: a\nschedule_config: {interval_seconds: 0, input: x}", "interval_seconds", "found 0"),
        ("name: a\nschedule_config: {interval_seconds: 5}", "task_data", "prompt"),
        (
            "name: a\nschedule_config: {interval_seconds: 5, input: {prompt: x, user_email: a@b.c}}",
            "input.user_email",
            "nobody",
        ),
        ("name: a\nschedule_config: {interval_seconds: 5, input: x, overlap: 2}", "overlap", "'skip'"),
        ("name: a\nschedule_config: {interval_seconds: 5, input: x, catchup_seconds: 1}", "catchup_seconds", "10"),
        ("name: a\nschedule_config: {intervall_seconds: 5}", "intervall_seconds", "did you mean 'interval_seconds'?"),
    ],
)
def test_a_wrong_schedule_in_a_file_is_told_with_its_key(tmp_path: Path, text: str, key: str, says: str) -> None:
    [problem] = load(write_files(tmp_path, {"agents/a.yaml": text}), ROOT / "skills" / "builtin").problems
    assert (problem.file, problem.line, problem.key) == ("agents/a.yaml", 2, f"schedule_config.{key}")
    assert says in problem.message


def test_what_a_flow_is_asked_by_the_clock_fits_its_schema(tmp_path: Path) -> None:
    text = "name: f\ninput_schema: {type: object, required: [topic]}\nsteps: [{agent: assistant}]\n"
    bad = f"{text}triggers: {{schedule: {{interval_seconds: 60, input: {{tpic: x}}}}}}\n"
    [problem] = load(write_files(tmp_path, {"flows/f.yaml": bad}), ROOT / "skills" / "builtin").problems
    assert (problem.key, problem.line) == ("triggers.schedule.input", 4)
    assert "topic" in problem.message
