"""Prompt skills without a model: those that summarise are answered by extraction, the others are refused."""

import json
from typing import Any

from holdfast.contracts.base import Json
from holdfast.errors import NoModel
from holdfast.schemas import compiled
from holdfast.snapshot import CatalogueSkill
from providers.offline.summary import extract
from providers.offline.text import no_model

_SHARE, _MOST_SENTENCES = 5, 400
_LEAST = {"words": 40, "characters": 240}


def answer(skill: CatalogueSkill, arguments: dict[str, Json]) -> str:
    """JSON that fits the skill's output schema.

    Raises:
        NoModel: the skill is none that summarises a `text`, or wants more than a summary and lengths.
    """
    text = arguments.get("text")
    if not _summarises(skill) or not isinstance(text, str):
        raise NoModel(no_model(f"prompt skill {skill.name!r}"))
    found = _summary(skill, text, arguments)
    if compiled(skill.spec.output_schema).problems(found, "answer"):
        raise NoModel(no_model(f"prompt skill {skill.name!r}, which answers more than a summary,"))
    return json.dumps(found, ensure_ascii=False)


def _summarises(skill: CatalogueSkill) -> bool:
    return skill.name == "summarize" or "summary" in (tag.lower() for tag in skill.spec.tags)


def _summary(skill: CatalogueSkill, text: str, arguments: dict[str, Json]) -> dict[str, Json]:
    """Where no limit is given, it is a fifth of the text, but some sentences at least."""
    unit, limit, style = _unit(skill), arguments.get("max_length"), arguments.get("style")
    size = _words if unit == "words" else len
    budget = int(limit) if isinstance(limit, (int, float)) else max(_LEAST[unit], size(text) // _SHARE)
    mark = "- " if style == "bullets" else ""
    kept = extract(text, budget, lambda each: size(mark + each), 1 if style == "headline" else _MOST_SENTENCES)
    summary = ("\n" if mark else " ").join(mark + each for each in kept) or text[:budget]
    return {"summary": summary, "original_length": size(text), "summary_length": size(summary)}


def _words(text: str) -> int:
    return len(text.split())


def _unit(skill: CatalogueSkill) -> str:
    """What the schemas count in: `words`, if they say so and not `characters`."""
    both: list[Any] = [skill.spec.input_schema, skill.spec.output_schema]
    said = json.dumps(both).lower()
    return "words" if "words" in said and "characters" not in said else "characters"
