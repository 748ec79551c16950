"""Tool calls in what a model said in words. Where a program was asked for, they become the program that makes them.

Three forms (L-07, L-08, L-09): the function-calling JSON of chat APIs, `<tool name="x">{json}</tool>`, and a call as
Python writes it, alone on its line. A name counts only if it is a skill's.
"""

import ast
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from activities.replies import between, objects
from holdfast.errors import shown
from holdfast.names import canonical_name, identifier, listed, suggestion

_TAG = re.compile(r"<(/?)tool(?:\s+name\s*=\s*[\"']?([\w-]+)[\"']?\s*)?>", re.IGNORECASE)
_MAX_CALLS = 100
"""Calls as Python writes them, in one reply: each is parsed up to 200 times."""
_MAX_PROBLEMS = 20
_MAX_CALL = 16_000
"""Characters of one Python call."""
_LINE = re.compile(r"^[ \t]*([A-Za-z_]\w*)\(", re.MULTILINE)


@dataclass(frozen=True)
class ToolCall:
    """One call: positional arguments in order, the others by name."""

    skill: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """A call as it is written: `arguments` by name, or a text that should hold them, or anything else."""

    name: str
    arguments: Any
    args: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class CallsRead:
    """The calls of the first form in which there are any; `problems` is what is wrong with them, for the model."""

    calls: list[ToolCall] = field(default_factory=list)
    problems: str = ""


def read_calls(text: str, skills: Collection[str]) -> CallsRead:
    """Calls of these skills in a reply; empty if it has none."""
    known = {canonical_name(name): name for name in skills}
    for form in (_tagged, _functions, _pythonic):
        calls, problems = [], []
        for one in form(text, known):
            found = one if isinstance(one, str) else _checked(one, known)
            if isinstance(found, ToolCall):
                calls.append(found)
            else:
                problems.append(found)
            if len(problems) == _MAX_PROBLEMS:
                break
        if calls or problems:
            return CallsRead(calls, "\n".join(problems))
    return CallsRead()


def written_calls(text: str, skills: Collection[str]) -> list[Written | str]:
    """Calls in a reply that may also be the answer: those of the first form in which there are any, at most 100.

    Tags and function calls are calls whatever they name; a call as Python writes it is one only if it names a skill and
    nothing stands behind the last of them. A text says what is wrong with one.
    """
    known = {canonical_name(name): name for name in skills}
    for form in (_tagged, _functions, _last_lines):
        if found := list(islice(form(text, known), _MAX_CALLS)):
            return found
    return []


def as_program(calls: list[ToolCall]) -> str:
    """A program that makes the calls, all at once, and leaves what they gave in `result`."""
    made = [f"skills.{identifier(call.skill)}({_written(call)})" for call in calls]
    if len(made) == 1:
        return f"import skills\n\nresult = await {made[0]}\n"
    lines = "".join(f"    {one},\n" for one in made)
    return f"import asyncio\nimport skills\n\nresult = await asyncio.gather(\n{lines})\n"


def _written(call: ToolCall) -> str:
    named = [f"**{call.kwargs!r}"] if call.kwargs else []
    return ", ".join([*map(repr, call.args), *named])


def _tagged(text: str, known: dict[str, str]) -> Iterator[Written | str]:
    for tag, body in between(_TAG, text):
        if tag[2]:
            yield Written(tag[2], body)


def _functions(text: str, known: dict[str, str]) -> Iterator[Written | str]:
    for found in objects(text):
        listed_calls = found.get("tool_calls")
        for one in listed_calls if isinstance(listed_calls, list) else [found]:
            function = one.get("function", one) if isinstance(one, dict) else {}
            function = function if isinstance(function, dict) else {}
            if isinstance(function.get("name"), str) and "arguments" in function:
                yield Written(function["name"], function["arguments"])


def _last_lines(text: str, known: dict[str, str]) -> Iterator[Written | str]:
    """Calls as Python writes them, if the reply ends with one."""
    called = [match for match in _LINE.finditer(text) if canonical_name(match[1]) in known]
    rest = text[called[-1].start() :].rstrip().removesuffix("```").strip() if called else ""
    if called and len(rest) <= _MAX_CALL and _is_call(rest):
        yield from _pythonic(text, known)


def _is_call(text: str) -> bool:
    try:
        return isinstance(ast.parse(text, mode="eval").body, ast.Call)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False


def _pythonic(text: str, known: dict[str, str]) -> Iterator[Written | str]:
    called = [match for match in _LINE.finditer(text) if canonical_name(match[1]) in known]
    if len(called) > _MAX_CALLS:
        yield f"found {len(called)} calls, and no program; at most {_MAX_CALLS} are read: write a program that loops"
        return
    for match in called:
        yield _parsed(text[match.start() : match.start() + _MAX_CALL].lstrip(), known)


def _checked(found: Written, known: dict[str, str]) -> ToolCall | str:
    name, arguments = found.name, found.arguments
    if canonical_name(name) not in known:
        hint = suggestion(canonical_name(name[:100]), known)
        return f"no skill named {shown(name)};{hint} known: {listed(sorted(known.values()))}"
    read = as_object(arguments)
    if not isinstance(read, dict):
        return f"the arguments of {name} are no JSON object: {shown(arguments)}"
    return ToolCall(known[canonical_name(name)], found.args, read)


def as_object(arguments: Any) -> Any:
    """Arguments by name, also where a text holds them; whatever else they are, as it is."""
    return _object(arguments) if isinstance(arguments, str) else arguments


def _object(text: str) -> Any:
    """JSON as models write it: with real line breaks in strings, or as a Python dict (True, None, single quotes)."""
    text = text.strip() or "{}"
    for form in (text, text.replace("\\'", "'")):
        try:
            return json.loads(form, strict=False)
        except (ValueError, RecursionError):
            pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _parsed(text: str, known: dict[str, str]) -> Written | str:
    """The call that a text begins with: the shortest beginning that is one, so that it may span lines."""
    ends = [match.end() for match in re.finditer(r"\)", text)]
    for end in ends[:200]:
        try:
            tree = ast.parse(text[:end], mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            return _literal(tree, known[canonical_name(tree.func.id)])
    return f"this call is not complete: {shown(text.splitlines()[0])}"


def _literal(call: ast.Call, skill: str) -> Written | str:
    try:
        args = [ast.literal_eval(one) for one in call.args]
        kwargs = {one.arg: ast.literal_eval(one.value) for one in call.keywords if one.arg}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return f"the arguments of {skill} are not all literals: {shown(ast.unparse(call))}; write a program instead"
    return Written(skill, kwargs, args)
