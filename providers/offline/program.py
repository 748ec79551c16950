"""Writes the program of a choice: the functions of `parts` that it needs, and the few lines that call them."""

import ast
import importlib
import inspect
from functools import cache

from providers.offline.choose import Choice, Step, looks_at_files
from providers.offline.offers import WRITES
from providers.offline.recipes import recipe
from providers.offline.text import LINE, notes

_MODULES = ("header", "report", "files", "code", "data", "use")
_IMPORTS = {
    "asyncio": "import asyncio",
    "json": "import json",
    "Counter": "from collections import Counter",
    "Awaitable": "from collections.abc import Awaitable",
    "Any": "from typing import Any, NamedTuple",
    "NamedTuple": "from typing import Any, NamedTuple",
}
CAREFUL = "More careful than the one before: fewer files at once, and a part that fails costs only itself."
_CAREFUL_BOUNDS = {"MOST_FILES": 25, "MOST_TEXTS": 5, "MOST_LISTED": 10}


def write(choice: Choice, careful: bool = False) -> str:
    """A program for the steps of a choice. Text of the task stands in it only as literals that `repr` made."""
    if choice.steps[0].filled.program:
        return _from_example(choice, choice.steps[0])
    main = _main(choice, careful)
    head = '"""Written by rule from the words of a task; no model was used."""\n'
    return "\n".join([head, *([f"# {CAREFUL}\n"] if careful else []), *_needed(main, careful), main])


def _main(choice: Choice, careful: bool) -> str:
    sections = [_section(choice, step) for step in choice.steps if not _saves_report(step)]
    saving = next((step for step in choice.steps if _saves_report(step)), None)
    lines = [
        f"LINE = {LINE!r}",
        f"TITLE = {' '.join(choice.said.text.split())[:200]!r}",
        f"NOTES = {notes(choice)!r}",
        f"PLACES = {[(place.path, place.pattern) for place in choice.places] or [('.', '**')]!r}",
        "",
        "",
        "async def main() -> str:",
        f"    found = {_look(choice)}",
        *(_careful(sections) if careful else _plain(sections)),
    ]
    if saving:
        lines += [
            "    text = report(LINE, TITLE, NOTES, found, list(sections))",
            f"    saved = await save(skills, {saving.filled.arguments['path']!r}, text)",
            "    sections = [*sections, Section(saved.short, [], [])]",
        ]
    lines += ["    return report(LINE, TITLE, NOTES, found, list(sections))", "", "", "result = await main()", ""]
    return "\n".join(lines)


def _plain(sections: list[str]) -> list[str]:
    return ["    sections = await asyncio.gather(", *(f"        {each}," for each in sections), "    )"]


def _careful(sections: list[str]) -> list[str]:
    """One section after the other, each by itself."""
    lines = ["    sections = []"]
    for each in sections:
        lines += [
            f"    (section,) = await tried([{each}])",
            "    failed = isinstance(section, BaseException)",
            "    sections.append(Section([f'A part failed: {why(section)}'], [], []) if failed else section)",
        ]
    return lines


def _look(choice: Choice) -> str:
    if not any(looks_at_files(step) for step in choice.steps):
        return "Found({}, [], [], [])"
    if "list-files" not in choice.names:
        return "given([path for path, _ in PLACES])"
    return "await look(skills, PLACES)"


def _section(choice: Choice, step: Step) -> str:
    how, filled, arguments = recipe(step.skill), step.filled, dict(step.filled.arguments)
    if how is None:
        name = step.skill.spec.identifier
        if filled.text_parameter:
            return f"use_on_texts(skills, {name!r}, {step.name!r}, {filled.text_parameter!r}, found, {arguments!r})"
        return f"use(skills, {name!r}, {step.name!r}, {arguments!r})"
    match how.function:
        case "review_code":
            return f"review_code(skills, found, {' '.join(how.endings)!r}.split(), {arguments!r})"
        case "profile_data":
            return f"profile_data(skills, found, {' '.join(how.endings)!r}.split())"
        case "find_text":
            pattern = arguments.pop("pattern")
            return f"find_text(skills, PLACES, {pattern!r}, {arguments!r})"
        case "list_all":
            return "list_all(found)"
        case "save":
            return f"save(skills, {arguments['path']!r}, {arguments['content']!r})"
        case _:
            return f"{how.function}(skills, found)"


def _saves_report(step: Step) -> bool:
    return step.name == WRITES and recipe(step.skill) is not None and "content" not in step.filled.arguments


def _from_example(choice: Choice, step: Step) -> str:
    """The example's own program as it stands, and a report of its result."""
    end = "\n".join(
        [
            f"LINE = {LINE!r}",
            f"TITLE = {' '.join(choice.said.text.split())[:200]!r}",
            f"NOTES = {notes(choice)!r}",
            f"answered = Section([quoted({step.name!r}) + ' answered'], ['## Result', '', *shown(answer)], [])",
            "result = report(LINE, TITLE, NOTES, Found({}, [], [], []), [answered])",
            "",
        ]
    )
    program = step.filled.program.rstrip("\n")
    return "\n".join([program, "answer = globals().get('result')", *_needed(end, careful=False), end])


def _needed(main: str, careful: bool) -> list[str]:
    """Imports, and the functions, classes and bounds that a text uses, directly or through others; in their order."""
    pieces = _pieces()
    wanted, more = set[str](), _names(main)
    while more := {name for name in more if name in pieces} - wanted:
        wanted |= more
        more = {name for each in more for name in _names(pieces[each])}
    texts = {name: text for name, text in pieces.items() if name in wanted}
    if careful:
        texts |= {name: f"{name} = {bound}" for name, bound in _CAREFUL_BOUNDS.items() if name in texts}
    used = _names(main).union(*map(_names, texts.values()))
    imports = dict.fromkeys(text for name, text in _IMPORTS.items() if name in used)
    ours = [*sorted(imports, key=lambda text: text.startswith("from")), "", "import skills", ""]
    bounds = [text for name, text in texts.items() if name.isupper()]
    return [*ours, *bounds, *(f"\n\n{text}" for name, text in texts.items() if not name.isupper()), "\n"]


@cache
def _pieces() -> dict[str, str]:
    """Every top-level name of `parts` with the text that makes it."""
    found: dict[str, str] = {}
    for name in _MODULES:
        text = inspect.getsource(importlib.import_module(f"providers.offline.parts.{name}"))
        for node in ast.parse(text).body:
            piece = ast.get_source_segment(text, node) or ""
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    found[node.name] = piece
                case ast.Assign(targets=[ast.Name(id=constant)]):
                    found[constant] = piece
    return found


@cache
def _names(text: str) -> set[str]:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    tree = compile(text, "<piece>", "exec", flags)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
