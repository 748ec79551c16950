"""`agents`: who takes tasks."""

from typing import Any

from cli import screen
from cli.client import Client
from holdfast.config import Settings
from holdfast.errors import NotFound

_LEFT_OUT = ("system_prompt", "description", "output_schema", "extra", "catalogue", "capabilities")


def agents(settings: Settings, name: str | None, as_json: bool) -> None:
    with Client(settings) as client:
        found: Any = client.agent(name) if name is not None else client.agents()
    if as_json:
        screen.result(found)
    elif name is not None:
        _one(found)
    elif found:
        screen.rows([_row(agent) for agent in found])
        _say_what_lacks(found)
    else:
        raise NotFound("no agents at all; see: holdfast doctor")


def _row(agent: dict[str, Any]) -> tuple[str, ...]:
    skills = "all skills" if agent["skills"] is None else f"{len(agent['skills'])} skills"
    model = agent["model"] or "default model"
    return (agent["name"], agent["status"], agent["strategy"], model, skills, screen.first_line(agent["description"]))


def _say_what_lacks(found: list[dict[str, Any]]) -> None:
    lacks: dict[str, list[str]] = {}
    for agent in found:
        if agent["status"] == "not_ready":
            lacks.setdefault(agent["reason"], []).append(agent["name"])
    for reason, names in lacks.items():
        screen.say(f"not ready: {', '.join(names)}: {reason}", "yellow")


def _one(agent: dict[str, Any]) -> None:
    facts = [(key.replace("_", " "), _text(value)) for key, value in agent.items() if key not in _LEFT_OUT]
    screen.rows([(key, text) for key, text in facts if text])
    for key in ("description", "system_prompt"):
        if agent[key]:
            screen.result(f"\n{key.replace('_', ' ')}:\n{agent[key].strip()}")
    for key in ("output_schema", "extra"):
        if agent[key]:
            screen.result(f"\n{key.replace('_', ' ')}:")
            screen.result(agent[key])


def _text(value: Any) -> str:
    match value:
        case None | [] | "" | {}:
            return ""
        case dict():
            return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if _text(item))
        case list():
            return "; ".join(map(_text, value))
        case bool():
            return str(value).lower()
        case _:
            return str(value)
