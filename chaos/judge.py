"""The verdict: what the skills wrote down, joined with the histories and the stub model's own counts."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chaos.evidence import Evidence
from chaos.faults import Strike
from chaos.model import Asked
from chaos.scenario import Scenario
from chaos.world import LIGHT, ONCE, Line
from holdfast.contracts.base import Json
from holdfast.errors import shown

SETTLED_S = 2.0
"""A reply that came is in the history by then; a fault before that may cost the same request again."""
COSTS_A_REQUEST = ("worker", "server", "stop", "store")
KEEPS_A_QUESTION = ("server", "worker", "api", "state")
HEARTBEAT_S = 2.0
R6_S = HEARTBEAT_S + 2.0


@dataclass
class Played:
    """One task of the mix: what was asked for, and how it ended. `state` is empty if it is not over.

    `tasks` are all that came of it, `workflows` what held them together.
    """

    key: str
    scenario: Scenario
    tasks: list[str] = field(default_factory=list)
    workflows: list[str] = field(default_factory=list)
    state: str = ""
    output: Json = None
    error: str = ""

    @property
    def task(self) -> str:
        """The first of them; empty before it was sent."""
        return self.tasks[0] if self.tasks else ""


@dataclass
class Facts:
    """All that the judge looks at."""

    played: list[Played]
    strikes: list[Strike]
    lines: list[Line]
    asked: list[Asked]
    evidence: dict[str, Evidence]
    leftovers: list[str]
    diverged: list[str]

    @cached_property
    def by_task(self) -> dict[str, Evidence]:
        """Evidence by each task that came of one of the mix."""
        return {task: found for one, found in _each(self) for task in one.tasks}


@dataclass
class Promise:
    """A row of the table. `broken` names each breach; empty: it holds."""

    name: str
    ref: str
    text: str
    figure: str
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.broken


def judge(facts: Facts) -> list[Promise]:
    """Every promise, held or broken."""
    return [rule(facts) for rule in _RULES]


def _ends(facts: Facts) -> Promise:
    broken = []
    for one in facts.played:
        right = one.state == one.scenario.state and (one.state != "DONE" or one.output == one.scenario.output)
        if not right:
            found = f"{one.state or 'not over'} {shown(one.output)} {one.error}".strip()
            broken.append(f"{_told(one)}: {found}; expected {one.scenario.state} {shown(one.scenario.output)}")
    right_ones = len(facts.played) - len(broken)
    return Promise(
        "ends",
        "",
        "every task ends as it should, with the right answer",
        f"{right_ones} of {len(facts.played)}",
        broken,
    )


def _scheduled(facts: Facts) -> Promise:
    broken = [
        f"{_told(one)}: call {call} of {task} scheduled {count} times"
        for one, found in _each(facts)
        for (task, call), count in found.scheduled.items()
        if count > 1
    ]
    calls = sum(len(found.scheduled) for _, found in _each(facts))
    return Promise(
        "scheduled",
        "R1",
        "no call is scheduled twice",
        f"0 of {calls}" if not broken else f"{len(broken)} of {calls}",
        broken,
    )


def _begun(facts: Facts) -> Promise:
    begins = [line for line in facts.lines if line.what == "begin"]
    broken = [_late(facts, line) for line in begins if _is_late(facts, line)]
    return Promise(
        "begun",
        "R1",
        "no execution begins after its completion stood in history",
        f"{len(broken)} of {len(begins)}",
        broken,
    )


def _is_late(facts: Facts, line: Line) -> bool:
    """Not of a light call, which is pure: a paused worker that wakes cannot know that what it has in hand is done."""
    if line.skill in LIGHT:
        return False
    found = facts.by_task.get(line.root)
    return found is not None and line.at > found.completed.get((line.task, line.call), float("inf"))


def _late(facts: Facts, line: Line) -> str:
    late = line.at - facts.by_task[line.root].completed[line.task, line.call]
    return (
        f"task {line.task}: {line.skill} {line.call} began {late:.3f} s after its completion (attempt {line.attempt})"
    )


def _asks_the_same(facts: Facts) -> Promise:
    """A re-run that went another way, or a key that means two calls, shows as calls too many or too few."""
    broken, right = [], 0
    for one, found in _each(facts):
        calls, wanted = len(found.scheduled), one.scenario.calls
        if wanted is not None and one.state == one.scenario.state and calls != wanted:
            broken.append(f"{_told(one)}: {calls} calls; without faults {wanted}")
        right += calls == wanted
    return Promise(
        "asked", "R1", "re-runs ask the same calls: as many as without faults", f"{right} tasks alike", broken
    )


def _keys(facts: Facts) -> Promise:
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    calls: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for line in facts.lines:
        keys[line.task, line.call].add(line.key)
        calls[line.key].add((line.task, line.call))
    broken = [
        f"task {task}: call {call} was tried with {len(found)} keys"
        for (task, call), found in keys.items()
        if len(found) > 1
    ]
    broken += [f"key {key[:12]} was given to {len(found)} calls" for key, found in calls.items() if len(found) > 1]
    return Promise(
        "keys",
        "R1",
        "a call that is tried again has the key of its first try, and no other call has it",
        f"{len(calls)} keys",
        broken,
    )


def _paid(facts: Facts) -> Promise:
    """Of two requests that are the same, the first was in flight at a fault; and none comes behind its record."""
    broken: list[str] = []
    again = 0
    by_key: dict[str, list[Asked]] = defaultdict(list)
    for asked in facts.asked:
        by_key[asked.key].append(asked)
    free = 0
    for one in facts.played:
        found, wanted = by_key.get(one.key, []), one.scenario.requests or len(one.scenario.replies)
        digests = {asked.digest for asked in found}
        free += wanted
        again += len(found) - len(digests)
        if one.state == one.scenario.state and len(digests) != wanted:
            broken.append(f"{_told(one)}: {len(digests)} different LLM requests; without faults {wanted}")
        broken += [f"{_told(one)}: {text}" for text in _paid_twice(found, facts.strikes)]
    figure = f"{len(facts.asked)} requests: {free} without faults, {again} again"
    return Promise("paid", "R2", "the model is asked again only for what was in flight at a fault", figure, broken)


def _paid_twice(asked: list[Asked], strikes: list[Strike]) -> Iterable[str]:
    newest: dict[str, Asked] = {}
    for one in asked:
        before = newest.get(one.digest)
        newest[one.digest] = one
        if before is not None and not before.fault and not _was_struck(before, strikes):
            yield f"{one.step} was asked again {one.at - before.at:.1f} s later, and nothing had failed"


def _was_struck(one: Asked, strikes: list[Strike]) -> bool:
    until = (one.until or one.at) + SETTLED_S
    return any(s.kind in COSTS_A_REQUEST and s.at <= until and s.until >= one.at for s in strikes)


def _once(facts: Facts) -> Promise:
    begins = Counter((line.task, line.call) for line in facts.lines if line.what == "begin" and line.skill in ONCE)
    broken = [
        f"task {task}: once call {call} began {count} times" for (task, call), count in begins.items() if count > 1
    ]
    return Promise(
        "once", "R3", "a call with effect once is never run again by itself", f"{len(broken)} of {len(begins)}", broken
    )


def _mended(facts: Facts) -> Promise:
    tasks = {one.task for one in facts.played if "repair" in one.scenario.replies and one.task}
    hits = sum(len(facts.evidence[task].completed) for task in tasks if task in facts.evidence)
    broken = [
        _late(facts, line)
        for line in facts.lines
        if line.root in tasks and line.what == "begin" and _is_late(facts, line)
    ]
    for root in tasks & facts.evidence.keys():
        broken += [
            f"task {task}: call {call} scheduled {n} times"
            for (task, call), n in facts.evidence[root].scheduled.items()
            if n > 1
        ]
    return Promise(
        "mended",
        "R8",
        "a mended program repeats no finished call",
        f"{len(broken)} of {hits} in {len(tasks)} tasks",
        broken,
    )


def _zombie(facts: Facts) -> Promise:
    broken = [f"{_told(one)}: accepted {text}" for one, found in _each(facts) for text in found.stale]
    stops = sum(strike.kind == "stop" for strike in facts.strikes)
    return Promise("zombie", "", "a worker that was overtaken and wakes is not heard", f"{stops} woke", broken)


def _waits(facts: Facts) -> Promise:
    """Kills of what keeps a question, or would hear its answer, while its program rested."""
    asked = [(one, found) for one, found in _each(facts) if one.scenario.waits_for_people]
    kills = [strike for strike in facts.strikes if strike.kind in KEEPS_A_QUESTION]
    struck = sum(any(found.state_at(strike.at) == "WAIT" for strike in kills) for _, found in asked)
    broken = [f"{_told(one)}: {one.state or 'not over'}" for one, _ in asked if one.state != one.scenario.state]
    return Promise(
        "waits",
        "R7",
        "a question that was open at a kill is answered after it, and what was finished stays so",
        f"{struck} of {len(asked)} tasks struck while they waited",
        broken,
    )


def _replays(facts: Facts) -> Promise:
    count = sum(len(found.histories) for found in facts.evidence.values())
    return Promise("replays", "R5", "every history replays", f"{count} histories", facts.diverged)


def _left(facts: Facts) -> Promise:
    return Promise("left", "", "no process is left behind", f"{len(facts.leftovers)} left", facts.leftovers)


_RULES: tuple[Callable[[Facts], Promise], ...] = (
    _ends,
    _scheduled,
    _begun,
    _asks_the_same,
    _keys,
    _paid,
    _once,
    _mended,
    _zombie,
    _waits,
    _replays,
    _left,
)


@dataclass(frozen=True)
class Recovery:
    """Seconds from a worker's death to the next finished call, or the end, of tasks whose box it had (R6)."""

    times: list[float]

    @property
    def p95(self) -> float:
        return sorted(self.times)[min(len(self.times) - 1, int(0.95 * len(self.times)))]

    def __str__(self) -> str:
        if not self.times:
            return "none measured"
        median = statistics.median(self.times)
        return f"median {median:.2f} s, p95 {self.p95:.2f} s, worst {max(self.times):.2f} s, of {len(self.times)}"


def recovery(facts: Facts, kind: str = "worker") -> Recovery:
    """Only strikes that were the last before the progress: else one would measure how often we strike."""
    ends: dict[str, list[float]] = defaultdict(list)
    for line in facts.lines:
        if line.what == "end":
            ends[line.root].append(line.at)
    return Recovery([took for strike in facts.strikes if strike.kind == kind for took in _took(strike, facts, ends)])


def _took(strike: Strike, facts: Facts, ends: dict[str, list[float]]) -> Iterable[float]:
    for task in strike.held:
        found = facts.evidence.get(task)
        marks = [*ends.get(task, []), *([found.closed_at] if found and found.closed_at else [])]
        after = min((at for at in marks if at > strike.at), default=None)
        if found is None or after is None or found.state_at(strike.at) not in ("BOX", "END", "DRAIN"):
            continue
        if not any(strike.at < other.at < after and other.kind != "api" for other in facts.strikes):
            yield after - strike.at


def struck_in(facts: Facts) -> dict[str, Counter[str]]:
    """Kind of kill -> state of the programs that it struck -> how often: its target, those it held, else all."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for strike in facts.strikes:
        tasks = [strike.task] if strike.task else strike.held or [one.task for one in facts.played if one.task]
        states = {facts.evidence[task].state_at(strike.at) for task in tasks if task in facts.evidence} - {""}
        found[strike.kind].update(states)
    return found


def _each(facts: Facts) -> list[tuple[Played, Evidence]]:
    return [(one, facts.evidence[one.task]) for one in facts.played if one.task in facts.evidence]


def _told(one: Played) -> str:
    return f"{one.scenario.name} {one.task or one.key}"


def as_json(facts: Facts, promises: list[Promise]) -> dict[str, Any]:
    """What `--json` writes: everything that the table says, and what it is made of."""
    return {
        "holds": all(promise.holds for promise in promises),
        "promises": [{**vars(promise), "holds": promise.holds} for promise in promises],
        "tasks": [{**vars(one), "scenario": one.scenario.name} for one in facts.played],
        "strikes": [strike.as_json() for strike in facts.strikes],
        "struck_in": {kind: dict(states) for kind, states in struck_in(facts).items()},
        "recovery_s": {kind: recovery(facts, kind).times for kind in ("worker", "server", "stop")},
    }
