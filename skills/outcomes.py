"""What the code of a skill did, as our errors and answers."""

import json
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from holdfast.catalogue import CatalogueSkill
from holdfast.contracts.base import Json
from holdfast.errors import (
    HoldfastError,
    SkillCrashed,
    SkillFailed,
    SkillInputError,
    SkillOutputError,
    SkillRefused,
    shown,
)
from skills.process import Gone
from skills.secrets import hidden


class Garbled(Exception):
    """A runner's process wrote something that is no line of the protocol."""


class Checked(TypedDict):
    """What a `check` probe found out about a call that may have happened."""

    outcome: Literal["done", "not_done", "unknown"]
    value: Json


def said(line: bytes) -> dict[str, Any]:
    """What a runner's process said: {value}, {error: …} as `runner.describe` makes it, {ask: …}, {call: …}, or {late}.

    Raises:
        Garbled: anything else.
    """
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError):
        raise Garbled(shown(line[:200])) from None
    failure = {"kind": str, "type": str, "message": str, "place": str, "retryable": bool}
    match frame:
        case {"value": _} | {"ask": dict()} | {"call": dict()} | {"late": True} if len(frame) == 1:
            return dict(frame)
        case {"error": {**found}} if {name: type(item) for name, item in found.items()} == failure:
            return {"error": found}
    raise Garbled(shown(line[:200]))


def raised(
    skill: CatalogueSkill, failure: Mapping[str, Any], secrets: Mapping[str, str], model: HoldfastError | None
) -> HoldfastError:
    """The error that stands for what the skill's code raised. `model` is why its last question had no answer."""
    place = f" ({failure['place']})" if failure["place"] else ""
    message = hidden(f"{skill.label} raised {failure['type']}: {failure['message']}{place}", secrets)
    match failure["kind"]:
        case "input":
            return SkillInputError(message)
        case "answer":
            return SkillOutputError(hidden(f"{skill.label}: {failure['message']}", secrets))
        case "model" if model is not None:
            return model
        case _:
            return SkillFailed(message) if failure["retryable"] else SkillRefused(message)


def crashed(skill: CatalogueSkill, gone: Gone, secrets: Mapping[str, str]) -> SkillCrashed:
    last = f"; it printed last: {shown(hidden(gone.tail[-180:], secrets))}" if gone.tail.strip() else ""
    return SkillCrashed(f"the process of {skill.label} died: {gone.how}{last}")


def checked(skill: CatalogueSkill, found: Json) -> Checked:
    """
    Raises:
        SkillOutputError: the probe answered with anything that is no outcome.
    """
    match found:
        case True:
            return Checked(outcome="done", value=None)
        case False:
            return Checked(outcome="not_done", value=None)
        case None:
            return Checked(outcome="unknown", value=None)
        case {"outcome": "done" | "not_done" | "unknown" as outcome}:
            return Checked(outcome=outcome, value=found.get("value"))
    allowed = 'True, False, None or {"outcome": "done" | "not_done" | "unknown", "value": …}'
    raise SkillOutputError(f"check of skill {skill.name!r} answered {shown(found)}; allowed: {allowed}")
