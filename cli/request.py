"""What `run` and `exec` send: a sentence or a program file, and flags, as the body of `POST /tasks`."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast.client import asks
from holdfast.contracts.program import MAX_SOURCE_BYTES, Limits
from holdfast.contracts.task import TaskRequest
from holdfast.errors import UserError, shown


def agent_request(
    text: str,
    agent: str | None,
    skills: str | None,
    system: str | None,
    model: str | None,
    inputs: str | None,
    key: str | None,
    limits: list[str],
    priority: str | None = None,
    budget: asks.Limits | None = None,
) -> TaskRequest:
    """The body of `POST /tasks` for a task in plain words (`-`: stdin).

    Raises:
        UserError: there are no words, a file cannot be read, or a flag has a wrong value (says which are right).
    """
    words = read(text) if text == "-" else text
    if not words.strip():
        raise UserError('the task is empty; say what is to be done: holdfast run "Review src for bugs"')
    options = asks.AgentOptions(
        agent=agent,
        skills=_names(skills),
        system_prompt=read(system[1:]) if system and system.startswith("@") else system,
        model=model,
        inputs=json_flag("--input", inputs) if inputs is not None else None,
        key=key,
        limits=_limits(limits),
        priority=_priority(priority),
        budget=asks.limited(budget) if budget else None,
    )
    return asks.of_agent(words, options)


def program_request(
    file: str,
    inputs: str | None,
    skills: str | None,
    repair: str,
    key: str | None,
    limits: list[str],
    priority: str | None = None,
    budget: asks.Limits | None = None,
) -> TaskRequest:
    """The body of `POST /tasks` for a program file (`-`: stdin).

    Raises:
        UserError: a file cannot be read, or a flag has a wrong value (says which are right).
    """
    body = {
        "type": "program",
        "program": _source(file),
        "input": json_flag("--input", inputs) if inputs is not None else None,
        "skills": _names(skills),
        "on_error": repair,
        "idempotency_key": key,
        "limits": _limits(limits),
    }
    if priority is not None:
        body["priority"] = _priority(priority)
    if budget:
        body["budget"] = budget
    try:
        return TaskRequest.model_validate(body)
    except ValidationError as exc:
        raise UserError("; ".join(asks.problem(error) for error in exc.errors())) from None


def read(path: str) -> str:
    """A text file's content, `-` for stdin."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except OSError as exc:
        raise UserError(f"cannot read {path!r}: {exc.strerror}") from None
    except UnicodeDecodeError as exc:
        raise UserError(f"{path!r} is not UTF-8 text: byte {exc.start}; save it as UTF-8") from None


def _source(file: str) -> str:
    text = read(file)
    if not text.strip():
        raise UserError(f"the program {file!r} is empty; see examples/ for programs to start from")
    if (size := len(text.encode())) > MAX_SOURCE_BYTES:
        raise UserError(
            f"the program {file!r} has {size} bytes, {MAX_SOURCE_BYTES} are allowed: pass data by --input @file"
        )
    return text


def json_flag(flag: str, text: str) -> Any:
    body, where = (read(text[1:]), text[1:]) if text.startswith("@") else (text, flag)
    try:
        return json.loads(body)
    except ValueError as exc:
        advice = f"A string needs quotes of its own: {flag} '\"text\"'"
        raise UserError(f"{where}: not JSON: {exc}; found {shown(body)}. {advice}") from None


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _limits(pairs: list[str]) -> dict[str, float | str]:
    known = ", ".join(Limits.model_fields)
    found: dict[str, float | str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or name not in Limits.model_fields:
            raise UserError(f"--limit {pair!r}: expected NAME=VALUE with a name of: {known}")
        found[name] = value
    return found


def _priority(text: str | None) -> int | str | None:
    return int(text) if text and text.isdecimal() else text


def answer_words(words: list[str], file: str | None) -> tuple[str | None, str]:
    """Question id (None: the only open one) and value, from what stands behind `holdfast answer ID`.

    Raises:
        UserError: no value, or more words than a question and a value.
    """
    value = [read(file)] if file is not None else words[-1:]
    question = words if file is not None else words[:-1]
    if not value:
        raise UserError("the answer is missing: holdfast answer ID [QUESTION] VALUE, or --file FILE")
    if len(question) > 1:
        raise UserError(f"expected [QUESTION] VALUE, found {len(words)} words; quote an answer of several words")
    return (question[0] if question else None), value[0]
