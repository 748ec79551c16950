"""Agents on their way into the catalogue, from every file that may hold one."""

from pathlib import Path
from typing import Protocol

from holdfast.agentfiles import MAX_PROMPT_BYTES, spec_of
from holdfast.agentforms import AgentDraft, AgentFile, agent_drafts, name_of
from holdfast.agentkeys import DefaultKeys
from holdfast.agentlimits import read_defaults
from holdfast.contracts.agent import AgentSpec
from holdfast.errors import SpecInvalid
from holdfast.names import canonical_name, letters_of
from holdfast.places import AGENT_DEFAULTS, MASTER_PROMPT, Problem, agent_files
from holdfast.sources import Sources

MASTER = "master"


class Into(Protocol):
    """The catalogue as it is being loaded."""

    agents: dict[str, AgentSpec]
    agent_places: dict[str, str]
    sources: Sources
    problems: list[Problem]
    warnings: list[Problem]


def add_agents(project: Path, builtin: Path, into: Into) -> None:
    loading = _AgentLoading(into, _defaults(project, into))
    for file in agent_files(project, builtin, into.problems):
        loading.add(file)
    _set_master_prompt(project, into)


def _defaults(project: Path, into: Into) -> DefaultKeys:
    for name in AGENT_DEFAULTS:
        try:
            text = into.sources.text_if_there(project / name, project, name)
            if text:
                return read_defaults(text, name)
        except SpecInvalid as exc:
            into.problems.append(Problem.of(exc, name))
    return DefaultKeys()


def _set_master_prompt(project: Path, into: Into) -> None:
    """`prompts/master-system.txt` goes before the built-in prompt, and stands in where a project's master has none."""
    try:
        text = into.sources.text_if_there(project / MASTER_PROMPT, project, MASTER_PROMPT, MAX_PROMPT_BYTES).strip()
    except SpecInvalid as exc:
        into.problems.append(Problem.of(exc, MASTER_PROMPT))
        return
    master = into.agents.get(MASTER)
    if text and master is not None and (master.origin == "builtin" or not master.system_prompt):
        into.agents[MASTER] = master.model_copy(update={"system_prompt": text})


class _AgentLoading:
    """Built-ins come first. A project's agent takes the place of a built-in one; a file with an error leaves it empty:
    the built-in one does not come back behind somebody's back."""

    def __init__(self, into: Into, defaults: DefaultKeys) -> None:
        self.into, self.defaults = into, defaults

    def add(self, file: AgentFile) -> None:
        try:
            drafts = agent_drafts(file, self.into.sources)
        except SpecInvalid as exc:
            self._refuse(exc, file, file.name)
            return
        for draft in drafts:
            self._add_one(draft, file)
        found = [text for draft in drafts[:1] for text in draft.document.warnings]
        self.into.warnings += [Problem(level="warning", file=file.label, message=text) for text in found]

    def _add_one(self, draft: AgentDraft, file: AgentFile) -> None:
        try:
            self._admit(spec_of(draft, file, self.into.sources, self.defaults), file, draft)
        except SpecInvalid as exc:
            self._refuse(exc, file, name_of(draft, file))

    def _admit(self, spec: AgentSpec, file: AgentFile, draft: AgentDraft) -> None:
        before = self._same(spec.name)
        if before is not None and self.into.agents[before].origin == file.origin:
            place = self.into.agent_places[before]
            text = f"{spec.name!r} is the name of another agent, {place}; rename one of them"
            raise draft.wrong("name", f"{text} ('-', '_' and capitals make no difference)")
        if before is not None:
            del self.into.agents[before]
        name = canonical_name(spec.name)
        self.into.agents[name] = spec
        self.into.agent_places[name] = file.label

    def _same(self, name: str) -> str | None:
        return next((known for known in self.into.agents if letters_of(known) == letters_of(name)), None)

    def _refuse(self, exc: SpecInvalid, file: AgentFile, name: str) -> None:
        self.into.problems.append(Problem.of(exc, file.label))
        before = self._same(name)
        if file.origin == "project" and before is not None and self.into.agents[before].origin == "builtin":
            del self.into.agents[before]
