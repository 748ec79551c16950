"""The skills of a task as a Python stub, for a type checker: what surely cannot be passed, and nothing stricter.

A value's type says less than a schema, so a parameter has the Python types of its JSON `type`s and no more: what a
skill gives is Any, and an integer may be a float (2.0 is one in JSON).
"""

import builtins
import keyword
from collections.abc import Iterable

from holdfast.contracts.base import Json
from holdfast.snapshot import CatalogueSkill

PREFIX = "holdfast_skill_"
"""Begins the name that the checker prints for the function of a skill, whatever a program calls it."""

_HEAD = """from typing import Any
def __getattr__(name: str) -> Any: ...
class SkillError(Exception):
    skill: str
    type: str
    message: str
    details: dict[str, Any]
"""
_GLOBALS = """from typing import Any
import asyncio as asyncio
import skills as skills
from skills import SkillError as SkillError
inputs: Any
session: dict[str, Any]
executor: Any
"""
_TYPES = {
    "string": "str",
    "integer": "float",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "array": "list[Any] | tuple[Any, ...]",
    "object": "dict[Any, Any]",
}


def module(skills: Iterable[CatalogueSkill]) -> str:
    """The text of `skills.pyi`: a function for each, to be awaited or not, and Any for every other name."""
    return _HEAD + "".join(_function(skill) for skill in skills)


def global_names(skills: Iterable[CatalogueSkill]) -> str:
    """The text of `__builtins__.pyi`: what a program finds without an import."""
    names = [skill.spec.identifier for skill in skills]
    return _GLOBALS + "".join(f"from skills import {name} as {name}\n" for name in names if not hasattr(builtins, name))


def takes_any_name(skill: CatalogueSkill) -> bool:
    """Whether there can be arguments beside the named parameters."""
    schema = skill.spec.input_schema
    if "patternProperties" in schema:
        return True
    return schema.get("additionalProperties", not skill.spec.parameters) is not False


def required(skill: CatalogueSkill) -> list[str]:
    """Parameters without which a call surely fails; a default in the schema counts as given."""
    needed = set(skill.spec.input_schema.get("required", []))
    return [name for name in skill.spec.parameters if name in needed and "default" not in schema_of(skill, name)]


def schema_of(skill: CatalogueSkill, parameter: str) -> dict[str, Json]:
    """The schema of one parameter; `true` and `false`, which are schemas too, as an empty one."""
    found = skill.spec.input_schema["properties"][parameter]
    return found if isinstance(found, dict) else {}


def types_of(schema: dict[str, Json]) -> list[str]:
    """JSON types that a schema allows by its own `type`; empty: any."""
    found = schema.get("type", [])
    return [found] if isinstance(found, str) else list(found)


def _function(skill: CatalogueSkill) -> str:
    name = skill.spec.identifier
    return f"def {PREFIX}{name}({_parameters(skill)}) -> Any: ...\n{name} = {PREFIX}{name}\n"


def _parameters(skill: CatalogueSkill) -> str:
    names = skill.spec.parameters
    if not all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
        return "*args: Any, **kwargs: Any"
    needed = required(skill)
    # Python wants those without a default first; of others that are missing the checker says nothing.
    first = next((place for place, name in enumerate(names) if name not in needed), len(names))
    rows = [
        f"{name}: {_type(schema_of(skill, name))}{' = ...' if place >= first else ''}"
        for place, name in enumerate(names)
    ]
    return ", ".join([*rows, *(["**kwargs: Any"] if takes_any_name(skill) else [])])


def _type(schema: dict[str, Json]) -> str:
    return " | ".join(_TYPES.get(one, "Any") for one in types_of(schema)) or "Any"
