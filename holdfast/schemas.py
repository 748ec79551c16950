"""JSON Schemas of skills: compiled once, checked with messages that a model or a person can act on."""

import copy
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from holdfast.errors import shown
from holdfast.names import listed, suggestion

_MAX_ERRORS = 5
_NOWHERE: Registry[Any] = Registry()
_ALLOWED = {
    "enum": "one of {}",
    "const": "only {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "text that matches {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
    "uniqueItems": "items that differ",
}
_JSON_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


class Schema:
    """A compiled JSON Schema (draft 2020-12). References lead within the schema only: nothing is fetched."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self._validator = Draft202012Validator(raw, registry=_NOWHERE)

    def problems(self, value: Any, root: str) -> list[str]:
        """What does not fit, at most five: where, what was found, what is allowed. `root` names the whole value."""
        try:
            errors = sorted(
                self._validator.iter_errors(value), key=lambda error: [str(step) for step in error.absolute_path]
            )
        except Unresolvable as exc:
            return [f"the schema refers to {exc.ref!r}, which is not in it"]
        except RecursionError:
            return [f"{root}: nested too deep"]
        except OverflowError:
            return [f"{root}: a number in it is beyond the range that can be checked"]
        return [_explained(error, root) for error in errors[:_MAX_ERRORS]]

    def with_defaults(self, value: Any) -> Any:
        """A copy of the value; where an object lacks a property that has a default, it has it now."""
        return _filled(value, self.raw)


def compiled(raw: Mapping[str, Any]) -> Schema:
    """The compiled form of a schema, kept for the life of the process."""
    return _compiled(json.dumps(raw, sort_keys=True))


@lru_cache(maxsize=2048)
def _compiled(text: str) -> Schema:
    return Schema(json.loads(text))


def _filled(value: Any, schema: Any) -> Any:
    if not isinstance(schema, dict) or not isinstance(value, dict) or not isinstance(schema.get("properties"), dict):
        return value
    filled = dict(value)
    for name, part in schema["properties"].items():
        if name not in filled and isinstance(part, dict) and "default" in part:
            filled[name] = copy.deepcopy(part["default"])
        if name in filled:
            filled[name] = _filled(filled[name], part)
    return filled


def _explained(error: ValidationError, root: str) -> str:
    if error.validator in ("anyOf", "oneOf") and error.context:
        error = best_match([error]) or error
    where, found, wanted = _path(error, root), cast(Any, error.instance), cast(Any, error.validator_value)
    match error.validator:
        case "required":
            return f"{where}: {listed(name for name in wanted if name not in found)} missing; found {listed(found)}"
        case "additionalProperties" if isinstance(error.schema, dict):
            known = list(error.schema.get("properties", {}))
            return f"{where}: {unknown_names([name for name in found if name not in known], known)}"
        case "type":
            return f"{where}: found {shown(found)} ({json_type(found)}); allowed: {_types(wanted)}"
        case str(name) if name in _ALLOWED:
            return f"{where}: found {shown(found)}; allowed: {_ALLOWED[name].format(_short(wanted))}"
        case _:
            return f"{where}: found {shown(found)}; {error.message[:300]}"


def unknown_names(extra: list[str], known: list[str]) -> str:
    """`unknown 'qurey'; did you mean 'query'? Allowed: …`"""
    hint = suggestion(extra[0], known) if extra else ""
    return f"unknown {listed(extra)};{hint} allowed: {listed(known)}"


def _path(error: ValidationError, root: str) -> str:
    text = root
    for step in error.absolute_path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text


def _types(value: Any) -> str:
    return " or ".join(value) if isinstance(value, list) else str(value)


def _short(value: Any) -> str:
    return listed(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else shown(value)


def json_type(value: Any) -> str:
    return _JSON_NAMES.get(type(value), type(value).__name__)


def schema_fault(raw: Any) -> str | None:
    """Why this is no JSON Schema for an object of arguments or an answer, or None."""
    if not isinstance(raw, dict):
        return f"found {shown(raw)}; allowed is a JSON Schema (a mapping)"
    try:
        Draft202012Validator.check_schema(raw)
    except SchemaError as exc:
        where = ".".join(str(step) for step in exc.absolute_path) or "the schema"
        return f"not a JSON Schema at {where}: found {shown(exc.instance)}; {exc.message[:200]}"
    lost = [ref for ref in references(raw) if not _resolves(raw, ref)]
    return (
        f"found $ref {lost[0]!r}, which leads nowhere; allowed are references within the schema ('#/$defs/…')"
        if lost
        else None
    )


def _resolves(raw: Any, ref: str) -> bool:
    if ref.startswith("#") and not ref.startswith("#/"):
        return True
    item = raw if ref.startswith("#/") else None
    for step in ref[2:].split("/"):
        item = item.get(unquote(step).replace("~1", "/").replace("~0", "~")) if isinstance(item, dict) else None
    return item is not None


def references(raw: Any) -> Iterator[str]:
    """All `$ref`s in a schema."""
    stack = [raw]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if isinstance(item.get("$ref"), str):
                yield item["$ref"]
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
