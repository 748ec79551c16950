"""Whether the steps of a flow can run in some order, and what they say of one another."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.contracts.base import Json
from holdfast.contracts.flow import COMPENSATE, FlowSpec, StepSpec
from holdfast.filedraft import Draft
from holdfast.flowkeys import FlowKeys
from holdfast.names import listed, suggestion

NAMES = ("input", "steps", "output", "previous_output", "previous_feedback", "research_findings", "iteration")
"""What conditions, and `${…}` in inputs, can name."""

_IN_ORDER = ("sequential", "iterative_refinement")
_HOLE = re.compile(r"(?<!\$)\$\{\s*([^{}]*?)\s*\}")
_HEAD = re.compile(r"([A-Za-z_][\w-]*)(?:\.([A-Za-z_][\w-]*))?")


def check_graph(flow: FlowSpec, draft: Draft[FlowKeys]) -> None:
    """
    Raises:
        SpecInvalid: two steps have one name, a step names one that is not there, waits for itself, or is run for a
            compensation and in the order too.
    """
    names = [step.name for step in flow.steps]
    for number, name in enumerate(names):
        if name in names[:number]:
            first = names.index(name)
            text = f"found {name!r}, the name of steps[{first}] too; allowed is a name that no other step has"
            raise draft.wrong(f"steps[{number}].name", text)
    for number, step in enumerate(flow.steps):
        _check_depends_on(step, f"steps[{number}].depends_on", names, flow, draft)
    _check_compensations(flow, draft)
    cycle = cycle_in({step.name: step.depends_on for step in flow.steps})
    if cycle:
        number = names.index(cycle[0])
        raise draft.wrong(f"steps[{number}].depends_on", f"steps wait for one another: {' -> '.join(cycle)}")
    for number, step in enumerate(flow.steps):
        _check_holes(step, f"steps[{number}].{'ask' if step.ask else 'input'}", flow, draft)


def _check_depends_on(step: StepSpec, path: str, names: list[str], flow: FlowSpec, draft: Draft[FlowKeys]) -> None:
    if step.depends_on and flow.coordination == "parallel":
        raise draft.wrong(path, "parallel steps wait for none; allowed with coordination_type: dag")
    for number, name in enumerate(step.depends_on):
        place = f"{path}[{number}]"
        if name not in names:
            raise draft.wrong(place, f"no step named {name!r};{suggestion(name, names)} steps: {listed(names)}")
        if flow.coordination in _IN_ORDER and names.index(name) > names.index(step.name):
            allowed = "allowed with coordination_type: dag, or put it before this one"
            raise draft.wrong(
                place, f"{name!r} comes after this step, and {flow.coordination} runs in order; {allowed}"
            )


def _check_holes(step: StepSpec, path: str, flow: FlowSpec, draft: Draft[FlowKeys]) -> None:
    """Each `${…}` names something that is there when the step begins."""
    for hole in _holes(step):
        match = _HEAD.match(hole)
        head, name = (match[1], match[2]) if match else (hole, None)
        if head not in NAMES:
            allowed = f"there are: {listed(NAMES)}; '$${{' stands for the text '${{'"
            raise draft.wrong(path, f"'${{{hole}}}' names nothing;{suggestion(head, NAMES)} {allowed}")
        if head == "steps" and name is not None and name not in (before := _before(step, flow)):
            text = (
                f"'${{{hole}}}': no step {name!r} is over before this one begins;{suggestion(name, before)} those are"
            )
            raise draft.wrong(path, f"{text}: {listed(before)}; see depends_on")


def _before(step: StepSpec, flow: FlowSpec) -> list[str]:
    """The steps that are over when this one begins: perhaps all others, for one that compensates."""
    if step.name in compensations(flow):
        return [each.name for each in flow.steps if each is not step]
    arrows, found = after(flow), list[str]()
    ahead = list(arrows[step.name])
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.append(name)
            ahead += arrows[name]
    return sorted(found)


def after(flow: FlowSpec) -> dict[str, list[str]]:
    """What each step waits for, as the flow runs: in a sequence the one before, at once nothing."""
    aside, before, found = compensations(flow), list[str](), dict[str, list[str]]()
    for step in flow.steps:
        found[step.name] = step.depends_on
        if step.name in aside:
            found[step.name] = []
        elif flow.coordination in _IN_ORDER:
            found[step.name], before = step.depends_on or before, [step.name]
    return found


def _check_compensations(flow: FlowSpec, draft: Draft[FlowKeys]) -> None:
    names = [step.name for step in flow.steps]
    found = [("on_failure", flow.on_failure, "")]
    found += [(f"steps[{number}].on_failure", step.on_failure, step.name) for number, step in enumerate(flow.steps)]
    for path, policy, owner in found:
        target = policy.removeprefix(COMPENSATE)
        if target == policy:
            continue
        if target not in names:
            raise draft.wrong(path, f"no step named {target!r};{suggestion(target, names)} steps: {listed(names)}")
        waiting = [step.name for step in flow.steps if target in step.depends_on]
        if target == owner or waiting:
            whose = "this step itself" if target == owner else f"a step that {listed(waiting)} depends on"
            text = f"{target!r} is {whose}; a step that compensates runs for nothing else"
            raise draft.wrong(path, text)
    if all(step.name in compensations(flow) for step in flow.steps):
        raise draft.wrong("steps", "every step is there to compensate another one; at least one must be there to run")


def compensations(flow: FlowSpec) -> set[str]:
    """Steps that run only when another one has failed."""
    policies = [flow.on_failure, *(step.on_failure for step in flow.steps)]
    return {policy.removeprefix(COMPENSATE) for policy in policies if policy.startswith(COMPENSATE)}


def _holes(step: StepSpec) -> Iterator[str]:
    texts = [step.ask.text] if step.ask else []
    for text in [*texts, *_texts(step.input)]:
        yield from _HOLE.findall(text)


def _texts(value: Json) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def cycle_in(arrows: Mapping[str, Any]) -> list[str]:
    """Names that lead back to the first: `[a, b, a]`; empty if there are none. `arrows` are lists of names by name."""
    over: set[str] = set()
    for start in arrows:
        path, ahead = [start], [iter(arrows[start])]
        while ahead and start not in over:
            following = next(ahead[-1], None)
            if following is None:
                over.add(path.pop())
                ahead.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following in arrows and following not in over:
                path.append(following)
                ahead.append(iter(arrows[following]))
    return []
