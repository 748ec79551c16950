"""`skills`: what a program may call."""

from typing import Any

from cli import screen
from cli.client import Client
from holdfast.config import Settings
from holdfast.errors import NotFound


def skills(settings: Settings, name: str | None, tag: str | None, as_json: bool) -> None:
    with Client(settings) as client:
        if name is not None:
            _one(client.skill(name), as_json)
            return
        found = client.skills(tag)
    _many(found, tag, as_json)


def _many(found: list[dict[str, Any]], tag: str | None, as_json: bool) -> None:
    if as_json:
        screen.result(found)
    elif found:
        screen.rows(
            [(one["name"], one["effect"], one["origin"], screen.first_line(one["description"])) for one in found]
        )
    elif tag:
        raise NotFound(f"no skill with tag {tag!r}; see them all: holdfast skills")
    else:
        raise NotFound("no skills at all; see: holdfast doctor")


def _one(skill: dict[str, Any], as_json: bool) -> None:
    if as_json:
        screen.result(skill)
        return
    spec = skill["spec"]
    names = ("effect", "timeout_seconds", "version", "tags", "secrets")
    facts = [(name.replace("_", " "), _text(spec.get(name))) for name in names if spec.get(name)]
    screen.rows([("name", spec["name"]), ("in programs", skill["identifier"]), ("origin", skill["origin"]), *facts])
    screen.result(f"\n{spec['description']}")
    for schema in ("input_schema", "output_schema"):
        if spec.get(schema):
            screen.result(f"\n{schema.replace('_', ' ')}:")
            screen.result(spec[schema])


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
