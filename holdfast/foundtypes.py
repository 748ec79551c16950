"""Whether a Python type, as the type checker prints it, can be any of the JSON types that a skill allows."""

import re
from collections.abc import Collection, Iterator

_NO_JSON = "none"
_KINDS: dict[str, str] = {
    "str": "string",
    "LiteralString": "string",
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "None": "null",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    **dict.fromkeys(("bytes", "bytearray", "complex", "Decimal", "Fraction", "UUID", "Path", "PosixPath"), _NO_JSON),
    **dict.fromkeys(("date", "datetime", "timedelta", "set", "frozenset", "range", "GeneratorType"), _NO_JSON),
}
_LITERALS = {'"': "string", "b": _NO_JSON, "T": "boolean", "F": "boolean"}
_HEAD = re.compile(r"(\w+)(\[.*\])?", re.DOTALL)


def is_surely_wrong(found: str, allowed: Collection[str]) -> bool:
    """Whether no part of a union fits: `str | None` may well be a text when the program runs.

    A type that is not known here may fit. Integers and other numbers are one: 2.0 is an integer in JSON.
    """
    wanted = {"number" if one == "integer" else one for one in allowed}
    if not wanted or found == "None":
        return False
    return all(_kind(part) not in {"", *wanted} for part in parts(found))


def parts(found: str) -> Iterator[str]:
    """The members of a union, each without what a checker has learnt beside its type."""
    for part in _split(found, " | "):
        # `str & ~AlwaysFalsy`: a text that is not empty.
        yield _split(part, " & ")[0]


def _kind(part: str) -> str:
    """Its JSON type; empty if that is not known."""
    match = _HEAD.fullmatch(part)
    if match is None:
        return ""
    name, inner = match[1], (match[2] or "[]")[1:-1]
    if name == "Literal":
        kinds = {_LITERALS.get(each[:1], "number") for each in _split(inner, ", ")}
        return kinds.pop() if len(kinds) == 1 else ""
    return _KINDS.get(name, "")


def _split(text: str, separator: str) -> list[str]:
    """Where the separator stands outside of brackets and quotes."""
    found: list[str] = []
    depth, quoted, start, place = 0, False, 0, 0
    while place < len(text):
        sign = text[place]
        if sign == "\\" and quoted:
            place += 1
        elif sign == '"':
            quoted = not quoted
        elif not quoted and sign in "[(":
            depth += 1
        elif not quoted and sign in "])":
            depth -= 1
        elif not quoted and depth == 0 and text.startswith(separator, place):
            found.append(text[start:place])
            start = place + len(separator)
            place = start - 1
        place += 1
    return [*found, text[start:]]
