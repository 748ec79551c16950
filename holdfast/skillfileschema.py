"""The JSON Schema of a skill.yaml, for editors. The reading itself is more lenient: see `skillkeys`."""

from typing import Any

from holdfast.skillkeys import ALIASES, EXECUTION, KINDS
from holdfast.specs import SkillSpec

_COMPUTED = ("parameters", "effect_declared")


def schema() -> dict[str, Any]:
    """With the other names of keys, and `execution` of the older system, whose timeout counts milliseconds."""
    found = SkillSpec.model_json_schema()
    properties = {name: part for name, part in found["properties"].items() if name not in _COMPUTED}
    properties["kind"] = {**properties["kind"], "enum": [*properties["kind"]["enum"], *KINDS]}
    properties["tags"] = {"anyOf": [properties["tags"], {"type": "string"}]}
    properties |= {alias: properties[name] for alias, name in {**ALIASES, "allowed-tools": "allowed_tools"}.items()}
    execution = {key: properties[name] for key, name in EXECUTION.items() if key != "timeout"}
    timeout = {"type": "number", "description": "milliseconds", "exclusiveMinimum": 0}
    properties["execution"] = {
        "type": "object",
        "properties": {**execution, "timeout": timeout},
        "additionalProperties": False,
    }
    del found["required"]  # Beside a SKILL.md, which has name and description, a skill.yaml needs no key at all.
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "SkillFile",
        "description": "A skill's `skill.yaml`.",
        "properties": properties,
        "additionalProperties": False,
    }
