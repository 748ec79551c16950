"""The keys of one skill file as fields of a spec: aliases of older systems, the open format's keys, loose shapes."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from holdfast.errors import shown
from holdfast.names import listed, suggestion
from holdfast.yamlfile import Document

OPEN_FORMAT = ("name", "description", "license", "compatibility", "metadata", "allowed_tools")
_TEXTS = (*OPEN_FORMAT[:4], "allowed_tools", "version", "prompt_template")
_TYPED = (
    *("tags", "kind", "input_schema", "output_schema", "examples", "prompt_template", "version"),
    *("effect", "timeout_seconds", "max_retries", "max_age_seconds", "secrets", "network", "writes", "approval"),
    *("weight", "handler", "function", "check"),
)
_FIELDS = tuple(dict.fromkeys((*OPEN_FORMAT, *_TYPED)))
ALIASES = {
    "type": "kind",
    "input": "input_schema",
    "parameters": "input_schema",
    "output": "output_schema",
    "tag": "tags",
    "secret": "secrets",
}
"""Other names of keys -> fields."""
KINDS = {"pure-prompt": "prompt", "pure-script": "script"}
_KIND_NAMES = ("prompt", "script", "hybrid", "native", "engine", *KINDS)
EXECUTION = {"handler": "handler", "function": "function", "check": "check", "timeout": "timeout_seconds"}
"""Keys below `execution` -> fields."""
_LIMITS = {"name": 64, "description": 1024, "compatibility": 500}


class Found(NamedTuple):
    """A field's value, and where it stands."""

    name: str
    value: Any
    document: Document
    key: str


def fields(document: Document, is_front: bool) -> Iterator[Found]:
    """All fields that a file sets. What is odd becomes a warning of the document.

    Raises:
        SpecInvalid: a value leaves open what is meant.
    """
    for key, value in document.values.items():
        name = key.replace("-", "_").lower()
        name = ALIASES.get(name, name)
        if value is None:
            continue
        if name == "execution":
            yield from _execution(document, value)
        elif name in _FIELDS:
            if is_front and name not in OPEN_FORMAT:
                document.warn(key, "not a key of the open SKILL.md format; it counts here, but belongs in skill.yaml")
            yield from _field(name, value, document, key)
        else:
            known = OPEN_FORMAT if is_front else (*_FIELDS, "execution")
            hint = suggestion(key, (*_FIELDS, "execution"))
            document.warn(key, f"unknown, and ignored;{hint} allowed: {listed(known)}")


def _field(name: str, value: Any, document: Document, key: str) -> Iterator[Found]:
    if name == "metadata":
        yield from _metadata(value, document, key)
        return
    shaped = _shaped(name, value, document, key)
    if shaped is not None:
        yield Found(name, shaped, document, key)


def _execution(document: Document, value: Any) -> Iterator[Found]:
    if not isinstance(value, dict):
        raise document.wrong("execution", f"found {shown(value)}; allowed is a mapping of {listed(EXECUTION)}")
    for key, item in value.items():
        place = f"execution.{key}"
        if key not in EXECUTION:
            document.warn(place, f"unknown, and ignored;{suggestion(key, EXECUTION)} allowed: {listed(EXECUTION)}")
        else:
            yield Found(EXECUTION[key], _seconds(item, document) if key == "timeout" else item, document, place)


def _seconds(value: Any, document: Document) -> float:
    """`execution.timeout` counts milliseconds, as in the older system."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value / 1000
    raise document.wrong("execution.timeout", f"found {shown(value)}; allowed is a number of milliseconds")


def _shaped(name: str, value: Any, document: Document, key: str) -> Any:
    """The value in the shape that the field has, where people write it in another."""
    match name:
        case "allowed_tools" if isinstance(value, list):
            return " ".join(map(str, value))
        case _ if name in _TEXTS:
            return _text(name, value, document, key)
        case "tags" | "secrets":
            return _words(value)
        case "kind":
            return _kind(value, document, key)
        case "examples":
            return [_example(item) for item in (value if isinstance(value, list) else [value])]
        case _:
            return value


def _text(name: str, value: Any, document: Document, key: str) -> str | None:
    if isinstance(value, (dict, list)):
        raise document.wrong(key, f"found {shown(value)}; allowed is text")
    text = document.texts[key].strip()
    if len(text) > _LIMITS.get(name, len(text)):
        document.warn(key, f"{len(text)} characters; the open format allows {_LIMITS[name]}")
    return text or None


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return [word for word in re.split(r"[,\s]+", value) if word]
    if isinstance(value, list):
        return [str(item) if isinstance(item, (int, float)) else item for item in value]
    return value


def _kind(value: Any, document: Document, key: str) -> str:
    name = str(value).lower().replace("_", "-")
    if name not in _KIND_NAMES:
        hint = suggestion(name, _KIND_NAMES)
        raise document.wrong(key, f"found {shown(value)};{hint} allowed: {listed(_KIND_NAMES)}")
    return KINDS.get(name, name)


def _example(item: Any) -> Any:
    return {"program": item} if isinstance(item, str) else item


def _metadata(value: Any, document: Document, key: str) -> Iterator[Found]:
    """Text to text. `holdfast-effect` in it is how a SKILL.md declares its effect within the open format."""
    if not isinstance(value, dict):
        document.warn(key, f"found {shown(value)}, and ignored; allowed is a mapping of text to text")
        return
    if any(isinstance(item, (dict, list)) for item in value.values()):
        document.warn(key, "holds lists or mappings, kept as text; allowed is a mapping of text to text")
    yield Found("metadata", {name: str(item) for name, item in value.items()}, document, key)
    if "holdfast-effect" in value:
        yield Found("effect", value["holdfast-effect"], document, f"{key}.holdfast-effect")
