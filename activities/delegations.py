"""Delegation plans, read from what a model said. Pure: `activities/replies.py` is the same for other plans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from activities.replies import asked, objects
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.llm import Delegated
from holdfast.errors import shown
from holdfast.names import canonical_name, letters_of, listed, suggestion

_TO = ("delegateTo", "delegate_to", "agent")
_AFTER = ("after", "dependsOn", "depends_on")
_MAX_TASK, _MAX_REASON, _MAX_NAME = 20_000, 1000, 100
_SELF = frozenset({"", "self", "none", "null"})


@dataclass(frozen=True)
class DelegationRead:
    """A delegation as the model wrote it. `invalid`: `problems` says what was found, for the model."""

    kind: Literal["steps", "answer", "ask", "invalid"]
    steps: list[Delegated] = field(default_factory=list)
    reasoning: str = ""
    answer: Any = None
    question: str = ""
    options: list[str] = field(default_factory=list)
    problems: str = ""


@dataclass(frozen=True)
class Team:
    """Who may be named in a plan: the master, for itself, and its subagents."""

    master: str
    agents: Sequence[AgentSpec]

    def find(self, name: str) -> str | None:
        """The canonical name of a subagent; empty: the master itself; None: nobody of that name."""
        letters = letters_of(name)
        if letters in _SELF or letters == letters_of(self.master):
            return ""
        return self._names.get(letters)

    def advice(self, name: str) -> str:
        """What there is instead of a name that nobody has."""
        hint = suggestion(canonical_name(name[:_MAX_NAME]), self.names)
        return f"no agent named {shown(name)};{hint} known: {listed(self.names)}; without `delegateTo` it is your own"

    @property
    def names(self) -> list[str]:
        return [canonical_name(one.name) for one in self.agents]

    @property
    def _names(self) -> dict[str, str]:
        by_alias = {letters_of(alias): canonical_name(one.name) for one in self.agents for alias in one.aliases}
        return by_alias | {letters_of(name): name for name in self.names}


def read_delegation(text: str, team: Team, max_steps: int, before: int = 0) -> DelegationRead:
    """The plan in a reply, in whatever form a plan may have: a fence, `<plan>`, or bare JSON. Its steps are counted
    from behind those `before`."""
    for found in objects(text):
        if plan := _plan(found, team, max_steps, before):
            return plan
    forms = '{"steps": [{"task": "…", "delegateTo": "…"}], "reasoning": "…"}, {"answer": "…"} or {"ask": "…"}'
    problems = f"found no plan in the reply {shown(text.strip())}; reply with one JSON object: {forms}"
    return DelegationRead("invalid", problems=problems)


def _plan(found: dict[str, Any], team: Team, max_steps: int, before: int) -> DelegationRead | None:
    """The plan that an object is; None if it is something else."""
    reasoning, rows = str(found.get("reasoning") or "")[:_MAX_REASON], found.get("steps")
    if isinstance(rows, list) and rows:
        return _with_steps(rows, reasoning, team, max_steps, before)
    question, options = asked(found)
    if question:
        return DelegationRead("ask", reasoning=reasoning, question=question, options=options)
    if found.get("answer") is not None:
        return DelegationRead("answer", reasoning=reasoning, answer=found["answer"])
    return None


def _with_steps(rows: list[Any], reasoning: str, team: Team, max_steps: int, before: int) -> DelegationRead:
    last = before + len(rows)
    problems = [text for number, row in enumerate(rows, before + 1) for text in _wrong(number, row, last, team)]
    if len(rows) > max_steps:
        problems = [f"found {len(rows)} steps; at most {max_steps} are allowed (limits.max_plan_steps)"]
    if not problems:
        steps = [_step(row, team) for row in rows]
        if not (circle := _circle(steps, before)):
            return DelegationRead("steps", steps, reasoning)
        problems = [f"steps wait for each other in a circle: {circle}"]
    return DelegationRead("invalid", reasoning=reasoning, problems="\n".join([*problems, "Plan again"]))


def _wrong(number: int, row: Any, last: int, team: Team) -> list[str]:
    """What is wrong with one step."""
    if not isinstance(row, dict) or not str(row.get("task") or "").strip():
        return [f'step {number}: found {shown(row)}; a step is {{"task": "…", "delegateTo": "…", "reason": "…"}}']
    problems = []
    if len(str(row["task"])) > _MAX_TASK:
        problems.append(f"step {number}: its task has {len(str(row['task']))} characters; {_MAX_TASK} are allowed")
    name = _to(row)
    if team.find(name) is None:
        problems.append(f"step {number}: {team.advice(name)}")
    after = _after(row)
    if after is None or any(not 1 <= one <= last or one == number for one in after):
        allowed = f"numbers of other steps, from 1 to {last}"
        problems.append(f"step {number}: after: found {shown(_given(row, _AFTER))}; allowed: {allowed}")
    return problems


def _step(row: Mapping[str, Any], team: Team) -> Delegated:
    return Delegated(
        task=str(row["task"]).strip(),
        delegate_to=team.find(_to(row)) or "",
        reason=str(row.get("reason") or "")[:_MAX_REASON],
        after=sorted(set(_after(row) or [])),
    )


def _to(row: Mapping[str, Any]) -> str:
    return str(_given(row, _TO) or "")


def _after(row: Mapping[str, Any]) -> list[int] | None:
    """Numbers of steps; None: something else is given."""
    given = _given(row, _AFTER)
    found = given if isinstance(given, list) else [] if given is None else [given]
    try:
        return [int(one) for one in found if not isinstance(one, bool | float)]
    except (ValueError, TypeError):
        return None


def _given(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _circle(steps: list[Delegated], before: int) -> str:
    """Numbers of steps that wait for each other; empty if none do."""
    try:
        TopologicalSorter({number: step.after for number, step in enumerate(steps, before + 1)}).prepare()
    except CycleError as exc:
        return " -> ".join(str(number) for number in exc.args[1])
    return ""
