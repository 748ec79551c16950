"""YAML as people mean it: the core schema of YAML 1.2, with the line of each key, and JSON values only.

`no`, `2026-01-31` and `12:30` stay text (PyYAML's 1.1 rules make them false, a date and 750), and so do mapping keys.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from holdfast.errors import SpecInvalid, shown

MAX_BYTES = 256 * 1024
_MAX_NODES = 50_000
_MAX_DEPTH = 60
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """A mapping read from a file. `texts` holds scalar values as written: version `1.10` is not the number 1.1.

    `lines` also has keys and items further in, by their path: `llm_config.model`, `skills[0]`.
    """

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def wrong(self, key: str, message: str) -> SpecInvalid:
        """The error that names this file, the key and its line."""
        line = self._line(key)
        place = f"{self.file}:{line}" if line else self.file
        return SpecInvalid(f"{place}: key {key!r}: {message}", file=self.file, line=line, key=key)

    def warn(self, key: str, message: str) -> None:
        self.warnings.append(str(self.wrong(key, message)))

    def _line(self, path: str) -> int | None:
        """Of the path itself, else of what it is in."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path)


def read_mapping(text: str, file: str, first_line: int = 1) -> Document:
    """Read a mapping. Values that break it (a colon in a sentence) are put in quotes, and it is read again.

    Raises:
        SpecInvalid: no YAML, no mapping, too large, or values that JSON does not have.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SpecInvalid(f"{file}: {len(text)} characters of YAML; allowed are {MAX_BYTES} bytes", file=file)
    try:
        return _document(text, file, first_line, [])
    except yaml.YAMLError as exc:
        mended = _quoted(text)
        if mended == text:
            raise _unparsed(exc, file, first_line) from None
        return _second_reading(mended, exc, file, first_line)


def _second_reading(text: str, first: yaml.YAMLError, file: str, first_line: int) -> Document:
    hint = f"{file}:{_line_of(first, first_line)}: not valid YAML; read with its values quoted. Put them in quotes"
    try:
        return _document(text, file, first_line, [hint])
    except yaml.YAMLError:
        raise _unparsed(first, file, first_line) from None


def _unparsed(exc: yaml.YAMLError, file: str, first_line: int) -> SpecInvalid:
    line = _line_of(exc, first_line)
    found = getattr(exc, "problem", None) or str(exc)
    return SpecInvalid(f"{file}:{line}: not YAML: {found}", file=file, line=line)


def _line_of(exc: yaml.YAMLError, first_line: int) -> int:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    return first_line + (mark.line if mark else 0)


_TOP_LINE = re.compile(r"^([A-Za-z][\w-]*):[ \t]+(\S.*)$")


def _quoted(text: str) -> str:
    """The text with tabs of indentation as spaces, and each top-level value that alone is not YAML put in quotes."""
    lines = [re.sub(r"^[ \t]+", lambda indent: indent.group().expandtabs(2), line) for line in text.split("\n")]
    return "\n".join(_quoted_line(line) for line in lines)


def _quoted_line(line: str) -> str:
    match = _TOP_LINE.match(line)
    if match is None:
        return line
    try:
        yaml.compose(line, Loader=_Loader)
    except yaml.YAMLError:
        value = match[2].rstrip().replace("'", "''")
        return f"{match[1]}: '{value}'"
    return line


def _document(text: str, file: str, first_line: int, warnings: list[str]) -> Document:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except RecursionError:
        raise SpecInvalid(f"{file}: nested too deep; allowed are {_MAX_DEPTH} levels", file=file) from None
    except ValueError as exc:
        raise SpecInvalid(f"{file}: a value cannot be read: {exc}", file=file) from None
    finally:
        loader.dispose()
    if node is None or values is None:
        return Document(file, warnings=warnings)
    if not isinstance(node, yaml.MappingNode):
        raise SpecInvalid(
            f"{file}:{first_line}: found {shown(values)}; a mapping of keys to values is expected",
            file=file,
            line=first_line,
        )
    _bounded(values, file)
    document = Document(file, values, warnings=warnings)
    _place(document, node, first_line)
    return document


def _place(document: Document, node: yaml.MappingNode, first_line: int) -> None:
    for key, value in node.value:
        line = first_line + key.start_mark.line
        if key.value in document.lines:
            document.warnings.append(
                f"{document.file}:{line}: key {key.value!r} stands here twice; the last one counts"
            )
        document.lines[key.value] = line
        _place_within(document, value, key.value, first_line)
        if isinstance(value, yaml.ScalarNode) and value.tag != "tag:yaml.org,2002:null":
            document.texts[key.value] = value.value


def _place_within(document: Document, node: yaml.Node, path: str, first_line: int) -> None:
    """The lines of all that stands in a value. `_bounded` has seen to it that this ends."""
    inner: list[tuple[str, yaml.Node, yaml.Node]] = []
    match node:
        case yaml.MappingNode():
            inner = [(f"{path}.{key.value}", key, value) for key, value in node.value]
        case yaml.SequenceNode():
            inner = [(f"{path}[{number}]", item, item) for number, item in enumerate(node.value)]
    for name, mark, value in inner:
        document.lines.setdefault(name, first_line + mark.start_mark.line)
        _place_within(document, value, name, first_line)


def _bounded(value: Any, file: str) -> None:
    """Refuse what aliases blow up: a few lines can stand for billions of values, or for a value that holds itself."""
    count = 0
    stack: list[tuple[int, Any]] = [(1, value)]
    while stack:
        depth, item = stack.pop()
        count += 1
        if count > _MAX_NODES or depth > _MAX_DEPTH:
            raise SpecInvalid(
                f"{file}: more than {_MAX_NODES} values or {_MAX_DEPTH} levels, aliases counted in full", file=file
            )
        stack.extend((depth + 1, child) for child in _children(item, file))


def _children(item: Any, file: str) -> Iterator[Any]:
    match item:
        case dict():
            yield from item
            yield from item.values()
        case list():
            yield from item
        case float() if not math.isfinite(item):
            raise SpecInvalid(f"{file}: found {item!r}; allowed are finite numbers", file=file)
        case str() if not item.isascii() and _SURROGATE.search(item):
            raise SpecInvalid(
                f"{file}: found {shown(item)}, which holds half a character; allowed is valid Unicode", file=file
            )
        case None | bool() | int() | float() | str():
            return
        case _:
            raise SpecInvalid(
                f"{file}: found {shown(item)}; allowed are text, numbers, true, false, null, lists, mappings", file=file
            )


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2, and keys that are always text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        return {self._key(key): self.construct_object(value, deep=deep) for key, value in node.value}

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        raise yaml.constructor.ConstructorError(None, None, "a key that is no text", node.start_mark)


def _construct_map(loader: _Loader, node: yaml.MappingNode) -> Iterator[dict[Any, Any]]:
    data: dict[Any, Any] = {}
    yield data
    data.update(loader.construct_mapping(node))


_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "merge": (r"<<", "<"),
}
for _tag, (_pattern, _first) in _SCALARS.items():
    _firsts = ["" if char == "\0" else char for char in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _firsts)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
