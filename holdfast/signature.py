"""Parameters of skills in the words of JSON Schema, for people and models: `path: string, start_line: integer = 1`."""

import json

from holdfast.contracts.base import Json
from holdfast.specs import SkillSpec


def parameters(spec: SkillSpec) -> str:
    """All of them, in the order in which positional arguments bind."""
    schema = spec.input_schema
    needed = set(schema.get("required", []))
    return ", ".join(_parameter(name, schema["properties"][name], name in needed) for name in spec.parameters)


def kind(schema: Json) -> str:
    """What a schema takes, as text: `integer`, `[string]`, `"a" | "b"`."""
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    found = schema.get("type", "any")
    if found == "array":
        return f"[{kind(schema.get('items', {}))}]"
    return " | ".join(found) if isinstance(found, list) else str(found)


def _parameter(name: str, schema: Json, is_needed: bool) -> str:
    if is_needed:
        return f"{name}: {kind(schema)}"
    default = schema.get("default") if isinstance(schema, dict) else None
    return f"{name}: {kind(schema)} = {json.dumps(default, ensure_ascii=False)}"
