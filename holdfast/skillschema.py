"""A skill's schemas in the forms in which people write them, brought into one: JSON Schema."""

from typing import Any

from holdfast.errors import shown
from holdfast.names import listed
from holdfast.schemas import schema_fault

_WORDS = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "items"),
        *("$ref", "$defs", "$schema", "definitions", "anyOf", "oneOf", "allOf", "not", "if", "enum", "const"),
        *("title", "description", "default", "examples", "minProperties", "maxProperties"),
    }
)


def input_schema(value: Any) -> tuple[dict[str, Any], list[str]]:
    """The schema of an object of arguments, and warnings.

    Raises:
        ValueError: it is none; the message says what was found and what is allowed.
    """
    schema, warnings = any_schema(value)
    if schema.setdefault("type", "object") != "object":
        raise ValueError(f"found type {shown(schema['type'])}; allowed: 'object', whose properties are the arguments")
    return schema, warnings


def any_schema(value: Any) -> tuple[dict[str, Any], list[str]]:
    """The schema of any JSON value, and warnings.

    Raises:
        ValueError: as above.
    """
    value, short = _from_shorthand(value)
    value, flags = _with_required_lifted(value)
    fault = schema_fault(value)
    if fault is not None:
        raise ValueError(fault)
    return dict(value), [*short, *flags]


def _from_shorthand(value: Any) -> tuple[Any, list[str]]:
    if not isinstance(value, dict) or not value or _WORDS & value.keys():
        return value, []
    if not all(isinstance(part, dict) for part in value.values()):
        return value, []
    return {"type": "object", "properties": value}, ["has no 'type' or 'properties'; its keys are taken for properties"]


def _with_required_lifted(value: Any) -> tuple[Any, list[str]]:
    """`required: true` beside a property, as an older JSON Schema had it, moves to the object's list."""
    properties = value.get("properties") if isinstance(value, dict) else None
    if not isinstance(properties, dict):
        return value, []
    flagged = [name for name, part in properties.items() if _is_flagged(part)]
    if not flagged:
        return value, []
    needed = [name for name in flagged if properties[name]["required"]]
    parts = {name: _without_flag(part) if name in flagged else part for name, part in properties.items()}
    listed_before = value["required"] if isinstance(value.get("required"), list) else []
    lifted = {**value, "properties": parts, "required": list(dict.fromkeys([*listed_before, *needed]))}
    return lifted, [f"'required' beside {listed(flagged)}; its place is the object's own list 'required'"]


def _is_flagged(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("required"), bool)


def _without_flag(part: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in part.items() if name != "required"}
