"""From a skill's files to one set of fields: who wins, what must be there, how it is named, where its code is.

`skill.yaml` wins over SKILL.md's front matter; where both say the same thing differently, that is a warning.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from holdfast.approvals import rule_of
from holdfast.errors import SpecInvalid, shown
from holdfast.names import RESERVED, canonical_name, identifier, listed, suggestion
from holdfast.skillfiles import HANDLERS, SkillText
from holdfast.skillkeys import Found, fields
from holdfast.skillschema import any_schema, input_schema
from holdfast.yamlfile import Document

_NAMES = "allowed are lower-case letters, digits and single hyphens"


@dataclass
class Draft:
    """Fields found so far, and where each was found."""

    label: str
    text: SkillText
    files: frozenset[str]
    values: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)
    own_warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, text: SkillText, folder: str, label: str, files: Iterable[str]) -> "Draft":
        """
        Raises:
            SpecInvalid: a key is missing, or its value leaves open what is meant.
        """
        draft = cls(label, text, frozenset(files))
        for document in text.documents:
            for found in fields(document, is_front=document is text.front):
                draft._take(found)
        draft._require(folder)
        draft._name(folder)
        draft._schemas()
        draft._approval()
        draft._code()
        return draft

    @property
    def warnings(self) -> list[str]:
        """All that is odd, from the files and from this draft."""
        return [
            *self.text.warnings,
            *(line for document in self.text.documents for line in document.warnings),
            *self.own_warnings,
        ]

    def wrong(self, name: str, message: str, inner: str = "") -> SpecInvalid:
        """The error for a field, in the words of the file that set it; `inner` is a path below the key."""
        if name in self.found:
            return self.found[name].document.wrong(f"{self.found[name].key}{inner}", message)
        return SpecInvalid(f"{self.label}: key {name + inner!r}: {message}", file=self.label, key=name)

    def warn(self, name: str, message: str) -> None:
        self.own_warnings.append(str(self.wrong(name, message)))

    def _take(self, found: Found) -> None:
        name = found.name
        if name in self.values and self.values[name] != found.value and name not in ("name", "metadata"):
            self.warn(name, f"{found.document.file} says something else, and counts")
        self.values[name] = found.value
        self.found[name] = found

    def _require(self, folder: str) -> None:
        if self.text.front is None and self.text.side is not None:
            self._missing(self.text.side, "name", "version", "description")
        elif self.text.front is not None:
            self._missing(self.text.front, "description")
        if "name" not in self.values:
            self.values["name"] = folder
            self.warn("name", f"not set; the folder's name, {folder!r}, is taken")

    def _missing(self, document: Document, *names: str) -> None:
        absent = [name for name in names if name not in self.values]
        if absent:
            keys = "keys" if len(absent) > 1 else "key"
            message = f"{document.file}: missing required {keys} {listed(absent)}; found {listed(document.values)}"
            raise SpecInvalid(message, file=document.file, key=absent[0])

    def _name(self, folder: str) -> None:
        found = self.values["name"]
        name = canonical_name(found)
        if not name:
            raise self.wrong("name", f"found {found!r}; {_NAMES}")
        if identifier(name) in RESERVED:
            message = f"found {found!r}, which programs use otherwise; reserved: {listed(sorted(RESERVED))}"
            raise self.wrong("name", message)
        if found.replace("_", "-") != name:
            self.warn("name", f"found {found!r}, read as {name!r}; {_NAMES}")
        if canonical_name(folder) != name:
            self.warn("name", f"found {found!r} in a folder named {folder!r}; they should be equal")
        self.values["name"] = name

    def _schemas(self) -> None:
        for name, read in (("input_schema", input_schema), ("output_schema", any_schema)):
            if name in self.values:
                self.values[name] = self._schema(name, read)
        self.values["parameters"] = list(self.values.get("input_schema", {}).get("properties", {}))

    def _schema(self, name: str, read: Callable[[Any], tuple[dict[str, Any], list[str]]]) -> dict[str, Any]:
        try:
            schema, warnings = read(self.values[name])
        except ValueError as exc:
            raise self.wrong(name, str(exc)) from None
        for warning in warnings:
            self.warn(name, warning)
        return schema

    def _approval(self) -> None:
        try:
            self.values["approval"] = rule_of(self.values.get("approval"))
        except ValueError as exc:
            raise self.wrong("approval", str(exc)) from None

    def _code(self) -> None:
        handler = self._handler()
        template = self.values.get("prompt_template")
        kind = self.values.setdefault("kind", ("hybrid" if template else "script") if handler else "prompt")
        if kind in ("script", "hybrid") and handler is None:
            wanted = f"{' or '.join(HANDLERS)}, or a file named by 'handler'"
            raise self.wrong("kind", f"{kind!r} needs code: {wanted}; files here: {listed(sorted(self.files))}")
        if kind == "prompt" and not template and not self.text.body:
            raise self.wrong("kind", "'prompt' needs a prompt_template, or a SKILL.md with instructions")
        self.values["handler"] = handler if kind in ("script", "hybrid") else None

    def _handler(self) -> str | None:
        named = self.values.get("handler")
        if named is None:
            return next((name for name in HANDLERS if name in self.files), None)
        file = str(named).removeprefix("./").removesuffix(".py") + ".py"
        if file not in self.files:
            python = sorted(name for name in self.files if name.endswith(".py"))
            hint = suggestion(file, python)
            raise self.wrong(
                "handler", f"found {shown(named)}, not in the folder;{hint} Python files here: {listed(python)}"
            )
        return file
