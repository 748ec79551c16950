"""All skills, agents and flows at one moment: a snapshot, named by its hash, that a task pins when it starts."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from holdfast.approvals import rules_for
from holdfast.blobs import BlobStore
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Contract, Json, Origin, Sha256
from holdfast.contracts.flow import FlowSpec
from holdfast.contracts.skill import Effect, Kind, SkillFacts
from holdfast.errors import (
    OperatorError,
    SkillInputError,
    SkillOutputError,
    UnknownAgent,
    UnknownFlow,
    UnknownSkill,
    shown,
)
from holdfast.ids import canonical
from holdfast.names import OWN_RUN, canonical_name, letters_of, listed, suggestion
from holdfast.schemas import compiled, unknown_names
from holdfast.skillfiles import MARKDOWN, body_of
from holdfast.specs import ParsedSkill, SkillSpec

FORMAT = 1


class SkillSummary(Contract):
    """The light metadata of a skill: what a list, a planner or a search needs."""

    name: str
    version: str
    description: str
    tags: list[str]
    kind: Kind
    effect: Effect
    origin: Origin


class CatalogueSkill(Contract):
    """A skill in a snapshot. `files` maps relative paths to the blobs that hold their bytes."""

    spec: SkillSpec
    origin: Origin
    files: dict[str, Sha256] = {}

    @classmethod
    def of(cls, parsed: ParsedSkill, origin: Origin) -> "CatalogueSkill":
        return cls.with_files(parsed.spec, parsed.files, origin)

    @classmethod
    def with_files(cls, spec: SkillSpec, files: Mapping[str, bytes], origin: Origin = "project") -> "CatalogueSkill":
        """A skill, and what lies in its folder."""
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        return cls(spec=spec, origin=origin, files=hashes)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def label(self) -> str:
        """What messages call it: the run of an agent in Python is no skill to people."""
        return f"agent {self.name.removeprefix(OWN_RUN)!r}" if self.spec.kind == "own" else f"skill {self.name!r}"

    @property
    def content_hash(self) -> str:
        """Names the exact bytes of the folder: what a runner's process and its cached files belong to."""
        return hashlib.sha256(canonical(self.files)).hexdigest()

    def facts(self) -> SkillFacts:
        spec = self.spec
        return SkillFacts(
            name=spec.name,
            effect=spec.effect,
            kind=spec.kind,
            timeout_seconds=spec.timeout_seconds,
            max_retries=spec.max_retries,
            max_age_seconds=spec.max_age_seconds,
            has_check=spec.check is not None,
            weight=spec.weight,
            approval=rules_for(spec.name, (), spec.approval),
        )

    def summary(self) -> SkillSummary:
        spec = self.spec
        return SkillSummary(
            name=spec.name,
            version=spec.version,
            description=spec.description,
            tags=spec.tags,
            kind=spec.kind,
            effect=spec.effect,
            origin=self.origin,
        )

    def bind(self, args: list[Json], kwargs: Mapping[str, Json]) -> dict[str, Json]:
        """Arguments by parameter name, before defaults: the form that call ids are made from.

        Raises:
            SkillInputError: more positional arguments than parameters, one given twice, or a name that is not known.
        """
        names = self.spec.parameters
        if len(args) > len(names):
            raise self._input_error([f"{len(args)} positional arguments; allowed: {len(names)}, {listed(names)}"])
        bound = dict(zip(names, args, strict=False))
        twice = [name for name in bound if name in kwargs]
        if twice:
            raise self._input_error([f"{listed(twice)} given twice, by position and by name"])
        bound.update(kwargs)
        self._known(bound)
        return bound

    def check_input(self, arguments: Mapping[str, Json]) -> dict[str, Json]:
        """The arguments with the schema's defaults filled in.

        Raises:
            SkillInputError: they do not fit; says which argument, what was found and what is allowed.
        """
        self._known(arguments)
        schema = compiled(self.spec.input_schema)
        filled: dict[str, Json] = schema.with_defaults(dict(arguments))
        problems = schema.problems(filled, "arguments")
        if problems:
            raise self._input_error(problems)
        return filled

    def check_output(self, value: Json) -> None:
        """
        Raises:
            SkillOutputError: the answer does not fit the output schema.
        """
        problems = compiled(self.spec.output_schema).problems(value, "answer")
        if problems:
            raise SkillOutputError(f"skill {self.name!r} answered outside of its output_schema: {'; '.join(problems)}")

    def instructions(self, blobs: BlobStore) -> str:
        """The body of its SKILL.md, loaded when asked for."""
        name = next((name for name in MARKDOWN if name in self.files), None)
        return body_of(blobs.get(self.files[name])) if name else ""

    def _known(self, arguments: Mapping[str, Json]) -> None:
        schema, names = self.spec.input_schema, self.spec.parameters
        is_open = not names or "additionalProperties" in schema or "patternProperties" in schema
        extra = [name for name in arguments if name not in names]
        if extra and not is_open:
            raise self._input_error([unknown_names(extra, names)])

    def _input_error(self, problems: list[str]) -> SkillInputError:
        return SkillInputError(f"skill {self.name!r} cannot take these arguments: {'; '.join(problems)}")


_LONGEST_SECONDS = 30 * 86400.0
_TASK: dict[str, Json] = {
    "type": "object",
    "properties": {
        "task": {"type": "string", "minLength": 1, "description": "what it is to do, in words that stand alone"},
        "input": {"description": "data for it: any JSON"},
    },
    "required": ["task"],
    "additionalProperties": False,
}


def as_skill(agent: AgentSpec) -> CatalogueSkill:
    """An agent as programs and loops see it: a skill with a task, whose answer may be anything. What it does, it does
    once: a call that failed is not made again."""
    spec = SkillSpec(
        name=canonical_name(agent.name),
        description=agent.description or f"agent {agent.name}",
        tags=[*agent.tags],
        kind="agent",
        input_schema=_TASK,
        parameters=["task", "input"],
        effect="once",
        effect_declared=True,
        timeout_seconds=min(agent.limits.timeout_seconds or _LONGEST_SECONDS, _LONGEST_SECONDS),
        max_retries=0,
    )
    return CatalogueSkill(spec=spec, origin=agent.origin)


@dataclass(frozen=True)
class Catalogue:
    """What there is, by canonical name. Its hash stands for every byte of it: the same hash, the same doing."""

    skills: Mapping[str, CatalogueSkill] = field(default_factory=dict)
    contents: frozenset[bytes] = field(default=frozenset(), repr=False, compare=False)
    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    flows: Mapping[str, FlowSpec] = field(default_factory=dict)
    runs: Mapping[str, CatalogueSkill] = field(default_factory=dict)
    """The calls that run agents in Python, by agent."""

    def find(self, name: str) -> CatalogueSkill:
        """The skill of that name, or the agent as a skill; `code_analysis` finds `code-analysis`.

        Raises:
            UnknownSkill: says what is close, and what there is.
        """
        found = self.skills.get(canonical_name(name)) or self._called(canonical_name(name))
        if found is None:
            hint = suggestion(canonical_name(name), self.skills)
            text = f"no skill named {shown(name)};{hint} known: {listed(self.skills)}"
            raise UnknownSkill(text, available=sorted(self.skills))
        return found

    def _called(self, name: str) -> CatalogueSkill | None:
        agent = self.agents.get(name)
        return as_skill(agent) if agent is not None and agent.enabled else None

    def team(self, agent: AgentSpec) -> Sequence[AgentSpec]:
        """The agents that this one may delegate to, or call: those that it names and that are there; of a master that
        names none, all but masters."""
        others = [one for one in self.agents.values() if one.enabled and one is not agent]
        if agent.subagents is not None:
            named = [self.agents.get(canonical_name(name)) or self._agent_called(name) for name in agent.subagents]
            return [one for one in others if one in named]
        return [one for one in others if agent.strategy == "delegate" and one.strategy != "delegate"]

    def callable_agents(self, agent: AgentSpec) -> Sequence[SkillFacts]:
        """Those of its team that its programs, or its loop, may call. A skill of the same name wins. A master calls
        none: it delegates."""
        team = [] if agent.strategy == "delegate" else self.team(agent)
        return [as_skill(one).facts() for one in team if canonical_name(one.name) not in self.skills]

    def find_agent(self, name: str) -> AgentSpec:
        """The agent of that name, enabled or not; `my_assistant` finds `my-assistant`.

        Raises:
            UnknownAgent: says what is close, and what there is.
        """
        found = self.agents.get(canonical_name(name)) or self._agent_called(name)
        if found is None:
            there = sorted(agent.name for agent in self.agents.values())
            raise UnknownAgent(_nothing("agent", name, self.agents, there), available=there)
        return found

    def _agent_called(self, name: str) -> AgentSpec | None:
        """By the letters of its name, or an alias of its own: `CodeReviewer` finds `code-reviewer`."""
        wanted = letters_of(name)
        by_letters = (one for key, one in self.agents.items() if wanted == letters_of(key))
        by_alias = (one for one in self.agents.values() if wanted in map(letters_of, one.aliases))
        return next(by_letters, None) or next(by_alias, None) if wanted else None

    def find_flow(self, name: str) -> FlowSpec:
        """The flow of that name, enabled or not; `content-review` finds `content_review`.

        Raises:
            UnknownFlow: says what is close, and what there is.
        """
        found = self.flows.get(canonical_name(name))
        if found is None:
            there = sorted(flow.name for flow in self.flows.values())
            raise UnknownFlow(_nothing("flow", name, self.flows, there), available=there)
        return found

    def granted(self, names: list[str] | None = None) -> list[SkillFacts]:
        """What a workflow needs of the skills that a task may use; None means all of them.

        Raises:
            UnknownSkill: one of the names is not here.
        """
        chosen = (
            self.skills.values()
            if names is None
            else {self.find(name).name: self.find(name) for name in names}.values()
        )
        return [skill.facts() for skill in chosen]

    def save(self, blobs: BlobStore) -> str:
        """Store the snapshot, and the files of a catalogue that was loaded from disk. Returns the snapshot's hash."""
        for data in self.contents:
            blobs.put(data)
        text = json.dumps(self.snapshot(), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return blobs.put(text.encode())

    def snapshot(self) -> dict[str, Any]:
        skills = [skill.model_dump(mode="json") for skill in self.skills.values()]
        agents = [agent.model_dump(mode="json") for agent in self.agents.values()]
        flows = [flow.model_dump(mode="json") for flow in self.flows.values()]
        runs = [run.model_dump(mode="json") for run in self.runs.values()]
        own = {"runs": runs} if runs else {}
        return {"format": FORMAT, "skills": skills, "agents": agents, "flows": flows, **own}

    @classmethod
    def open(cls, blobs: BlobStore, sha: str) -> "Catalogue":
        """A snapshot by its hash; the same one is read once per process.

        Raises:
            NotFound: it was never stored in these blobs.
        """
        return _opened(blobs.root, sha)

    def list(self, tag: str | None = None) -> Sequence[SkillSummary]:
        """Light metadata of all skills, or of those with a tag (its case does not matter)."""
        wanted = tag.lower() if tag is not None else None
        return [
            skill.summary()
            for skill in self.skills.values()
            if wanted is None or wanted in (own.lower() for own in skill.spec.tags)
        ]


@lru_cache(maxsize=64)
def _opened(root: Path, sha: str) -> Catalogue:
    found = BlobStore(root).get_json(sha)
    if found.get("format") != FORMAT:
        raise OperatorError(
            f"catalogue {sha} has format {shown(found.get('format'))}; this version reads {FORMAT}: update it"
        )
    skills = (CatalogueSkill.model_validate(row) for row in found["skills"])
    agents = (AgentSpec.model_validate(row) for row in found.get("agents", []))  # Old snapshots have none.
    flows = (FlowSpec.model_validate(row) for row in found.get("flows", []))  # The same.
    runs = (CatalogueSkill.model_validate(row) for row in found.get("runs", []))
    return Catalogue(
        {skill.name: skill for skill in skills},
        agents={canonical_name(agent.name): agent for agent in agents},
        flows={canonical_name(flow.name): flow for flow in flows},
        runs={run.name.partition(":")[2]: run for run in runs},
    )


def _nothing(what: str, name: str, known: Iterable[str], there: list[str]) -> str:
    hint = suggestion(canonical_name(name), known)
    left_out = "a file with an error is left out: see GET /errors or `holdfast doctor`"
    return f"no {what} named {shown(name)};{hint} known: {listed(there)}; {left_out}"
