"""The table that people read: what was struck, what was played, and every promise, held or broken."""

from collections import Counter

from chaos import judge
from chaos.faults import STATES
from chaos.judge import Facts, Promise
from chaos.model import Model
from cli import screen

_SHOWN = 5


def show(facts: Facts, promises: list[Promise], model: Model, missing: list[str], seed: int) -> None:
    """Print it on stdout, and each breach."""
    screen.result(_head(facts, model, missing, seed))
    rows = [("", "ref", "promise", "figure")]
    rows += [("held" if one.holds else "BROKEN", one.ref, one.text, one.figure) for one in promises]
    screen.rows(list(rows))
    for promise in promises:
        for text in promise.broken[:_SHOWN]:
            screen.result(f"  {promise.name}: {text}")
        if len(promise.broken) > _SHOWN:
            screen.result(f"  {promise.name}: and {len(promise.broken) - _SHOWN} more")
    holds = all(promise.holds for promise in promises)
    screen.result("every promise held" if holds else f"BROKEN; run it again with --seed {seed}")


def _head(facts: Facts, model: Model, missing: list[str], seed: int) -> str:
    kinds = Counter(strike.kind for strike in facts.strikes)
    kills = sum(strike.is_kill for strike in facts.strikes)
    states = judge.struck_in(facts)
    lines = [
        f"seed {seed}",
        f"{kills} kills: {_counts(kinds)}",
        *(f"  {kind:<8} struck programs in: {_ordered(states[kind])}" for kind in sorted(states)),
        f"faults of the model: {_counts(model.faults)}",
        *(f"not run: {name} (needs root and mount)" for name in missing),
        f"{len(facts.played)} tasks: {_counts(Counter(one.scenario.name for one in facts.played))}",
        (
            f"{sum(len(found.scheduled) for found in facts.evidence.values())} calls, "
            f"{sum(line.what == 'begin' for line in facts.lines)} executions, "
            f"{sum(found.events for found in facts.evidence.values())} events in "
            f"{sum(found.runs for found in facts.evidence.values())} runs"
        ),
        f"R6, worker killed to next finished call: {judge.recovery(facts)} (goal: p95 at most {judge.R6_S:g} s)",
        f"    server killed to next finished call: {judge.recovery(facts, 'server')}",
    ]
    return "\n".join(lines)


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items())) or "none"


def _ordered(found: Counter[str]) -> str:
    return ", ".join(f"{name} {found[name]}" for name in ("PLAN", "START", *STATES) if found[name]) or "none"
