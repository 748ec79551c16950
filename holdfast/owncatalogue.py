"""A project's agents and tools in Python on their way into the catalogue: named in YAML, registered, or just found."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from holdfast.contracts.agent import AgentSpec
from holdfast.errors import SpecInvalid
from holdfast.names import canonical_name
from holdfast.owncode import OwnClass, OwnCode, agent_of, look_into, run_of, tool_of
from holdfast.places import Problem
from holdfast.snapshot import CatalogueSkill
from holdfast.specs import SkillSpec, UndeclaredEffect


class Into(Protocol):
    """The catalogue as it is being loaded: what is there already, and where that came from."""

    undeclared: UndeclaredEffect
    skills: dict[str, CatalogueSkill]
    places: dict[str, str]
    contents: set[bytes]
    agents: dict[str, AgentSpec]
    agent_places: dict[str, str]
    runs: dict[str, CatalogueSkill]
    problems: list[Problem]
    warnings: list[Problem]


def add_own_code(project: Path, into: Into) -> None:
    """Everything that the project's Python holds. What YAML says of an agent goes before what its class says."""
    code = look_into(project, (spec.class_path for spec in into.agents.values() if spec.class_path))
    into.problems += code.problems
    loading = _OwnLoading(code, into)
    for name, spec in list(into.agents.items()):
        if spec.class_path:
            loading.add_named(name, spec)
    for found in code.found:
        loading.add_found(found)
    if loading.used:
        into.contents.update(code.files.values())


class _OwnLoading:
    def __init__(self, code: OwnCode, into: Into) -> None:
        self.code, self.into = code, into
        self.used = False
        self.classes: dict[str, OwnClass] = {}

    def add_named(self, name: str, spec: AgentSpec) -> None:
        """An agent of a YAML file. One whose class is not there is left out, like a file with an error."""
        found, place = self.code.named[spec.class_path], self.into.agent_places[name]
        if isinstance(found, str):
            del self.into.agents[name]
            self._problem(f"{place}: key 'class': found {spec.class_path!r}: {found}", place, "class")
        else:
            self._run(name, spec, found.model_copy(update={"source": place}))

    def add_found(self, found: OwnClass) -> None:
        try:
            if found.file not in self.code.files:
                text = f"{found.source}: class {found.cls} lies in {found.file!r}, outside of the project's code"
                raise SpecInvalid(f"{text}; put it into the project", file=found.source)
            if found.kind == "tool":
                self._tool(found)
            else:
                self._agent(found)
        except SpecInvalid as exc:
            self.into.problems.append(Problem(file=exc.file, line=exc.line, key=exc.key, message=str(exc)))

    def _agent(self, found: OwnClass) -> None:
        spec = agent_of(found)
        name = canonical_name(spec.name)
        before = self.into.agents.get(name)
        if before is not None and before.origin == "project":
            known = self.classes.get(name)
            if known is None or (known.file, known.cls) != (found.file, found.cls):
                raise _taken("agent", found, self.into.agent_places[name])
            return
        self.into.agents[name] = spec
        self.into.agent_places[name] = found.source
        self._run(name, spec, found)

    def _run(self, name: str, spec: AgentSpec, found: OwnClass) -> None:
        self.classes[name] = found
        self.into.runs[name] = self._skill(run_of(spec, found))

    def _tool(self, found: OwnClass) -> None:
        spec, warnings = tool_of(found, self.into.undeclared)
        before = self.into.skills.get(spec.name)
        if before is not None:
            known = before.spec
            if known.kind == "class" and (known.handler, known.function) == (spec.handler, spec.function):
                return
            raise _taken("skill", found, self.into.places[spec.name])
        self.into.skills[spec.name] = self._skill(spec)
        self.into.places[spec.name] = found.source
        self._warn(found.source, warnings)

    def _skill(self, spec: SkillSpec) -> CatalogueSkill:
        self.used = True
        return CatalogueSkill.with_files(spec, self.code.files)

    def _warn(self, file: str, warnings: Iterable[str]) -> None:
        self.into.warnings += [Problem(level="warning", file=file, message=text) for text in warnings]

    def _problem(self, text: str, file: str, key: str | None) -> None:
        self.into.problems.append(Problem(file=file, key=key, message=text))


def _taken(what: str, found: OwnClass, place: str) -> SpecInvalid:
    text = (
        f"{found.source}: {found.name!r} (class {found.cls}) is the name of another {what}, {place}; "
        "rename one of them ('-' and '_' are the same)"
    )
    return SpecInvalid(text, file=found.source.partition(":")[0])
