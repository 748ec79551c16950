"""Skills as a model is told of them: a line each to choose from, and in full once they are chosen."""

import json
from collections.abc import Iterable

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json
from holdfast.snapshot import CatalogueSkill

_INSTRUCTIONS = 6000


def catalogue_lines(skills: Iterable[CatalogueSkill]) -> str:
    """Name and description, one line each."""
    return "\n".join(f"- {skill.name}: {' '.join(skill.spec.description.split())}" for skill in skills) or "(none)"


def reference(skills: Iterable[CatalogueSkill], blobs: BlobStore) -> str:
    """Signature, what each argument means, and the instructions of each skill."""
    return "\n\n".join(_described(skill, blobs) for skill in skills) or "(none)"


def signature(skill: CatalogueSkill) -> str:
    """`skills.read_file(path: string, start_line: integer = 1) -> object`."""
    schema = skill.spec.input_schema
    needed = set(schema.get("required", []))
    parts = [_parameter(name, schema["properties"][name], name in needed) for name in skill.spec.parameters]
    return f"skills.{skill.spec.identifier}({', '.join(parts)}) -> {_shape(skill.spec.output_schema)}"


def _described(skill: CatalogueSkill, blobs: BlobStore) -> str:
    meanings = [
        f"  {name}: {part['description']}"
        for name, part in skill.spec.input_schema.get("properties", {}).items()
        if isinstance(part, dict) and part.get("description")
    ]
    text = skill.instructions(blobs).strip()
    instructions = text if len(text) <= _INSTRUCTIONS else f"{text[:_INSTRUCTIONS]}\n(cut)"
    head = [signature(skill), f"  {' '.join(skill.spec.description.split())}", *meanings]
    return "\n".join([*head, *([instructions] if instructions else [])])


def _parameter(name: str, schema: Json, is_needed: bool) -> str:
    kind = _kind(schema)
    if is_needed:
        return f"{name}: {kind}"
    default = schema.get("default") if isinstance(schema, dict) else None
    return f"{name}: {kind} = {json.dumps(default, ensure_ascii=False)}"


def _kind(schema: Json) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"[{_kind(schema.get('items', {}))}]"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _shape(schema: Json, depth: int = 0) -> str:
    """`{score: number, issues: [{line: integer, …}]}`, two levels deep."""
    if not isinstance(schema, dict):
        return "any"
    properties = schema.get("properties")
    if properties and depth < 3:
        inner = ", ".join(f"{name}: {_shape(part, depth + 1)}" for name, part in properties.items())
        return f"{{{inner}}}"
    if schema.get("type") == "array":
        return f"[{_shape(schema.get('items', {}), depth + 1)}]"
    return _kind(schema)
