"""A flow as a Mermaid flowchart: for pages, issues and editors that draw one."""

from collections.abc import Iterator

from holdfast.contracts.flow import COMPENSATE, FlowSpec, StepSpec
from holdfast.flowgraph import after, compensations

_SHAPES = {"agent": ("[", "]"), "skill": ("(", ")"), "program": ("[[", "]]"), "flow": ("[/", "/]"), "ask": ("{{", "}}")}
_ESCAPES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " ", "`": "#96;"})
_LONGEST = 80


def mermaid(flow: FlowSpec) -> str:
    """The steps as nodes, what they wait for as arrows; dotted ones are taken only when a step has failed."""
    return "\n".join(["flowchart TD", *(f"    {line}" for line in _lines(flow))]) + "\n"


def _lines(flow: FlowSpec) -> Iterator[str]:
    ids = {step.name: f"s{number}" for number, step in enumerate(flow.steps)}
    arrows, aside = after(flow), compensations(flow)
    yield f'begin(["{_text(flow.name)}"])'
    for step in flow.steps:
        yield _node(ids[step.name], step)
    yield "done([done])"
    for step in flow.steps:
        if step.name in aside:
            continue
        for before in [ids[name] for name in arrows[step.name]] or ["begin"]:
            yield f"{before} -->{_label(step.condition)} {ids[step.name]}"
    yield from _failures(flow, ids)
    yield from _ends(flow, ids)


def _node(own: str, step: StepSpec) -> str:
    left, right = _SHAPES[step.kind]
    what = step.ask.text if step.ask else step.who
    about = f"{step.kind} {what}".strip()
    second = "" if about == step.name else f"<br/>{_text(about)}"
    return f'{own}{left}"{_text(step.name)}{second}"{right}'


def _failures(flow: FlowSpec, ids: dict[str, str]) -> Iterator[str]:
    for step in flow.steps:
        policy = flow.on_failure if step.on_failure == "fail" else step.on_failure
        target = policy.removeprefix(COMPENSATE)
        if target != policy and target != step.name and step.name not in compensations(flow):
            yield f'{ids[step.name]} -.->|"on failure"| {ids[target]}'


def _ends(flow: FlowSpec, ids: dict[str, str]) -> Iterator[str]:
    aside = compensations(flow)
    running = [step.name for step in flow.steps if step.name not in aside]
    waited_for = {name for names in after(flow).values() for name in names}
    last = [name for name in running if name not in waited_for]
    if flow.coordination == "iterative_refinement":
        again = f"again, at most {flow.max_iterations} times"
        yield f"{ids[running[-1]]} -->{_label(again)} {ids[running[0]]}"
    for name in last:
        yield f"{ids[name]} -->{_label(_check(flow))} done"


def _check(flow: FlowSpec) -> str:
    if flow.coordination != "iterative_refinement":
        return ""
    return flow.convergence if flow.convergence_check == "expression" else flow.convergence_check


def _label(text: str) -> str:
    return f'|"{_text(text)}"|' if text else ""


def _text(text: str) -> str:
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return cut.translate(_ESCAPES)
