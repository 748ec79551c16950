"""`events`: say what happened, and see what it started."""

from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2

from cli import screen
from cli.client import Client
from cli.request import json_flag
from holdfast.client import wire
from holdfast.client.asks import Ask, Row, row
from holdfast.config import Settings


def send(settings: Settings, topic: str, payload: str | None, event_id: str | None, as_json: bool) -> None:
    """The id is made here where none is given: sending again after a lost connection starts nothing twice."""
    body: Row = {"topic": topic, "event_id": event_id or str(uuid4())}
    if payload is not None:
        body["payload"] = json_flag("PAYLOAD", payload)
    with Client(settings) as client:
        found = client.ask(Ask("POST", "/events", _body, body))
    if as_json:
        screen.result(found)
        return
    screen.result(found["event_id"])
    if found["duplicate"]:
        screen.say("this id is known: nothing is started once more")


def list_(settings: Settings, topic: str | None, limit: int, as_json: bool) -> None:
    params: dict[str, str | float] = {"limit": limit, **({"topic": topic} if topic else {})}
    with Client(settings) as client:
        found = client.ask(Ask("GET", "/events", _body, params=params))["events"]
    if as_json:
        screen.result(found)
    elif found:
        screen.rows([_row(one) for one in found])
    else:
        screen.say('no events yet; send one: holdfast events send TOPIC \'{"text": "…"}\'')


def show(settings: Settings, event_id: str, as_json: bool) -> None:
    with Client(settings) as client:
        found = client.ask(row(f"/events/{quote(event_id, safe='')}"))
    if as_json:
        screen.result(found)
        return
    screen.rows([(key.replace("_", " "), _text(value)) for key, value in found.items() if _text(value)])


def _row(found: Row) -> tuple[str, ...]:
    at = datetime.fromisoformat(found["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    began = ", ".join(found["started"]) or found["reason"] or ("nobody" if found["state"] == "routed" else "…")
    refused = f"; refused: {', '.join(found['refused'])}" if found["refused"] else ""
    return (at, found["event_id"], found["topic"], f"{began}{refused}")


def _text(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return ""
        case dict():
            return ", ".join(f"{key}: {item}" for key, item in value.items())
        case list():
            return "; ".join(map(_text, value))
        case _:
            return str(value)


def _body(response: httpx2.Response) -> Row:
    found: Row = wire.body(response)
    return found
