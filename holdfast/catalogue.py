"""From folders to a snapshot: a project's skills and agents, the built-in ones, and what is wrong with any of them.

A bad file is a problem with a name and a line; everything else still loads.
"""

import math
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.agentfiles import AgentFile, parse_agent
from holdfast.blobs import BlobStore
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Origin
from holdfast.errors import SpecInvalid
from holdfast.names import canonical_name, suggestion
from holdfast.places import AGENT_FOLDERS, PROJECT_FOLDERS, Problem, SkillFolder, agent_files, skill_folders
from holdfast.skillfiles import walk
from holdfast.snapshot import Catalogue, CatalogueSkill, SkillSummary
from holdfast.sources import Look, Sources, look
from holdfast.specs import ParsedSkill, UndeclaredEffect, parse_skill

__all__ = [
    "AGENT_FOLDERS",
    "BUILTIN",
    "BUILTIN_AGENTS",
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


@dataclass(frozen=True)
class Loaded:
    catalogue: Catalogue
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    looks: dict[Path, Look] = field(default_factory=dict, repr=False, compare=False)
    """How each agent's file, and each file that one names, looked just before it was read."""


def load(
    project: Path, builtin: Path, undeclared: UndeclaredEffect = "guess", builtin_agents: Path = BUILTIN_AGENTS
) -> Loaded:
    """Read all skills: `<project>/skills/*`, `<project>/.agents/skills/*` and `<builtin>/*`; and all agents."""
    loading = _Loading(undeclared)
    for found in skill_folders(project, builtin, loading.problems):
        loading.add(found)
    for file in agent_files(project, builtin_agents, loading.problems):
        loading.add_agent(file)
    return loading.done()


class _Loading:
    """What has been read so far. Built-ins come first, so that a name of theirs is known when a project takes it."""

    def __init__(self, undeclared: UndeclaredEffect) -> None:
        self.undeclared = undeclared
        self.skills: dict[str, CatalogueSkill] = {}
        self.places: dict[str, str] = {}
        self.contents: set[bytes] = set()
        self.agents: dict[str, AgentSpec] = {}
        self.agent_places: dict[str, str] = {}
        self.sources = Sources()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, found: SkillFolder) -> None:
        try:
            parsed = parse_skill(found.folder, self.undeclared, found.label)
            self._admit(parsed, found)
        except SpecInvalid as exc:
            self.problems.append(_problem(exc, found.label))

    def add_agent(self, file: AgentFile) -> None:
        """A project's agent takes the place of a built-in one of its name; a file with an error leaves it empty."""
        try:
            parsed = parse_agent(file, self.sources)
            self._admit_agent(parsed.spec, file)
        except SpecInvalid as exc:
            self.problems.append(_problem(exc, file.label))
            if file.origin == "project":
                self._withdraw_builtin(file.path.stem)
            return
        self.warnings += [Problem(level="warning", file=file.label, message=text) for text in parsed.warnings]

    def _admit_agent(self, spec: AgentSpec, file: AgentFile) -> None:
        name = canonical_name(spec.name)
        before = self.agents.get(name)
        if before is not None and before.origin == file.origin:
            raise SpecInvalid(
                f"{file.label}: key 'name': {spec.name!r} is the name of another agent, {self.agent_places[name]}; "
                "rename one of them ('-' and '_' are the same)",
                file=file.label,
                key="name",
            )
        self.agents[name] = spec
        self.agent_places[name] = file.label

    def _withdraw_builtin(self, name: str) -> None:
        found = self.agents.get(canonical_name(name))
        if found is not None and found.origin == "builtin":
            del self.agents[canonical_name(name)]

    def _admit(self, parsed: ParsedSkill, found: SkillFolder) -> None:
        name = parsed.spec.name
        if name in self.skills:
            raise _taken(name, found, self.skills[name].origin, self.places[name])
        if parsed.spec.kind == "native" and found.origin == "project":
            allowed = "prompt, script, hybrid; native skills are part of holdfast"
            raise SpecInvalid(
                f"{found.label}: key 'kind': found 'native'; allowed: {allowed}", file=found.label, key="kind"
            )
        self.skills[name] = CatalogueSkill.of(parsed, found.origin)
        self.places[name] = found.label
        self.contents.update(parsed.files.values())
        self.warnings += [Problem(level="warning", file=found.label, message=text) for text in parsed.warnings]

    def done(self) -> Loaded:
        self._doubt_missing_skills()
        skills, agents = dict(sorted(self.skills.items())), dict(sorted(self.agents.items()))
        catalogue = Catalogue(skills, frozenset(self.contents), agents)
        return Loaded(catalogue, self.problems, self.warnings, self.sources.looks)

    def _doubt_missing_skills(self) -> None:
        """A skill that is not there may come later, so its agent is kept; a task of it would not find the skill."""
        for name, agent in self.agents.items():
            for skill in agent.skills or []:
                if skill not in self.skills:
                    place = self.agent_places[name]
                    text = f"{place}: key 'skills': no skill named {skill!r} is here;{suggestion(skill, self.skills)}"
                    end = " add it, or take it out"
                    self.warnings.append(Problem(level="warning", file=place, key="skills", message=text + end))


def _problem(exc: SpecInvalid, label: str) -> Problem:
    return Problem(file=exc.file or label, line=exc.line, key=exc.key, message=str(exc))


def _taken(name: str, found: SkillFolder, origin: Origin, place: str) -> SpecInvalid:
    whose = "a built-in skill" if origin == "builtin" else "another skill"
    return SpecInvalid(
        f"{found.label}: key 'name': {name!r} is the name of {whose}, {place}; rename the folder and its 'name'",
        file=found.label,
        key="name",
    )


class Library:
    """The newest snapshot of a project's skills and agents, read again only when a file has changed.

    Safe for many threads.
    """

    def __init__(
        self,
        project: Path,
        builtin: Path,
        blobs: BlobStore,
        undeclared: UndeclaredEffect = "guess",
        builtin_agents: Path = BUILTIN_AGENTS,
    ) -> None:
        self.project, self.builtin, self.blobs, self.undeclared = project, builtin, blobs, undeclared
        self.builtin_agents = builtin_agents
        self._lock = threading.Lock()
        self._stamp: tuple[frozenset[Look], dict[Path, Look]] | None = None
        self._sha = ""
        self._loaded = Loaded(Catalogue())
        self._looked_at = -math.inf

    def current(self, trust_seconds: float = 0.0) -> tuple[Catalogue, str, list[Problem]]:
        """The catalogue, its hash (stored in the blobs) and the folders that were left out. Costs a stat per file, but
        within `trust_seconds` of the last look."""
        with self._lock:
            if time.monotonic() - self._looked_at < trust_seconds:
                return self._loaded.catalogue, self._sha, self._loaded.problems
            began = time.monotonic()
            stamp = self._stamped()
            if stamp != self._stamp:
                loaded = load(self.project, self.builtin, self.undeclared, self.builtin_agents)
                self._sha = loaded.catalogue.save(self.blobs)
                light = Catalogue(loaded.catalogue.skills, agents=loaded.catalogue.agents)
                self._loaded = replace(loaded, catalogue=light)
                self._stamp = stamp[0], loaded.looks
            self._looked_at = began
            return self._loaded.catalogue, self._sha, self._loaded.problems

    @property
    def warnings(self) -> list[Problem]:
        """What the newest reading found odd, but could use."""
        return self._loaded.warnings

    def _stamped(self) -> tuple[frozenset[Look], dict[Path, Look]]:
        """How the files of skills look now; and those of agents, with what these named when they were last read."""
        skills = (path for found in skill_folders(self.project, self.builtin, []) for path in walk(found.folder))
        agents = (file.path for file in agent_files(self.project, self.builtin_agents, []))
        return frozenset(map(look, skills)), {path: look(path) for path in {*agents, *self._loaded.looks}}
