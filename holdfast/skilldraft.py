"""From two files' keys to one set of fields: aliases of older systems, the open spec's six keys, and who wins.

`skill.yaml` wins over SKILL.md's front matter; where both say the same thing differently, that is a warning.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from holdfast.errors import SpecInvalid, shown
from holdfast.names import RESERVED, canonical_name, identifier, listed, suggestion
from holdfast.schemas import schema_fault
from holdfast.skillfiles import HANDLERS, SkillText
from holdfast.yamlfile import Document

_OPEN_SPEC = ("name", "description", "license", "compatibility", "metadata", "allowed_tools")
_TEXTS = ("name", "description", "version", "license", "compatibility", "prompt_template", "allowed_tools")
_OTHERS = (
    *("tags", "kind", "input_schema", "output_schema", "effect", "timeout_seconds", "max_retries", "max_age_seconds", "secrets"),
    *("network", "writes", "examples", "handler", "function", "check", "approval", "metadata"),
)
FIELDS = frozenset((*_TEXTS, *_OTHERS))
_ALIASES = {"type": "kind", "input": "input_schema", "output": "output_schema", "tag": "tags", "secret": "secrets"}
_KINDS = {"pure-prompt": "prompt", "pure-script": "script"}
_KIND_NAMES = ("prompt", "script", "hybrid", "native", "pure-prompt", "pure-script")
_EXECUTION = {"handler": "handler", "function": "function", "check": "check", "timeout": "timeout_seconds"}
_LIMITS = {"name": 64, "description": 1024, "compatibility": 500}
_SCHEMA_WORDS = frozenset(
    ("type properties required additionalProperties patternProperties $ref $defs definitions anyOf oneOf allOf not if enum const "
     "items $schema title description default examples minProperties maxProperties propertyNames").split()
)  # fmt: skip


@dataclass
class Draft:
    """Fields found so far, and from which file and key each came."""

    label: str
    files: frozenset[str]
    warnings: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, tuple[Document, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: SkillText, folder: str, label: str, files: frozenset[str]) -> "Draft":
        """
        Raises:
            SpecInvalid: a key is missing, or its value leaves open what is meant.
        """
        draft = cls(label, files, list(text.warnings))
        for document in (text.front, text.side):
            if document is not None:
                draft._take(document, is_front=document is text.front)
        draft._require(text, folder)
        draft._name(folder)
        draft._schemas()
        draft._code(text.body)
        return draft

    def wrong(self, name: str, message: str, inner: str = "") -> SpecInvalid:
        """The error for a field, in the words of the file that set it."""
        if name not in self.sources:
            return SpecInvalid(f"{self.label}: {name}{inner}: {message}", file=self.label, key=name)
        document, key = self.sources[name]
        return document.wrong(f"{key}{inner}", message)

    def warn(self, message: str, name: str = "") -> None:
        place = str(self.wrong(name, message)) if name else f"{self.label}: {message}"
        self.warnings.append(place)

    def _take(self, document: Document, is_front: bool) -> None:
        for name, value, key in self._fields(document, is_front):
            if value is None:
                continue
            if name in self.values and self.values[name] != value and name not in ("name", "metadata"):
                self.warn(f"{document.file} says something else, and counts", name)
            self.values[name] = value
            self.sources[name] = (document, key)

    def _fields(self, document: Document, is_front: bool) -> Iterator[tuple[str, Any, str]]:
        for key, value in document.values.items():
            name = key.replace("-", "_").lower()
            name = _ALIASES.get(name, name)
            if name == "execution":
                yield from self._execution(document, value)
            elif name not in FIELDS:
                self._ignore(document, key, is_front)
            else:
                if is_front and name not in _OPEN_SPEC:
                    self.warnings.append(str(document.wrong(key, "not a key of the open SKILL.md format; it counts here, but belongs in skill.yaml")))
                yield name, self._shaped(name, value, document, key), key

    def _ignore(self, document: Document, key: str, is_front: bool) -> None:
        hint = suggestion(key, sorted(FIELDS | {"execution"}))
        allowed = _OPEN_SPEC if is_front else sorted(FIELDS)
        self.warnings.append(str(document.wrong(key, f"unknown, and ignored;{hint} allowed: {listed(allowed)}")))

    def _execution(self, document: Document, value: Any) -> Iterator[tuple[str, Any, str]]:
        if not isinstance(value, dict):
            raise document.wrong("execution", f"found {shown(value)}; allowed is a mapping of {listed(_EXECUTION)}")
        for key, item in value.items():
            if key not in _EXECUTION:
                hint = suggestion(key, _EXECUTION)
                self.warnings.append(str(document.wrong(f"execution.{key}", f"unknown, and ignored;{hint} allowed: {listed(_EXECUTION)}")))
            elif key == "timeout":
                yield "timeout_seconds", _seconds(item, document), "execution.timeout"
            else:
                yield _EXECUTION[key], item, f"execution.{key}"

    def _shaped(self, name: str, value: Any, document: Document, key: str) -> Any:
        """The value in the shape that the field has, where people write it in another."""
        match name:
            case "allowed_tools" if isinstance(value, list):
                return " ".join(map(str, value))
            case _ if name in _TEXTS:
                return self._text(name, value, document, key)
            case "tags" | "secrets":
                return _words(value)
            case "kind":
                return _kind(value, document, key)
            case "metadata":
                return self._metadata(value, document, key)
            case "examples":
                return [{"program": item} if isinstance(item, str) else item for item in (value if isinstance(value, list) else [value])]
            case _:
                return value

    def _text(self, name: str, value: Any, document: Document, key: str) -> str | None:
        if isinstance(value, (dict, list)):
            raise document.wrong(key, f"found {shown(value)}; allowed is text")
        text = document.texts.get(key, "").strip()
        if len(text) > _LIMITS.get(name, len(text)):
            self.warnings.append(str(document.wrong(key, f"{len(text)} characters; the open format allows {_LIMITS[name]}")))
        return text or None

    def _metadata(self, value: Any, document: Document, key: str) -> dict[str, str]:
        if not isinstance(value, dict):
            self.warnings.append(str(document.wrong(key, f"found {shown(value)}, and ignored; allowed is a mapping of text to text")))
            return {}
        if any(isinstance(item, (dict, list)) for item in value.values()):
            self.warnings.append(str(document.wrong(key, "holds lists or mappings, kept as text; allowed is a mapping of text to text")))
        if isinstance(value.get("holdfast-effect"), str):
            self.values["effect"], self.sources["effect"] = value["holdfast-effect"], (document, "metadata.holdfast-effect")
        return {name: item if isinstance(item, str) else str(item) for name, item in value.items()}

    def _require(self, text: SkillText, folder: str) -> None:
        if text.front is None:
            self._missing("name", "version", "description", document=text.side)
        self._missing("description", document=text.front)
        if "name" not in self.values:
            self.values["name"] = folder
            self.warn(f"key 'name' is missing; the folder's name, {folder!r}, is taken")

    def _missing(self, *names: str, document: Document | None) -> None:
        absent = [name for name in names if name not in self.values]
        if absent and document is not None:
            keys = "keys" if len(absent) > 1 else "key"
            raise SpecInvalid(
                f"{document.file}: missing required {keys} {listed(absent)}; found {listed(document.values)}", file=document.file, key=absent[0]
            )

    def _name(self, folder: str) -> None:
        found = self.values["name"]
        name = canonical_name(found)
        if not name:
            raise self.wrong("name", f"found {found!r}; allowed are lower-case letters, digits and single hyphens")
        if identifier(name) in RESERVED:
            raise self.wrong("name", f"found {found!r}, which programs use otherwise; reserved: {listed(sorted(RESERVED))}")
        if found.replace("_", "-") != name:
            self.warn(f"found {found!r}, read as {name!r}; allowed are lower-case letters, digits and single hyphens", "name")
        if canonical_name(folder) != name:
            self.warn(f"found {found!r} in a folder named {folder!r}; they should be equal", "name")
        self.values["name"] = name

    def _schemas(self) -> None:
        for name in ("input_schema", "output_schema"):
            if name in self.values:
                self.values[name] = self._schema(name, self.values[name])
        schema = self.values.get("input_schema", {"type": "object"})
        if schema.setdefault("type", "object") != "object":
            raise self.wrong("input_schema", f"found type {shown(schema['type'])}; allowed: 'object', whose properties are the arguments")
        self.values["input_schema"] = schema
        self.values["parameters"] = list(schema.get("properties", {}))

    def _schema(self, name: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict) and value and not _SCHEMA_WORDS & value.keys() and all(isinstance(part, dict) for part in value.values()):
            self.warn("has neither 'type' nor 'properties'; its keys are taken for properties", name)
            value = {"type": "object", "properties": value}
        value = self._lifted(name, value)
        fault = schema_fault(value)
        if fault is not None:
            raise self.wrong(name, fault)
        return dict(value)

    def _lifted(self, name: str, value: Any) -> Any:
        """`required: true` beside a property, as an older JSON Schema had it, moves to the object's list."""
        properties = value.get("properties") if isinstance(value, dict) else None
        if not isinstance(properties, dict):
            return value
        flagged = {key: part for key, part in properties.items() if isinstance(part, dict) and isinstance(part.get("required"), bool)}
        if not flagged:
            return value
        self.warn(f"'required' beside {listed(flagged)}; its place is the object's own list 'required'", name)
        parts = {key: {k: v for k, v in part.items() if k != "required"} if key in flagged else part for key, part in properties.items()}
        needed = [key for key, part in flagged.items() if part["required"]]
        already = value.get("required") if isinstance(value.get("required"), list) else []
        return {**value, "properties": parts, "required": [*already, *(key for key in needed if key not in already)]}

    def _code(self, body: str) -> None:
        handler = self._handler()
        template = self.values.get("prompt_template")
        kind = self.values.setdefault("kind", ("hybrid" if template else "script") if handler else "prompt")
        if kind in ("script", "hybrid") and handler is None:
            raise self.wrong("kind", f"{kind!r} needs code: {' or '.join(HANDLERS)}, or another file named by 'handler'. Found: {listed(sorted(self.files))}")
        if kind == "prompt" and not template and not body:
            raise self.wrong("kind", "'prompt' needs a prompt_template, or a SKILL.md with instructions")
        self.values["handler"] = handler if kind in ("script", "hybrid") else None

    def _handler(self) -> str | None:
        named = self.values.get("handler")
        if named is None:
            return next((name for name in HANDLERS if name in self.files), None)
        file = re.sub(r"^\./", "", str(named))
        file = file if file.endswith(".py") else f"{file}.py"
        if file not in self.files:
            python = sorted(name for name in self.files if name.endswith(".py"))
            raise self.wrong("handler", f"found {shown(named)}, which is not in the folder;{suggestion(file, python)} Python files here: {listed(python)}")
        return file


def _seconds(value: Any, document: Document) -> float:
    """M's `execution.timeout` counts milliseconds."""
    try:
        return float(value) / 1000
    except (TypeError, ValueError):
        raise document.wrong("execution.timeout", f"found {shown(value)}; allowed is a number of milliseconds") from None


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return [word for word in re.split(r"[,\s]+", value) if word]
    return [str(item) if isinstance(item, (int, float)) else item for item in value] if isinstance(value, list) else value


def _kind(value: Any, document: Document, key: str) -> str:
    name = str(value).lower().replace("_", "-")
    if name not in _KIND_NAMES:
        raise document.wrong(key, f"found {shown(value)};{suggestion(name, _KIND_NAMES)} allowed: {listed(_KIND_NAMES)}")
    return _KINDS.get(name, name)
