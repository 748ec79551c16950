"""Steps as lines: calls of one skill that follow each other are one line, `read_file x3`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cli.screen import seconds
from holdfast.contracts.task import Step

_BAR = 16
_ASKED = 36
_OPEN = frozenset({"open", "running", "pending", "scheduled", "waiting"})
_BAD = frozenset({"failed", "error", "raised"})
_ALONE = frozenset({"question", "llm", "child"})


@dataclass
class Group:
    """Steps of one kind and name, in the order in which they were asked."""

    kind: str
    name: str
    steps: list[Step] = field(default_factory=list)

    @property
    def done(self) -> int:
        return sum(not is_open(step) for step in self.steps)

    @property
    def failed(self) -> int:
        return sum(step.state in _BAD or step.error is not None for step in self.steps)

    @property
    def is_complete(self) -> bool:
        """A program is told of when it begins; its end is the task's end."""
        return self.kind == "program" or self.done == len(self.steps)

    def length_s(self, now: float) -> float | None:
        """From the first start to the last end, or to now while something is open."""
        if self.kind == "program":
            return None
        starts = [step.started_at for step in self.steps if step.started_at is not None]
        ends = [step.ended_at for step in self.steps if step.ended_at is not None]
        if not starts:
            return None
        return max(0.0, (max(ends) if self.is_complete and ends else now) - min(starts))


def is_open(step: Step) -> bool:
    return step.ended_at is None and step.state.lower() in _OPEN


def grouped(steps: list[Step]) -> list[Group]:
    """Neighbours of one kind and name share a group; questions and LLM calls stand alone, each has its own text."""
    groups: list[Group] = []
    for step in steps:
        last = groups[-1] if groups else None
        if last is None or (last.kind, last.name) != (step.kind, step.name) or step.kind in _ALONE:
            groups.append(Group(step.kind, step.name))
        groups[-1].steps.append(step)
    return groups


def line(group: Group, now: float, chosen: Sequence[str] = ()) -> str:
    """One line: name, how many, a bar while several are open, time, what went wrong. `chosen` are a plan's skills."""
    total = len(group.steps)
    if group.kind == "program":
        return f"    program   {group.name}, {group.steps[0].detail}"
    if group.kind == "llm":
        return _llm(group.steps[0], now, chosen)
    if group.kind == "child":
        return _child(group.steps[0], now)
    name = f"{group.name} x{total}" if total > 1 else group.name
    bar = f"{_bar(group.done, total)}  {group.done}/{total}" if total > 1 and not group.is_complete else _told(group)
    length = group.length_s(now)
    took = seconds(length) if length is not None else ""
    return f"    {name:<24}  {bar:<36}  {took:>7}".rstrip()


def _llm(step: Step, now: float, chosen: Sequence[str]) -> str:
    """What the model was asked, who it is, how long that took and what it cost."""
    asked = step.detail.removeprefix(f"{step.name}: ")
    if chosen and step.name == "plan":
        asked = f"{len(chosen)} skills: {', '.join(chosen)}" if len(chosen) > 1 else chosen[0]
    elif step.name == "program":
        asked = asked.partition(" with ")[0]
    asked = asked if len(asked) <= _ASKED else f"{asked[: _ASKED - 1]}…"
    told = "; ".join(part for part in (asked, model(step.model), _failed(step)) if part)
    took = seconds(max(0.0, (step.ended_at or now) - step.started_at)) if step.started_at is not None else ""
    spent = "" if is_open(step) or step.error else money(step.cost)
    return f"    {step.name:<8}  {told:<52}  {took:>7}  {spent}".rstrip()


def _child(step: Step, now: float) -> str:
    """A step that another task does: who, how it stands, how long it took and what it cost."""
    told = "; ".join(part for part in (step.detail, "" if step.state == "done" else step.state, _failed(step)) if part)
    took = seconds(max(0.0, (step.ended_at or now) - step.started_at)) if step.started_at is not None else ""
    spent = money(step.cost) if step.cost else ""
    return f"    step      {f'{step.name}: {told}':<52}  {took:>7}  {spent}".rstrip()


def model(name: str | None) -> str:
    """`model: offline`, or `model: anthropic:claude-sonnet-5-5`."""
    return f"model: {'offline' if name.startswith('offline') else name}" if name else ""


def money(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"${cost:.3f}"


def _failed(step: Step) -> str:
    return gist(step.error or "")[:120]


def gist(error: str) -> str:
    """The line of an error that says what is wrong: of a traceback the last one, else the first."""
    lines = error.strip().splitlines() or [""]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _told(group: Group) -> str:
    if group.failed:
        first = next(step.error for step in group.steps if step.error or step.state in _BAD)
        many = f"{group.failed} failed: " if len(group.steps) > 1 else "failed: "
        return many + (first or "").partition("\n")[0][:120]
    if not group.is_complete:
        return "…"
    return group.steps[0].detail[:60] if len(group.steps) == 1 else ""


def _bar(done: int, total: int) -> str:
    filled = _BAR * done // total
    return "#" * filled + "-" * (_BAR - filled)
