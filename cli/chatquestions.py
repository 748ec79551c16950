"""Questions of a turn, asked where the person is: options, forms field by field, approvals with what they are about."""

import json
import time
from collections.abc import Callable
from typing import Any

from rich.markup import escape

from cli import screen
from cli.budget import how
from cli.follow import parsed
from cli.views import options
from holdfast.contracts.base import Json
from holdfast.contracts.question import Question
from holdfast.errors import UserError

_SHOWN = 2000
_APPROVALS = "approve, approve 5 (also the next 5 calls), deny, or deny and why"
_YES, _NO = ("y", "yes", "true"), ("n", "no", "false")

Ask = Callable[[str], str]
"""Shows a prompt, and gives what was typed."""


class LeftOpen(Exception):
    """The person does not answer now."""


def show(question: Question, task_id: str) -> None:
    """The question, and what else there is to know before one answers."""
    screen.progress.print(f"    [bold yellow]?[/]  {escape(question.text)}{escape(options(question))}")
    if question.kind == "approval":
        _show_approval(question)
    later, typed = how(question, task_id)
    here = typed or (_APPROVALS if question.kind == "approval" else "")
    screen.say(f"       {here + '; ' if here else ''}an empty line leaves it open: {later}", "dim")
    if question.deadline is not None:
        left = screen.seconds(max(0.0, question.deadline - time.time()))
        screen.say(f"       to be answered within {left}; then: {question.on_timeout}", "dim")


def answer(question: Question, ask: Ask) -> Json:
    """What the person says, as the question takes it; asked again until it fits.

    Raises:
        LeftOpen: an empty line.
    """
    if question.form and not question.options:
        return _filled(question.form, ask)
    while True:
        text = _typed(ask, "       > ")
        try:
            return _approval(text) if question.kind == "approval" else parsed(question, text)
        except UserError as exc:
            screen.fail(exc)


def _typed(ask: Ask, prompt: str) -> str:
    if text := ask(prompt).strip():
        return text
    raise LeftOpen


def _show_approval(question: Question) -> None:
    about = question.details if isinstance(question.details, dict) else {}
    for name in ("skill", "why"):
        if about.get(name):
            screen.say(f"       {name:<10} {about[name]}")
    if "arguments_size_bytes" in about:
        _show_arguments(about.get("arguments_shown"), f"\n… ({about['arguments_size_bytes']:,} bytes)")
    elif "arguments" in about:
        _show_arguments(about["arguments"])


def _show_arguments(value: Json, more: str = "") -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    text = (text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…") + more
    screen.say("       arguments  " + text.replace("\n", "\n                  "))


def _approval(text: str) -> Json:
    """
    Raises:
        UserError: it is neither an approval nor a refusal.
    """
    word, _, uses = text.lower().partition(" ")
    if word in ("approve", "1", *_YES):
        if not uses:
            return "approve"
        if uses.strip().isdecimal():
            return {"decision": "approve", "grant": {"uses": int(uses)}}
    elif word in ("deny", "2", *_NO):
        reason = text.partition(" ")[2].strip()
        return {"decision": "deny", "reason": reason} if reason else "deny"
    raise UserError(f"{text!r} is neither; say {_APPROVALS}")


# forms


def _filled(form: dict[str, Any], ask: Ask) -> Json:
    """A value that the JSON Schema describes: an object field by field, anything else at once."""
    fields = form.get("properties")
    if form.get("type", "object") != "object" or not fields:
        return _field("answer", form, ask, is_needed=True)
    needed = form.get("required", [])
    given = {name: _field(name, schema, ask, name in needed) for name, schema in fields.items()}
    return {name: value for name, value in given.items() if value is not None}


def _field(name: str, schema: dict[str, Any], ask: Ask, is_needed: bool) -> Json:
    """None: left out. An empty line takes the default, leaves out what may be, and else leaves the question open."""
    screen.say(f"       {name}{_about(schema, is_needed)}")
    while True:
        text = ask("       > ").strip()
        if not text:
            if "default" in schema or not is_needed:
                return schema.get("default")
            raise LeftOpen
        try:
            return _read(name, schema, text)
        except UserError as exc:
            screen.fail(exc)


def _about(schema: dict[str, Any], is_needed: bool) -> str:
    facts = [str(schema[key]) for key in ("description", "title") if schema.get(key)][:1]
    facts += [" / ".join(map(str, schema["enum"]))] if "enum" in schema else [str(schema.get("type", ""))]
    if "default" in schema:
        facts.append(f"default: {schema['default']}")
    elif not is_needed:
        facts.append("optional")
    told = "; ".join(fact for fact in facts if fact)
    return f"  ({told})" if told else ""


def _read(name: str, schema: dict[str, Any], text: str) -> Json:
    """What was typed, as the field's type.

    Raises:
        UserError: it is not of that type, or none of the field's values.
    """
    value = _typed_as(name, schema.get("type"), text)
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        by_number = {str(number): one for number, one in enumerate(allowed, 1)}
        if text not in by_number:
            raise UserError(f"{name}: {text!r} is none of: {', '.join(map(str, allowed))}")
        return by_number[text]
    return value


def _typed_as(name: str, kind: Any, text: str) -> Json:
    if kind == "string":
        return text
    if kind == "boolean":
        if text.lower() not in (*_YES, *_NO):
            raise UserError(f"{name}: {text!r} is neither yes nor no")
        return text.lower() in _YES
    try:
        value = json.loads(text)
    except ValueError:
        if kind is None:
            return text
        raise UserError(f"{name}: {text!r} is no {kind}; give it as JSON") from None
    wanted = _PYTHON.get(str(kind), object)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UserError(f"{name}: {text!r} is no {kind}")
    return value


_PYTHON: dict[str, type | tuple[type, ...]] = {"integer": int, "number": (int, float), "array": list, "object": dict}
