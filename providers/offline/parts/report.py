"""The frame of every report, and how values are shown."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

from providers.offline.parts.header import MOST_LISTED, Found, Section


async def tried(calls: list[Awaitable[Any]]) -> list[Any]:
    """All answers, made at the same time; a call that failed gives its error in its place."""
    return await asyncio.gather(*calls, return_exceptions=True)


def why(error: object) -> str:
    return cut(str(error), 300)


def cut(text: object, most: int) -> str:
    """On one line, at most so long."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def quoted(text: object, most: int = 160) -> str:
    """As code in a line of Markdown."""
    line = cut(text, most)
    return f"`` {line} ``" if "`" in line else f"`{line}`"


def cell(text: object) -> str:
    return cut(text, 120).replace("|", "\\|")


def many(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def first(lines: list[str], most: int = MOST_LISTED) -> list[str]:
    """The first ones, and how many there are besides."""
    return lines if len(lines) <= most else [*lines[:most], f"- … and {len(lines) - most} more"]


def table(heads: list[str], rows: list[list[object]], most: int = MOST_LISTED) -> list[str]:
    """A Markdown table; nothing when there are no rows."""
    if not rows:
        return []
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    lines += [f"| {' | '.join(map(cell, row))} |" for row in rows[:most]]
    return [*lines, "", f"… and {len(rows) - most} more rows"] if len(rows) > most else lines


def shown(value: Any, indent: str = "") -> list[str]:
    """Any JSON value as lines of Markdown."""
    if isinstance(value, str) and "\n" in value.strip():
        return block(value)
    if isinstance(value, dict):
        return first([line for key, each in value.items() for line in item(f"{indent}- {key}:", each, indent)], 60)
    if isinstance(value, list):
        return first([line for each in value for line in item(f"{indent}-", each, indent)], 60)
    return [f"{indent}{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"]


def item(head: str, value: Any, indent: str) -> list[str]:
    if head.endswith("-") and is_row(value):
        return [f"{head} {'; '.join(f'{key}: {cut(plain(each), 300)}' for key, each in value.items())}"]
    if isinstance(value, (dict, list)) and value and len(indent) < 6:
        return [head, *shown(value, f"{indent}  ")]
    return [f"{head} {cut(plain(value), 500)}"]


def plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_row(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(each, (dict, list)) for each in value.values())


def block(text: str, most: int = 120) -> list[str]:
    """A text as it is, between fences that it cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    lines = text.rstrip("\n").splitlines()
    more = [f"… and {many(len(lines) - most, 'more line')}"] if len(lines) > most else []
    return [fence, *(line[:500] for line in lines[:most]), fence, *more]


def report(line: str, title: str, notes: list[str], found: Found, sections: list[Section]) -> str:
    """The whole text; its first line says that no model was used."""
    short = [f"- {each}" for section in sections for each in section.short]
    left_out = found.left_out + [each for section in sections for each in section.left_out]
    text = [line, "", f"# {cut(title, 200)}", "", *notes]
    text += ["", "## In short", "", *(short or ["- nothing was found to look at"])]
    for section in sections:
        text += ["", *section.lines] if section.lines else []
    if left_out or found.files:
        rows = [f"- {each}" for each in dict.fromkeys(left_out)]
        text += ["", "## Not looked at", "", *first(rows or ["- nothing: all that was named was looked at"])]
    return squeezed("\n".join(text) + "\n")


def squeezed(text: str) -> str:
    """Without runs of blank lines."""
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text
