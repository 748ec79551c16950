"""`schedules`: tasks that begin by the clock."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx2

from cli import screen
from cli.client import Client
from cli.request import json_flag
from holdfast.client import wire
from holdfast.client.asks import Ask, Row, row
from holdfast.config import Settings
from holdfast.errors import UserError, shown


def list_(settings: Settings, as_json: bool) -> None:
    with Client(settings) as client:
        found = client.ask(row("/schedules"))["schedules"]
    if as_json:
        screen.result(found)
    elif found:
        screen.rows([_row(one) for one in found])
    else:
        screen.say("no schedules; see: holdfast schedules create --help")


def show(settings: Settings, name: str, as_json: bool) -> None:
    with Client(settings) as client:
        found = client.ask(row(_at(name)))
    if as_json:
        screen.result(found)
    else:
        _one(found)


def create(settings: Settings, body: dict[str, Any], as_json: bool) -> None:
    sent = {key: value for key, value in body.items() if value is not None}
    with Client(settings) as client:
        found = client.ask(Ask("POST", "/schedules", _body, sent, is_safe=False))
    if as_json:
        screen.result(found)
    else:
        _one(found)


def enable(settings: Settings, name: str, *, enabled: bool) -> None:
    with Client(settings) as client:
        found = client.ask(Ask("PATCH", f"{_at(name)}/enabled", _body, {"enabled": enabled}))
    screen.say(f"{name} comes next {_next(found)}" if enabled else f"{name} is paused")


def trigger(settings: Settings, name: str) -> None:
    with Client(settings) as client:
        found = client.ask(Ask("POST", f"{_at(name)}/trigger", _body, is_safe=False))
    if found["task_id"] is None:
        screen.say(
            "no task began: the one before is in work, and its overlap policy lets this one wait, or leaves it out"
        )
    else:
        screen.result(found["task_id"])


def backfill(settings: Settings, name: str, first: str, last: str, overlap: str, as_json: bool) -> None:
    body = {"from": _moment("--from", first), "to": _moment("--to", last), "overlap": overlap}
    with Client(settings) as client:
        found = client.ask(Ask("POST", f"{_at(name)}/backfill", _body, body))["runs"]
    if as_json:
        screen.result(found)
    elif found:
        screen.rows([(_at_hand(run["due_at"]), run["task_id"]) for run in found])
    else:
        screen.say(f"{name} does not come in that range")


def _moment(flag: str, text: str) -> str:
    """With its time zone: that of who writes it, if it says none.

    Raises:
        UserError: it is no time.
    """
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.astimezone()).isoformat()
    except (ValueError, OverflowError):
        raise UserError(f"{flag}: found {shown(text)}; allowed are times such as 2026-11-01T08:00:00Z") from None


def delete(settings: Settings, name: str) -> None:
    with Client(settings) as client:
        client.ask(Ask("DELETE", _at(name), _nothing))
    screen.say(f"{name} is deleted")


def request(text: str | None, agent: str | None, flow: str | None, given: str | None) -> Row:
    """What is to be begun: an agent with words, or a flow with its input.

    Raises:
        UserError: both, or an agent without words.
    """
    value = json_flag("--input", given) if given is not None else None
    if flow is not None:
        if text is not None or agent is not None:
            raise UserError("a flow takes --input, and no words and no --agent")
        return {"type": f"workflow:{flow}", "input": value}
    if not text:
        raise UserError('say what is to be done: holdfast schedules create NAME "Report" --cron "0 8 * * *"')
    beside = {} if value is None else value if isinstance(value, dict) else {"data": value}
    return {"type": f"agent:{agent}" if agent else "agent", "input": {"prompt": text, **beside} if beside else text}


def _at(name: str) -> str:
    return f"/schedules/{quote(name, safe='')}"


def _body(response: httpx2.Response) -> Row:
    found: Row = wire.body(response)
    return found


def _nothing(response: httpx2.Response) -> None:
    if not response.is_success:
        wire.body(response)


def _row(found: Row) -> tuple[str, ...]:
    return (found["name"], _when(found), _next(found), found["managed_by"] or "made by hand")


def _when(found: Row) -> str:
    if found["interval_seconds"] is not None:
        return f"every {screen.seconds(found['interval_seconds'])}"
    return f"{found['cron']} {found['timezone']}" if found["cron"] else "at times of its own"


def _next(found: Row) -> str:
    if not found["enabled"]:
        return "paused"
    return _at_hand(found["next_times"][0]) if found["next_times"] else "never again"


def _at_hand(moment: str) -> str:
    """In the time zone of who reads it."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _one(found: Row) -> None:
    facts = [
        ("name", found["name"]),
        ("when", _when(found)),
        ("next", _next(found)),
        ("overlap", found["overlap"]),
        ("catch-up", screen.seconds(found["catchup_seconds"])),
        ("from", found["managed_by"] or "made by hand"),
        ("note", found["note"]),
        ("asks", str(found["request"].get("type", "something that is no task"))),
        ("begun", f"{found['starts']} times, {found['skipped']} skipped, {found['missed']} missed"),
    ]
    screen.rows([(name, text) for name, text in facts if text])
    if found["runs"]:
        screen.result("\nlatest tasks:")
        screen.rows([(f"  {_at_hand(run['due_at'])}", run["task_id"]) for run in found["runs"]])
