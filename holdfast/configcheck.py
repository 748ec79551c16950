"""Whether the text of an agent's or a flow's file would be read, and what is wrong with it; nothing is kept."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import uuid4

from holdfast.agentfiles import parse_agent
from holdfast.agentforms import AgentFile
from holdfast.catalogue import Catalogue, Library, Problem, agent_doubts, missing
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.flow import FlowSpec
from holdfast.errors import Conflict, OperatorError, SpecInvalid, UserError
from holdfast.flowcatalogue import doubts
from holdfast.flowfiles import FlowFile, parse_flow
from holdfast.names import letters_of
from holdfast.sources import Sources
from holdfast.yamlfile import read_mapping

Kind = Literal["agent", "flow"]
FOLDERS: dict[Kind, str] = {"agent": "agents", "flow": "flows"}


@dataclass(frozen=True)
class Checked:
    """`spec` is None if there is an error. `problems` have warnings too."""

    kind: Kind
    spec: AgentSpec | FlowSpec | None
    problems: list[Problem] = field(default_factory=list)


def check_text(text: str, kind: Kind | None, project: Path, catalogue: Catalogue) -> Checked:
    """As if it stood in the project's `agents/` or `flows/`. Without a kind, what has `steps` is a flow."""
    label = kind or "config"
    try:
        found = kind or kind_of(text, label)
    except SpecInvalid as exc:
        return Checked("agent", None, [Problem.of(exc, label)])
    path = project / FOLDERS[found] / f"{found}.yaml"
    return check_file(path, found, project, f"{found}.yaml", Sources({path: text}), catalogue)


def kind_of(text: str, label: str) -> Kind:
    """
    Raises:
        SpecInvalid: it is no YAML, or no mapping.
    """
    return "flow" if "steps" in read_mapping(text, label).values else "agent"


def check_file(path: Path, kind: Kind, root: Path, label: str, sources: Sources, catalogue: Catalogue) -> Checked:
    try:
        if kind == "agent":
            return _agent(AgentFile(path, label, root), sources, catalogue)
        return _flow(FlowFile(path, label, root), sources, catalogue)
    except SpecInvalid as exc:
        return Checked(kind, None, [Problem.of(exc, label)])


def write(checked: Checked, text: str, library: Library, replace: bool) -> str:
    """Put a checked text into the project, whole or not at all. Returns where it stands, from the project folder.

    Raises:
        SpecInvalid: it has an error.
        Conflict: there is such a file, and it may not be replaced; or the project has that name in another file.
        OperatorError: the folder cannot be written to.
    """
    if checked.spec is None:
        first = checked.problems[0]
        raise SpecInvalid(first.message, file=first.file, line=first.line, key=first.key)
    label = f"{FOLDERS[checked.kind]}/{checked.spec.name}.yaml"
    path = library.project / label
    if path.exists() and not replace:
        raise Conflict(f"{label} is there already; send it with `replace: true`, or under another name")
    if not path.exists() and _is_taken(checked, library):
        raise Conflict(f"the project has the {checked.kind} {checked.spec.name!r} in another file; change that one")
    try:
        _put(path, text)
    except OSError as exc:
        raise OperatorError(f"{label} cannot be written: {exc.strerror}") from exc
    return label


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def _is_taken(checked: Checked, library: Library) -> bool:
    catalogue, _, _ = library.current()
    name = checked.spec.name if checked.spec else ""
    try:
        known = catalogue.find_agent(name) if checked.kind == "agent" else catalogue.find_flow(name)
    except UserError:
        return False
    return known.origin == "project" and letters_of(known.name) == letters_of(name)


def _agent(file: AgentFile, sources: Sources, catalogue: Catalogue) -> Checked:
    parsed = parse_agent(file, sources)
    told = [Problem(level="warning", file=file.label, message=text) for text in parsed.warnings]
    return Checked("agent", parsed.spec, [*told, *agent_doubts(parsed.spec, file.label, catalogue)])


def _flow(file: FlowFile, sources: Sources, catalogue: Catalogue) -> Checked:
    parsed = parse_flow(file, sources)
    told = [Problem(level="warning", file=file.label, message=text) for text in parsed.warnings]
    found = doubts(parsed, lambda kind, name: missing(catalogue, kind, name))
    return Checked("flow", parsed.spec, [*told, *(Problem.of(exc, file.label, "warning") for exc in found)])
