"""Skills as a model is told of them: a line each to choose from, and in full once they are chosen."""

from collections.abc import Iterable

from holdfast import filenames
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json
from holdfast.signature import kind, parameters
from holdfast.snapshot import CatalogueSkill

_INSTRUCTIONS = 6000
_FILES = 100


def catalogue_lines(skills: Iterable[CatalogueSkill]) -> str:
    """Name and description, one line each."""
    return "\n".join(f"- {skill.name}: {' '.join(skill.spec.description.split())}" for skill in skills) or "(none)"


def reference(skills: Iterable[CatalogueSkill], blobs: BlobStore) -> str:
    """Signature, what each argument means, and the instructions of each skill."""
    return "\n\n".join(_described(skill, blobs) for skill in skills) or "(none)"


def told_files(blobs: BlobStore, files_ref: str | None) -> str:
    """A paragraph on the files that the program will find, to stand behind the skills; empty if there are none."""
    files = filenames.read(blobs, files_ref)
    names = ", ".join(f"{file.name} ({file.size_bytes} bytes)" for file in files[:_FILES])
    more = f", and {len(files) - _FILES} more" if len(files) > _FILES else ""
    return f"\n\nFiles that the program finds in its folder in/ (/ws/in, read-only): {names}{more}" if files else ""


def signature(skill: CatalogueSkill) -> str:
    """`skills.read_file(path: string, start_line: integer = 1) -> object`."""
    return f"skills.{skill.spec.identifier}({parameters(skill.spec)}) -> {_shape(skill.spec.output_schema)}"


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
    return kind(schema)
