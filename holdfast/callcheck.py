"""What is wrong with one call of a skill, as far as its text alone shows it, in words for the one who wrote it."""

import ast
import json
from collections.abc import Iterator

from holdfast import stubs
from holdfast.contracts.base import Json
from holdfast.names import suggestion
from holdfast.schemas import compiled, references
from holdfast.signature import kind, parameters
from holdfast.snapshot import CatalogueSkill

Given = tuple[ast.AST, str, ast.expr]
"""An argument: where it stands, its parameter (empty: there is none for it), and its value."""


def is_spread(call: ast.Call) -> bool:
    """Whether it has `*` or `**`, so that its text does not show what it passes."""
    stars = any(isinstance(each, ast.Starred) for each in call.args)
    return stars or any(each.arg is None for each in call.keywords)


def arguments(call: ast.Call, skill: CatalogueSkill) -> list[Given]:
    """What a call without `*` and `**` passes."""
    names = skill.spec.parameters
    by_place: list[Given] = [
        (value, names[place] if place < len(names) else "", value) for place, value in enumerate(call.args)
    ]
    return [*by_place, *((each, each.arg or "", each.value) for each in call.keywords)]


def problems(call: ast.Call, skill: CatalogueSkill) -> Iterator[tuple[ast.AST, str]]:
    """Each with the node at which it stands. `call` has no `*` or `**`."""
    given = arguments(call, skill)
    names: set[str] = set()
    for node, name, value in given:
        if text := _problem(skill, name, value, names):
            yield node, text
        names.add(name)
    if missing := [name for name in stubs.required(skill) if name not in names]:
        yield call, misses(skill, missing)


def _problem(skill: CatalogueSkill, name: str, value: ast.expr, before: set[str]) -> str:
    if not name:
        return too_many(skill)
    if name in before:
        return twice(skill, name)
    if name not in skill.spec.parameters:
        return "" if stubs.takes_any_name(skill) else unknown(skill, name)
    return _wrong_value(skill, name, value)


def _wrong_value(skill: CatalogueSkill, name: str, value: ast.expr) -> str:
    """Why a value that is written out does not fit its schema."""
    schema = stubs.schema_of(skill, name)
    if not all(ref.startswith(("#/$defs/", "#/definitions/")) for ref in references(schema)):
        return ""
    try:
        found: Json = json.loads(json.dumps(ast.literal_eval(value), allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ""
    whole_input = skill.spec.input_schema
    definitions = {key: part for key, part in whole_input.items() if key in ("$defs", "definitions")}
    whole = compiled({**definitions, **schema})
    wrong = whole.problems(whole.with_defaults(found), f"argument {name!r}")
    return f"{_name(skill)}: {'; '.join(wrong)}" if wrong else ""


def unknown(skill: CatalogueSkill, name: str) -> str:
    hint = suggestion(name, skill.spec.parameters)
    return f"{_name(skill)} has no argument {name!r};{hint} {_takes(skill)}"


def misses(skill: CatalogueSkill, names: list[str]) -> str:
    return f"{_name(skill)} needs {' and '.join(map(repr, names))}, which is not given; {_takes(skill)}"


def too_many(skill: CatalogueSkill) -> str:
    return f"{_name(skill)} takes at most {len(skill.spec.parameters)} arguments by position; {_takes(skill)}"


def twice(skill: CatalogueSkill, name: str) -> str:
    return f"{_name(skill)} gets {name!r} twice, by position and by name; {_takes(skill)}"


def wrong_type(skill: CatalogueSkill, name: str, found: str) -> str:
    return f"{_name(skill)}: argument {name!r}: found {found}; allowed: {kind(stubs.schema_of(skill, name))}"


def _takes(skill: CatalogueSkill) -> str:
    return f"it takes {parameters(skill.spec) or 'none'}"


def _name(skill: CatalogueSkill) -> str:
    return f"skills.{skill.spec.identifier}"
