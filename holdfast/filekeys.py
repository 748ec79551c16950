"""What the files of agents and flows have in common: models of their keys, other names of keys, JSON Schemas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from holdfast.topics import pattern_fault

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _pattern(text: str) -> str:
    if fault := pattern_fault(text):
        raise PydanticCustomError("pattern", "{fault}", {"fault": fault})
    return text


Pattern = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_pattern)]
"""Of topics: `slack.command.*`, `task.#`."""
YesNo = Annotated[bool, Field(strict=False)]
"""Also `yes` and `no`, which the older systems' YAML read as true and false."""

MARK = "<"
"""Begins the tags of shapes. pydantic puts them into the place of an error, where no reader wants them."""

Loc = tuple[str | int, ...]


class Keys(BaseModel):
    """A mapping whose keys are all known: a key that is misspelt must not be a setting that is silently not made."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


K = TypeVar("K", bound=Keys)


@dataclass(frozen=True)
class Shape(Generic[K]):
    """A file's keys. `places` are the mappings within, by the keys that lead there: `steps.retry`; a list of mappings
    stands where one mapping would. `aliases` are other names of keys, by the same places; the file's own is ``."""

    model: type[K]
    places: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def known(self, place: str) -> list[str]:
        """The keys that the mapping at a place may have: `llm_config` -> provider, model, …"""
        fields = (self.places[place] if place else self.model).model_fields
        return [*(field.alias or name for name, field in fields.items()), *self.aliases.get(place, ())]

    def schema(self, title: str) -> dict[str, Any]:
        """The JSON Schema of the file, other names of keys included: for editors."""
        found = self.model.model_json_schema()
        for place, aliases in self.aliases.items():
            part = found["$defs"][self.places[place].__name__] if place else found
            _with_aliases(part, aliases)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": title}


def _with_aliases(part: dict[str, Any], aliases: Mapping[str, str]) -> None:
    properties = part["properties"]
    properties.update({alias: {**properties[name], "title": alias} for alias, name in aliases.items()})
    required = [name for name in part.pop("required", []) if name not in aliases.values()]
    part |= {"required": required} if required else {}


def place_of(loc: Loc) -> str:
    """The keys that lead to a pydantic error: `llm_config.model`."""
    return ".".join(step for step in loc if isinstance(step, str) and not step.startswith(MARK))


def path_of(loc: Loc) -> str:
    """The place of a pydantic error as messages write it: `llm_config[0].model`."""
    steps = [step for step in loc if not str(step).startswith(MARK)]
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
