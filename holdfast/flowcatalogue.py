"""Flows on their way into the catalogue, and whether those whom they name are there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from holdfast.contracts.flow import FlowSpec
from holdfast.errors import SpecInvalid
from holdfast.flowfiles import FlowFile, ParsedFlow, parse_flow
from holdfast.flowgraph import compensations, cycle_in
from holdfast.names import canonical_name
from holdfast.places import Problem, flow_files
from holdfast.sources import Sources


class Into(Protocol):
    """The catalogue as it is being loaded."""

    flows: dict[str, FlowSpec]
    sources: Sources
    problems: list[Problem]
    warnings: list[Problem]


Missing = Callable[[str, str], str | None]
"""What is wrong with the name of an agent, a skill or a flow: `("agent", "reviewr")` -> a sentence, or None."""


class FlowLoading:
    """The flows read so far. As with agents, a project's own takes a built-in one's place, even when it is broken."""

    def __init__(self, into: Into) -> None:
        self.into = into
        self.parsed: dict[str, ParsedFlow] = {}

    def add_all(self, project: Path, builtin: Path) -> None:
        for file in flow_files(project, builtin, self.into.problems):
            try:
                self._admit(parse_flow(file, self.into.sources))
            except SpecInvalid as exc:
                self.into.problems.append(Problem.of(exc, file.label))
                self._withdraw_builtin(file)
        self._refuse_endless()
        self.into.flows |= {name: parsed.spec for name, parsed in sorted(self.parsed.items())}

    def doubt(self, missing: Missing) -> None:
        """What a step names and is not there may come later, so its flow is kept."""
        for parsed in self.parsed.values():
            label = parsed.draft.document.file
            self.into.warnings += [Problem.of(exc, label, "warning") for exc in doubts(parsed, missing)]
            texts = parsed.warnings
            self.into.warnings += [Problem(level="warning", file=label, message=text) for text in texts]

    def _admit(self, parsed: ParsedFlow) -> None:
        name = canonical_name(parsed.spec.name)
        before = self.parsed.get(name)
        if before is not None and before.spec.origin == parsed.spec.origin:
            text = f"{parsed.spec.name!r} is the name of another flow, {before.draft.document.file}; rename one of them"
            raise parsed.draft.wrong("name", f"{text} ('-', '_' and capitals make no difference)")
        self.parsed[name] = parsed

    def _withdraw_builtin(self, file: FlowFile) -> None:
        found = self.parsed.get(canonical_name(file.path.stem))
        if file.origin == "project" and found is not None and found.spec.origin == "builtin":
            del self.parsed[canonical_name(file.path.stem)]

    def _refuse_endless(self) -> None:
        """Flows that start one another, each in a step without a condition, never end."""
        while cycle := cycle_in({name: list(_always_starts(parsed.spec)) for name, parsed in self.parsed.items()}):
            for name in dict.fromkeys(cycle):
                parsed = self.parsed.pop(name)
                text = f"flows start one another without end: {' -> '.join(cycle)}; give one of these steps a condition"
                self.into.problems.append(Problem.of(parsed.draft.wrong("steps", text), parsed.draft.document.file))


def _always_starts(flow: FlowSpec) -> Iterator[str]:
    aside = compensations(flow)
    for step in flow.steps:
        if step.kind == "flow" and not step.condition and step.name not in aside:
            yield step.who


def doubts(parsed: ParsedFlow, missing: Missing) -> Iterator[SpecInvalid]:
    """What its steps name that is not there."""
    for number, step in enumerate(parsed.spec.steps):
        if step.who and (text := missing(step.kind, step.who)):
            yield parsed.draft.wrong(f"steps[{number}].{step.kind}", text)
