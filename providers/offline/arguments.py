"""What a skill is called with: what the task names, by type and name of each parameter, over one of its examples."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from holdfast.contracts.base import Json
from holdfast.snapshot import CatalogueSkill
from holdfast.specs import Example
from providers.offline.task import Said, split

_PATHS = ("path", "file", "folder", "directory", "filename")
_URLS = ("url", "uri", "link")
_SEARCHES = frozenset({"query", "q", "search", "topic", "question", "keywords"})
_TEXTS = frozenset({"text", "content", "document", "code", "source", "body", "markdown"})


@dataclass
class Filled:
    """`text_parameter` gets the text of each file that the task names. `words` of the task went into an argument;
    `example` counts from 1."""

    arguments: dict[str, Json] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    text_parameter: str = ""
    words: set[str] = field(default_factory=set)
    quotes: int = 0
    example: int | None = None
    program: str = ""


def fill(skill: CatalogueSkill, said: Said, answers: tuple[str, ...] = ()) -> Filled:
    """The arguments that a task names. `answers` of a person stand for what was missing, in order.

    Values of an example are used for a project's own pure skills only: what has an effect is done as asked, or not.
    """
    filled = Filled()
    number, example = _example(skill, said)
    if example is not None:
        filled.example, filled.program = number, example.program or ""
        filled.arguments.update(example.arguments or {})
    _Filling(skill, said, filled).run()
    required = [] if filled.program else _required(skill)
    filled.missing = [name for name in required if name not in filled.arguments and name != filled.text_parameter]
    for name, answer in zip(list(filled.missing), answers, strict=False):
        filled.arguments[name] = typed(answer, _properties(skill).get(name, {}))
        filled.missing.remove(name)
    return filled


def typed(text: str, schema: Any) -> Json:
    """A text as the type that a parameter has; as it is, where it cannot be read as that."""
    types = _types(schema)
    if not types or "string" in types:
        return text
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


class _Filling:
    """One pass over the parameters; what was used once is not used again."""

    def __init__(self, skill: CatalogueSkill, said: Said, filled: Filled) -> None:
        self.said, self.filled = said, filled
        self.properties, self.required = _properties(skill), _required(skill)
        self.quoted, self.numbers, self.urls = iter(said.quoted), iter(said.numbers), iter(said.urls)
        self.places = iter(said.all_places)
        takes_paths = any(_is_called(name, _PATHS) for name in self.properties)
        self.takes_texts = not takes_paths and skill.spec.kind != "native"

    def run(self) -> None:
        for name, schema in self.properties.items():
            is_wanted = name in self.required or name in self.filled.arguments
            value = next(self._values(name, schema, is_wanted), None)
            if value is not None:
                self.filled.arguments[name] = value

    def _values(self, name: str, schema: Any, is_wanted: bool) -> Iterator[Json]:
        """Values that may be meant, the likeliest first."""
        if name in self.said.pairs:
            yield typed(self.said.pairs[name], schema)
        yield from self._of_enum(schema)
        types = _types(schema)
        if _is_called(name, _PATHS) and "string" in types:
            yield from (place.path for place in self.places)
        elif _is_called(name, _URLS) and "string" in types:
            yield from self.urls
        elif {"integer", "number"} & types and (is_wanted or self._is_the_only_number()):
            for number in self.numbers:
                self.filled.words |= self.said.after(number)
                yield typed(number, schema)
        elif "string" in types and is_wanted:
            yield from self._of_text(name)
        elif "array" in types and is_wanted and (quoted := list(self.quoted)):
            yield [*quoted]

    def _of_enum(self, schema: Any) -> Iterator[Json]:
        is_list = "array" in _types(schema)
        allowed = (schema.get("items", {}) if is_list else schema).get("enum", [])
        named = [each for each in allowed if isinstance(each, str) and set(split(each)) <= set(self.said.words)]
        if named:
            yield [*named] if is_list else named[0]

    def _of_text(self, name: str) -> Iterator[Json]:
        for quoted in self.quoted:
            self.filled.quotes += 1
            yield quoted
        if name in _TEXTS and self.said.all_places and self.takes_texts:
            self.filled.text_parameter = name
            self.filled.arguments.pop(name, None)
        elif name in _SEARCHES and self.said.subject:
            self.filled.words |= set(split(self.said.subject))
            yield self.said.subject

    def _is_the_only_number(self) -> bool:
        return sum(bool({"integer", "number"} & _types(schema)) for schema in self.properties.values()) == 1


def _example(skill: CatalogueSkill, said: Said) -> tuple[int | None, Example | None]:
    """The example whose reason shares most words with the task; the first one among equals."""
    usable = [(number, each) for number, each in enumerate(skill.spec.examples, 1) if each.arguments or each.program]
    if skill.origin == "builtin" or skill.spec.effect != "pure" or not usable:
        return None, None
    return max(usable, key=lambda pair: len(set(split(pair[1].why)) & set(said.words)))


def _properties(skill: CatalogueSkill) -> dict[str, Any]:
    found: Any = skill.spec.input_schema.get("properties", {})
    return {name: schema if isinstance(schema, dict) else {} for name, schema in found.items()}


def _required(skill: CatalogueSkill) -> list[str]:
    found: Any = skill.spec.input_schema.get("required", [])
    return list(found)


def _types(schema: Any) -> set[str]:
    found = schema.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _is_called(name: str, names: tuple[str, ...]) -> bool:
    return name.lower() in names or name.lower().endswith(tuple(f"_{each}" for each in names))
