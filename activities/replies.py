"""What a model said, read: plans and programs in all the forms that models write them in (M-06, M-07, P-53).

Pure functions; `scripts/debug-llm-response` shows people what they find.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from holdfast.errors import shown
from holdfast.names import canonical_name, listed, suggestion

_PLAN = re.compile(r"<plan>(.*?)</plan>", re.DOTALL | re.IGNORECASE)
_FENCED = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_CODE = re.compile(r"<code[^>\n]*>[ \t]*\n?(.*?)(?:</code>|\Z)", re.DOTALL | re.IGNORECASE)
_DATA = re.compile(r"^data:[ \t]?", re.MULTILINE)
_PYTHON = ("python", "py", "python3")
_CHOSEN = ("selected_skills", "selectedSkills", "skills")


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
    asked = 'one JSON object: {"selected_skills": […], "reasoning": "…"}, {"answer": "…"} or {"ask": "…"}'
    return PlanRead("invalid", problems=f"found no plan in the reply {shown(text.strip())}; reply with {asked}")


def read_program(text: str) -> str | None:
    """The program in a reply: a python fence, `<code>`, or a bare fence; the first of the best form. None: no code."""
    fences = [(match[2].lower(), match[3]) for match in _FENCED.finditer(text)]
    by_form = (
        [body for label, body in fences if label in _PYTHON],
        [match[1] for match in _CODE.finditer(text)],
        [body for label, body in fences if not label],
    )
    return next((body for bodies in by_form for body in bodies if body.strip()), None)


def objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a reply, those in `<plan>` and fences first; Server-Sent Events' `data:` is taken off."""
    bare = _DATA.sub("", text)
    places = [*_PLAN.findall(bare), *(match[3] for match in _FENCED.finditer(bare)), bare]
    for place in places:
        yield from _decoded(place)


def _decoded(text: str) -> Iterator[dict[str, Any]]:
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            found, end = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            end = start + 1
        else:
            if isinstance(found, dict):
                yield found
        start = text.find("{", end)


def _plan(found: dict[str, Any], skills: Collection[str] | None) -> PlanRead | None:
    """The plan that an object is; None if it is something else."""
    reasoning = str(found.get("reasoning") or "")
    chosen = next((found[key] for key in _CHOSEN if isinstance(found.get(key), list)), None)
    asked = found.get("ask") or found.get("question")
    if chosen:
        return _selected([str(name) for name in chosen], reasoning, skills)
    if isinstance(asked, str):
        options = found.get("options") or []
        options = [str(one) for one in options] if isinstance(options, list) else []
        return PlanRead("ask", reasoning=reasoning, question=asked, options=options)
    if found.get("answer") is not None:
        return PlanRead("answer", reasoning=reasoning, answer=found["answer"])
    return None if chosen is None else PlanRead("skills", reasoning=reasoning)


def _selected(names: list[str], reasoning: str, skills: Collection[str] | None) -> PlanRead:
    if skills is None:
        return PlanRead("skills", selected_skills=names, reasoning=reasoning)
    known = {canonical_name(name): name for name in skills}
    unknown = [name for name in names if canonical_name(name) not in known]
    if unknown:
        hints = "".join(suggestion(canonical_name(name), known) for name in unknown)
        problems = f"no skill named {listed(unknown)};{hints} known: {listed(sorted(skills))}. Plan again"
        return PlanRead("invalid", reasoning=reasoning, problems=problems)
    chosen = list(dict.fromkeys(known[canonical_name(name)] for name in names))
    return PlanRead("skills", selected_skills=chosen, reasoning=reasoning)
