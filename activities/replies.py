"""What a model said, read: plans and programs in all the forms that models write them in (M-06, M-07, P-53).

Pure functions; `scripts/debug-llm-response` shows people what they find.
"""

import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from holdfast.errors import shown
from holdfast.names import canonical_name, listed, suggestion

# Each of these is linear in the reply, whatever it holds: none looks for an end that may not be there.
_PLAN = re.compile(r"<(/?)plan>", re.IGNORECASE)
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)")
_CODE = re.compile(r"<code[^>\n]{0,200}>[ \t]*\n?(.*?)(?:</code>|\Z)", re.DOTALL | re.IGNORECASE)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_DATA = re.compile(r"^data:[ \t]?", re.MULTILINE)
_PYTHON = ("python", "py", "python3")
_CHOSEN = ("selected_skills", "selectedSkills", "skills")
_MISSES = 1000
"""Braces in one place that may begin no JSON object."""
_MAX_DEPTH = 100
_MAX_QUESTION = 4000
_MAX_OPTIONS = 50
_MAX_NAME, _MAX_HINTS = 100, 5


@dataclass(frozen=True)
class PlanRead:
    """A plan as the model wrote it. `invalid`: `problems` says what was found, for the model."""

    kind: Literal["answer", "skills", "ask", "invalid"]
    selected_skills: list[str] = field(default_factory=list)
    reasoning: str = ""
    answer: Any = None
    question: str = ""
    options: list[str] = field(default_factory=list)
    problems: str = ""


def read_plan(text: str, skills: Collection[str] | None = None) -> PlanRead:
    """The plan in a reply: `<plan>{…}</plan>`, JSON in a fence, or bare JSON. Names are checked against `skills`."""
    for found in objects(text):
        if plan := _plan(found, skills):
            return plan
    forms = 'one JSON object: {"selected_skills": […], "reasoning": "…"}, {"answer": "…"} or {"ask": "…"}'
    return PlanRead("invalid", problems=f"found no plan in the reply {shown(text.strip())}; reply with {forms}")


def read_program(text: str) -> str | None:
    """The program in a reply: a python fence, `<code>`, or a bare fence; the first of the best form. None: no code."""
    fences = list(_fences(text))
    by_form = (
        [body for label, body in fences if label in _PYTHON],
        [match[1] for match in _CODE.finditer(text)],
        [body for label, body in fences if not label],
    )
    return next((body for bodies in by_form for body in bodies if body.strip()), None)


def objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a reply, those in `<plan>` and fences first; Server-Sent Events' `data:` is taken off."""
    bare = _DATA.sub("", text)
    places = [*(body for _, body in between(_PLAN, bare)), *(body for _, body in _fences(bare)), bare]
    for place in places:
        yield from _decoded(place)


def between(tags: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each opening tag, and the text up to the next closing one; group 1 of `tags` is `/` for a closing one."""
    opened = None
    for tag in tags.finditer(text):
        if not tag[1]:
            opened = opened or tag
        elif opened is not None:
            yield opened, text[opened.end() : tag.start()]
            opened = None


def _fences(text: str) -> Iterator[tuple[str, str]]:
    """Label and body of each fence; one that is not closed reaches to the end."""
    ticks, label, body = "", "", list[str]()
    for line in _LINE.findall(text):
        if ticks and line.strip(" \t\r\n") == ticks:
            yield label, "".join(body)
            ticks, body = "", []
        elif ticks:
            body.append(line)
        elif fence := _FENCE.match(line):
            ticks, label = fence[1], fence[2].lower()
    if ticks:
        yield label, "".join(body)


def _decoded(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)
    start, misses = text.find("{"), 0
    while start >= 0 and misses < _MISSES:
        try:
            found, end = decoder.raw_decode(text, start)
            yield _clean(found)
        except (ValueError, RecursionError):
            end, misses = start + 1, misses + 1
        start = text.find("{", end)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def utf8(text: str) -> str:
    """The text with `?` for each half of a surrogate pair, which nothing could store."""
    return text.encode("utf-8", "replace").decode()


def _clean(found: Any, depth: int = 0) -> Any:
    """The same in text that UTF-8 can hold.

    Raises:
        ValueError: it is nested so deeply that what stores or writes it might fail.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    if isinstance(found, str):
        return utf8(found)
    if isinstance(found, list):
        return [_clean(one, depth + 1) for one in found]
    if isinstance(found, dict):
        return {_clean(key): _clean(one, depth + 1) for key, one in found.items()}
    return found


def _plan(found: dict[str, Any], skills: Collection[str] | None) -> PlanRead | None:
    """The plan that an object is; None if it is something else."""
    reasoning = str(found.get("reasoning") or "")
    chosen = next((found[key] for key in _CHOSEN if isinstance(found.get(key), list)), None)
    if chosen:
        return _selected([str(name) for name in chosen], reasoning, skills)
    question, options = asked(found)
    if question:
        return PlanRead("ask", reasoning=reasoning, question=question, options=options)
    if found.get("answer") is not None:
        return PlanRead("answer", reasoning=reasoning, answer=found["answer"])
    return None if chosen is None else PlanRead("skills", reasoning=reasoning)


def asked(found: dict[str, Any]) -> tuple[str, list[str]]:
    """What an object asks a person, and what they may choose from; empty if it asks nothing."""
    question = found.get("ask") or found.get("question")
    if not isinstance(question, str) or not question.strip():
        return "", []
    return question[:_MAX_QUESTION], _options(found)


def _options(found: dict[str, Any]) -> list[str]:
    """What a person may choose from. More than a person reads is no choice: then any answer goes."""
    options = found.get("options")
    texts = [str(one) for one in options] if isinstance(options, list) else []
    texts = list(dict.fromkeys(text for text in texts if text.strip()))
    return texts if len(texts) <= _MAX_OPTIONS and sum(map(len, texts)) <= _MAX_QUESTION else []


def _selected(names: list[str], reasoning: str, skills: Collection[str] | None) -> PlanRead:
    if skills is None:
        return PlanRead("skills", selected_skills=names, reasoning=reasoning)
    known = {canonical_name(name): name for name in skills}
    unknown = [name for name in names if canonical_name(name) not in known]
    if unknown:
        hints = "".join(suggestion(canonical_name(name[:_MAX_NAME]), known) for name in unknown[:_MAX_HINTS])
        problems = f"no skill named {listed(unknown)};{hints} known: {listed(sorted(skills))}. Plan again"
        return PlanRead("invalid", reasoning=reasoning, problems=problems)
    chosen = list(dict.fromkeys(known[canonical_name(name)] for name in names))
    return PlanRead("skills", selected_skills=chosen, reasoning=reasoning)
