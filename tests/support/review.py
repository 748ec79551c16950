"""Runs an example program over the built-in skills without an engine: what the program does, not how it survives."""

import ast
import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.builtin import Desk


class SkillError(Exception):
    """As the guest raises it."""


class Calls:
    """The `skills` of a program: each call runs in a thread and is written down."""

    def __init__(self, desk: Desk, blocking: bool, answers: dict[str, Any]) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        self._desk, self._blocking, self._answers = desk, blocking, answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.made.append((name, arguments))
            return self._answer(name, arguments) if self._blocking else asyncio.to_thread(self._answer, name, arguments)

        return call

    def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if name in self._answers:
            return self._answers[name]
        try:
            return self._desk(name.replace("_", "-"), **arguments)
        except Exception as exc:
            raise SkillError(str(exc)) from exc


def run_program(source: Path, desk: Desk, inputs: Any = None, **answers: Any) -> tuple[Any, Calls]:
    """The program's `result` and its calls. `answers` stand in for native skills, such as ask='yes'."""
    text = source.read_text("utf-8")
    calls = Calls(desk, blocking="await " not in text, answers=answers)
    names = {"skills": calls, "inputs": inputs, "SkillError": SkillError}
    code = compile(text, str(source), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, names)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)
    return names["result"], calls
