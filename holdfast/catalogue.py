"""From folders to a snapshot: a project's skills, agents and flows, the built-in ones, and what is wrong with any.

A bad file is a problem with a name and a line; everything else still loads.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from holdfast.agentcatalogue import add_agents
from holdfast.blobs import BlobStore
from holdfast.config import Settings
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Origin
from holdfast.contracts.flow import FlowSpec
from holdfast.errors import SpecInvalid, UserError
from holdfast.flowcatalogue import FlowLoading
from holdfast.names import suggestion
from holdfast.owncatalogue import add_own_code
from holdfast.owncode import code_files
from holdfast.ownflows import OwnWorkflows, add_own_flows, code_of
from holdfast.places import (
    AGENT_FOLDERS,
    FLOW_FOLDERS,
    PROJECT_FOLDERS,
    Problem,
    SkillFolder,
    agent_files,
    flow_files,
    skill_folders,
)
from holdfast.skillfiles import walk
from holdfast.snapshot import Catalogue, CatalogueSkill, SkillSummary
from holdfast.sources import Look, Sources, look
from holdfast.specs import ParsedSkill, UndeclaredEffect, parse_skill
from holdfast.subscribers import Subscribers
from holdfast.webhooks import WebhookKeys, webhooks_of

__all__ = [
    "AGENT_FOLDERS",
    "BUILTIN",
    "BUILTIN_AGENTS",
    "BUILTIN_FLOWS",
    "FLOW_FOLDERS",
    "PROJECT_FOLDERS",
    "Catalogue",
    "CatalogueSkill",
    "Library",
    "Loaded",
    "Problem",
    "SkillSummary",
    "load",
]

BUILTIN = Path(__file__).parent.parent / "skills" / "builtin"
"""Where the built-in skills lie, for those rooms too that may not import `skills`."""

BUILTIN_AGENTS = Path(__file__).parent.parent / "agents"
BUILTIN_FLOWS = Path(__file__).parent.parent / "flows"


@dataclass(frozen=True)
class Loaded:
    catalogue: Catalogue
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    webhooks: list[WebhookKeys] = field(default_factory=list)
    looks: dict[Path, Look] = field(default_factory=dict, repr=False, compare=False)
    """How each file of agents or flows, and each file that one names, looked just before it was read."""


def load(
    project: Path,
    builtin: Path,
    undeclared: UndeclaredEffect = "guess",
    builtin_agents: Path = BUILTIN_AGENTS,
    builtin_flows: Path = BUILTIN_FLOWS,
    own_workflows: OwnWorkflows = False,
) -> Loaded:
    """Read all skills: `<project>/skills/*`, `<project>/.agents/skills/*` and `<builtin>/*`; all agents, all flows."""
    loading = _Loading(undeclared)
    for found in skill_folders(project, builtin, loading.problems):
        loading.add(found)
    add_agents(project, builtin_agents, loading)
    add_own_code(project, loading)
    flows = FlowLoading(loading)
    flows.add_all(project, builtin_flows)
    add_own_flows(project, own_workflows, loading.flows, loading.problems)
    return loading.done(flows, webhooks_of(project, loading.sources, loading.problems))


class _Loading:
    """What has been read so far. Built-ins come first, so that a name of theirs is known when a project takes it."""

    def __init__(self, undeclared: UndeclaredEffect) -> None:
        self.undeclared = undeclared
        self.skills: dict[str, CatalogueSkill] = {}
        self.places: dict[str, str] = {}
        self.contents: set[bytes] = set()
        self.agents: dict[str, AgentSpec] = {}
        self.agent_places: dict[str, str] = {}
        self.flows: dict[str, FlowSpec] = {}
        self.runs: dict[str, CatalogueSkill] = {}
        self.sources = Sources()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, found: SkillFolder) -> None:
        try:
            parsed = parse_skill(found.folder, self.undeclared, found.label)
            self._admit(parsed, found)
        except SpecInvalid as exc:
            self.problems.append(Problem.of(exc, found.label))

    def _admit(self, parsed: ParsedSkill, found: SkillFolder) -> None:
        name = parsed.spec.name
        if name in self.skills:
            raise _taken(name, found, self.skills[name].origin, self.places[name])
        kind = parsed.spec.kind
        if kind in ("native", "engine") and found.origin == "project":
            allowed = f"prompt, script, hybrid; {kind} skills are part of holdfast"
            raise SpecInvalid(
                f"{found.label}: key 'kind': found {kind!r}; allowed: {allowed}", file=found.label, key="kind"
            )
        self.skills[name] = CatalogueSkill.of(parsed, found.origin)
        self.places[name] = found.label
        self.contents.update(parsed.files.values())
        self.warnings += [Problem(level="warning", file=found.label, message=text) for text in parsed.warnings]

    def done(self, flows: FlowLoading, webhooks: list[WebhookKeys]) -> Loaded:
        skills, agents = dict(sorted(self.skills.items())), dict(sorted(self.agents.items()))
        catalogue = Catalogue(skills, frozenset(self.contents), agents, self.flows, dict(sorted(self.runs.items())))
        for name, agent in self.agents.items():
            self.warnings += agent_doubts(agent, self.agent_places[name], catalogue)
        flows.doubt(lambda kind, name: missing(catalogue, kind, name))
        return Loaded(catalogue, self.problems, self.warnings, webhooks, self.sources.looks)


def agent_doubts(agent: AgentSpec, place: str, catalogue: Catalogue) -> Iterator[Problem]:
    """Who is not there may come later, so the agent is kept; a task of it would not find the skill."""
    named = [("skills", "skill", skill) for skill in agent.skills or []]
    named += [("subagents", "agent", one) for one in agent.subagents or []]
    for key, kind, name in named:
        if text := missing(catalogue, kind, name):
            yield Problem(level="warning", file=place, key=key, message=f"{place}: key {key!r}: {text}")


def missing(catalogue: Catalogue, kind: str, name: str) -> str | None:
    """Why a name finds nothing: as a sentence for its file."""
    known: dict[str, Iterable[str]] = {"agent": catalogue.agents, "skill": catalogue.skills, "flow": catalogue.flows}
    find: dict[str, Callable[[str], object]] = {
        "agent": catalogue.find_agent,
        "skill": catalogue.find,
        "flow": catalogue.find_flow,
    }
    if kind not in find:
        return None
    try:
        find[kind](name)
    except UserError:
        return f"no {kind} named {name!r} is here;{suggestion(name, known[kind])} add it, or take it out"
    return None


def _taken(name: str, found: SkillFolder, origin: Origin, place: str) -> SpecInvalid:
    whose = "a built-in skill" if origin == "builtin" else "another skill"
    return SpecInvalid(
        f"{found.label}: key 'name': {name!r} is the name of {whose}, {place}; rename the folder and its 'name'",
        file=found.label,
        key="name",
    )


class Library:
    """The newest snapshot of a project's skills, agents and flows, read again only when a file has changed.

    Safe for many threads.
    """

    def __init__(
        self,
        project: Path,
        builtin: Path,
        blobs: BlobStore,
        undeclared: UndeclaredEffect = "guess",
        builtin_agents: Path = BUILTIN_AGENTS,
        builtin_flows: Path = BUILTIN_FLOWS,
        own_workflows: OwnWorkflows = False,
    ) -> None:
        self.own_workflows = own_workflows
        self.project, self.builtin, self.blobs, self.undeclared = project, builtin, blobs, undeclared
        self.builtin_agents, self.builtin_flows = builtin_agents, builtin_flows
        self._lock = threading.Lock()
        self._stamp: tuple[frozenset[Look], dict[Path, Look]] | None = None
        self._sha = ""
        self._loaded = Loaded(Catalogue())
        self._subscribers = Subscribers()
        self._looked_at = -math.inf

    @classmethod
    def of(cls, settings: Settings, blobs: BlobStore) -> Self:
        """That of a project with its settings, over the built-in skills."""
        return cls(settings.project, BUILTIN, blobs, settings.undeclared_effect, own_workflows=settings.own_workflows)

    def current(self, trust_seconds: float = 0.0) -> tuple[Catalogue, str, list[Problem]]:
        """The catalogue, its hash (stored in the blobs) and the folders that were left out. Costs a stat per file, but
        within `trust_seconds` of the last look."""
        with self._lock:
            if time.monotonic() - self._looked_at < trust_seconds:
                return self._loaded.catalogue, self._sha, self._loaded.problems
            began = time.monotonic()
            stamp = self._stamped()
            if stamp != self._stamp:
                loaded = load(
                    self.project,
                    self.builtin,
                    self.undeclared,
                    self.builtin_agents,
                    self.builtin_flows,
                    self.own_workflows,
                )
                self._sha = loaded.catalogue.save(self.blobs)
                light = replace(loaded.catalogue, contents=frozenset())
                self._loaded = replace(loaded, catalogue=light)
                self._subscribers = Subscribers.of(light, loaded.webhooks)
                self._stamp = stamp[0], loaded.looks
            self._looked_at = began
            return self._loaded.catalogue, self._sha, self._loaded.problems

    def subscribers(self, trust_seconds: float = 0.0) -> Subscribers:
        """Who hears events now; see `current`."""
        self.current(trust_seconds)
        return self._subscribers

    @property
    def webhooks(self) -> list[WebhookKeys]:
        return self._loaded.webhooks

    @property
    def warnings(self) -> list[Problem]:
        """What the newest reading found odd, but could use."""
        return self._loaded.warnings

    def _stamped(self) -> tuple[frozenset[Look], dict[Path, Look]]:
        """How the files of skills look now; those of agents and flows, with what these named when they were read."""
        skills = (path for found in skill_folders(self.project, self.builtin, []) for path in walk(found.folder))
        agents = (file.path for file in agent_files(self.project, self.builtin_agents, []))
        flows = (file.path for file in flow_files(self.project, self.builtin_flows, []))
        code = [*code_files(self.project), *code_of(self.project, self.own_workflows)]
        return frozenset(map(look, [*skills, *code])), {
            path: look(path) for path in {*agents, *flows, *self._loaded.looks}
        }
