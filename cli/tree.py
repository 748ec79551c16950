"""The steps of a task as a tree: what each is, how it stands, how long it took and what it cost."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from cli.groups import gist, money
from cli.screen import seconds
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import Subtask

SKIPPED = "SKIPPED"
_OVER = FINAL | {SKIPPED}
_TOLD = 60
Inner = Callable[[Subtask], list[Subtask]]


def lines(subtasks: list[Subtask], inner: Inner = lambda _: []) -> list[str]:
    """A line for the whole, and one for each step, steps of steps below it. `inner` gives those that a step started."""
    if not subtasks:
        return []
    rows = list(_branches(subtasks, "", inner))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [counted(subtasks), *text]


def counted(subtasks: Iterable[Subtask]) -> str:
    """`steps  2 of 5 done, 1 failed, 2 running`."""
    found = list(subtasks)
    states = Counter(one.state for one in found)
    done = f"steps  {states['DONE']} of {len(found)} done"
    words = {"ERROR": "failed", "TIMED_OUT": "timed out"}
    rest = [(count, words.get(state, state.lower())) for state, count in states.items() if state != "DONE"]
    return ", ".join([done, *(f"{count} {word}" for count, word in rest)])


def _branches(subtasks: list[Subtask], indent: str, inner: Inner) -> Iterable[tuple[str, ...]]:
    for number, one in enumerate(subtasks, 1):
        is_last = number == len(subtasks)
        yield _row(one, f"{indent}{'└─' if is_last else '├─'} ")
        yield from _branches(inner(one), f"{indent}{'   ' if is_last else '│  '}", inner)


def _row(one: Subtask, lead: str) -> tuple[str, ...]:
    name = one.name if one.iteration == 1 else f"{one.name} (round {one.iteration})"
    told = gist(one.error or one.reason)[:_TOLD]
    who = "" if one.agent_type in ("program", "ask") else one.agent_type
    return (f"{lead}{name}", f"{one.kind} {who}".rstrip(), one.state, _took(one), _spent(one), told)


def _took(one: Subtask) -> str:
    if one.created_at is None:
        return ""
    ended = one.updated_at if one.state in _OVER and one.updated_at else datetime.now(UTC)
    return seconds(max(0.0, (ended - one.created_at).total_seconds()))


def _spent(one: Subtask) -> str:
    return money(one.total_cost) if one.input_tokens or one.output_tokens else ""
