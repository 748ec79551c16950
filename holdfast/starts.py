"""Types of tasks: what each takes, and the workflow that it becomes. Nothing is started here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.approvals import watched
from holdfast.blobs import BlobStore
from holdfast.contracts.agent import AgentSpec, Strategy
from holdfast.contracts.base import INLINE_ARGUMENT_BYTES, NATIVE_BYTES, Json, Value
from holdfast.contracts.budget import Budget
from holdfast.contracts.flow import FLOW_WORKFLOW
from holdfast.contracts.llm import Brief
from holdfast.contracts.message import TextPart
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import PROGRAM_WORKFLOW, Ask, Limits, ProgramSpec, Version
from holdfast.contracts.skill import SkillFacts
from holdfast.contracts.task import TaskRequest
from holdfast.contracts.work import TASK_WORKFLOW, FlowTask, TaskSpec
from holdfast.errors import (
    Conflict,
    InvalidRequest,
    ProgramInvalid,
    SkillInputError,
    UnknownAgent,
    UnknownSkill,
    UnknownTaskType,
    shown,
)
from holdfast.given import checked_parts, files_ref
from holdfast.ids import call_hash, call_id, canonical
from holdfast.names import RECALL, canonical_name, listed
from holdfast.said import brief, said
from holdfast.schemas import compiled
from holdfast.snapshot import Catalogue, CatalogueSkill, as_skill
from holdfast.source import Source, check, describe, normalise
from holdfast.typecheck import check_calls

AVAILABLE = ("agent:<name>", "workflow:<name>", "skill:<name>", "tool:<name>", "program")

_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "program": ("program",),
    "on_error": ("program",),
    "system_prompt": ("agent",),
    "strategy": ("agent",),
    "planning": ("agent",),
    "phrase": ("agent",),
    "skills": ("agent", "program"),
    "files": ("agent", "program"),
    "parts": ("agent",),
}


@dataclass(frozen=True)
class Wanted:
    """A request and what it is checked against. `inputs` is its input without e-mail addresses. `above`: see
    `TaskSpec`."""

    request: TaskRequest
    inputs: Json
    task: TaskRef
    catalogue: Catalogue
    sha: str
    blobs: BlobStore
    default_agent: str
    max_file_bytes: int
    above: Sequence[str] = ()

    def files_ref(self) -> str | None:
        """See `given.files_ref`."""
        return files_ref(self.request.files, self.blobs, self.max_file_bytes)


@dataclass(frozen=True)
class Start:
    """A workflow's type and its input. `name` is the agent's or the skill's; `source` is that of a sent program."""

    workflow: str
    spec: ProgramSpec | TaskSpec | FlowTask
    type: str
    name: str
    summary: str
    source: Version | None = None


def start(wanted: Wanted) -> Start:
    """Check a request whole, and say what it starts. It writes nothing but blobs, and those last.

    Raises:
        UserError: something is wrong with it.
    """
    kind, colon, name = wanted.request.type.partition(":")
    known = _KINDS.get(kind)
    wrong_name = (
        bool(colon) != bool(name) or (kind == "program" and colon) or (kind not in ("agent", "program") and not name)
    )
    if known is None or wrong_name:
        text = f"task type {shown(wanted.request.type)} is not known; available: {', '.join(AVAILABLE)}"
        raise UnknownTaskType(text, available=list(AVAILABLE))
    _check_fields(wanted.request, kind)
    return _budgeted(known(wanted, name), wanted.request.budget)


def _budgeted(found: Start, asked: Budget) -> Start:
    """With the budget that the request sets; of units that it leaves open, that of the agent holds."""
    own = found.spec.budget.model_dump() | asked.model_dump(exclude_none=True)
    budget = Budget.model_validate(own)
    spec = found.spec.model_copy(update={"budget": budget, "is_budgeted": budget.is_set})
    return replace(found, spec=spec)


def _check_fields(request: TaskRequest, kind: str) -> None:
    for name, kinds in _ONLY_FOR.items():
        if kind not in kinds and getattr(request, name) != TaskRequest.model_fields[name].default:
            raise InvalidRequest(f"{name}: a task of type {request.type!r} takes none; for {' and '.join(kinds)} only")


# programs


def _program(wanted: Wanted, _name: str) -> Start:
    request = wanted.request
    if request.program is None:
        raise InvalidRequest("program: is missing in the body; a task of type 'program' needs its source text")
    skills = _granted(wanted.catalogue, request.skills)
    source = checked_source(request.program, [wanted.catalogue.find(facts.name) for facts in skills])
    inputs = kept(wanted.blobs, wanted.inputs)
    spec = ProgramSpec(
        task=wanted.task,
        source=source.source,
        first_line=source.first_line,
        inputs=inputs.inline,
        inputs_ref=inputs.ref,
        files_ref=wanted.files_ref(),
        catalogue=wanted.sha,
        skills=skills,
        models=[request.model] if request.model else [],
        limits=request.limits,
        tuning=request.tuning,
        on_error="ask" if request.on_error == "ask" else "fail",
    )
    summary = f"program of {len(source.source.splitlines())} lines"
    version = Version(source=source.source, first_line=source.first_line)
    return Start(PROGRAM_WORKFLOW, spec.pinned(), "program", "", summary, version)


def checked_source(text: str, skills: Sequence[CatalogueSkill]) -> Source:
    """
    Raises:
        ProgramInvalid: it does not compile, names a skill that is not there, or calls one with arguments that it surely
            cannot take; each place is in `details`.
    """
    source = normalise(text)
    if problems := check(source, [skill.name for skill in skills]) or check_calls(source, skills):
        raise ProgramInvalid(describe(problems), problems=[vars(problem) for problem in problems])
    return source


def _granted(catalogue: Catalogue, names: list[str] | None) -> list[SkillFacts]:
    try:
        return catalogue.granted(names)
    except UnknownSkill as exc:
        raise InvalidRequest(f"skills: {exc}") from exc


# skills


def _skill(wanted: Wanted, name: str) -> Start:
    request, skill = wanted.request, wanted.catalogue.find(name)
    if skill.spec.kind == "agent":
        raise UnknownSkill(f"no skill named {shown(name)}; an agent is: ask for 'agent:{skill.name}'")
    spec = ProgramSpec(
        task=wanted.task,
        type=_typed(request.type, skill.name),
        call=_ask(wanted.blobs, skill, wanted.inputs),
        catalogue=wanted.sha,
        skills=[skill.facts()],
        models=[request.model] if request.model else [],
        limits=request.limits,
        tuning=request.tuning,
    )
    return Start(PROGRAM_WORKFLOW, spec.pinned(), spec.type, skill.name, f"skill {skill.name}")


def _ask(blobs: BlobStore, skill: CatalogueSkill, given: Json) -> Ask:
    """The call as a program would make it, with the same id.

    Raises:
        SkillInputError: the arguments do not fit the skill's input schema.
    """
    if given is not None and not isinstance(given, dict):
        takes = f"a mapping of its arguments: {listed(skill.spec.parameters)}"
        raise SkillInputError(f"skill {skill.name!r} cannot take {shown(given)}; `input` is {takes}")
    arguments = skill.bind([], given or {})
    filled = skill.check_input(arguments)
    ask = call_id(call_hash("program", skill.name, arguments), 1)
    if skill.spec.kind != "native":
        return Ask(id=ask, skill=skill.name, arguments=kept(blobs, arguments))
    size = len(canonical(filled))
    if size > NATIVE_BYTES:
        raise SkillInputError(f"arguments of {skill.name!r} have {size} bytes; the limit is {NATIVE_BYTES}")
    return Ask(id=ask, skill=skill.name, arguments=Value(inline=filled))


def _typed(asked: str, name: str) -> str:
    """The type with the name that the catalogue knows: `tool:Web_Search` -> `tool:web-search`."""
    return f"{asked.partition(':')[0]}:{name}"


# agents


def _agent(wanted: Wanted, name: str) -> Start:
    request, agent = wanted.request, _found(wanted.catalogue, name or wanted.default_agent)
    text = brief(wanted.inputs) if agent.strategy == "class" else said(wanted.inputs)
    skills = _allowed(wanted, agent)
    strategy = _strategy(request, agent, bool(skills))
    skills = _with_recall(wanted, skills, strategy)
    if request.files and strategy in ("direct", "loop", "delegate", "class"):
        raise InvalidRequest(f"files: agent {agent.name!r} has strategy {strategy!r} here: no program would read them")
    spec = TaskSpec(
        brief=_brief(wanted, agent, skills),
        type=_typed(request.type, agent.name),
        say=[TextPart(text=text), *checked_parts(request.parts, wanted.blobs, wanted.max_file_bytes)],
        inputs=kept(wanted.blobs, wanted.inputs),
        strategy=strategy,
        planning=request.planning or agent.planning,
        phrase=agent.phrase if request.phrase is None else request.phrase,
        output_schema=agent.output_schema,
        skills=skills,
        adapter=agent.sandbox,
        class_path=agent.class_path,
        limits=_limits(request.limits, agent),
        tuning=request.tuning,
        max_steps=agent.limits.max_steps,
        max_plan_steps=agent.limits.max_plan_steps,
        budget=agent.budget,
        clarification=agent.clarification,
        above=[*wanted.above],
        team=_team(wanted, agent) if strategy == "delegate" else [],
    )
    summary = f"agent {agent.name}: {brief(wanted.inputs)}"
    return Start(TASK_WORKFLOW, spec.pinned(), spec.type, agent.name, summary)


def _with_recall(wanted: Wanted, skills: list[SkillFacts], strategy: Strategy) -> list[SkillFacts]:
    """With the skill that reads what was cut, where a conversation may grow so long that it is cut."""
    grows = strategy == "loop" or (strategy == "ptc" and wanted.request.session_id is not None)
    if not grows or RECALL not in wanted.catalogue.skills or RECALL in {facts.name for facts in skills}:
        return skills
    return [*skills, wanted.catalogue.find(RECALL).facts()]


def _strategy(request: TaskRequest, agent: AgentSpec, has_skills: bool) -> Strategy:
    """An agent in Python has no other way, and nobody else can go this one."""
    asked = request.strategy
    if "class" in (asked, agent.strategy):
        if asked not in (None, agent.strategy):
            text = f"strategy: found {asked!r}; agent {agent.name!r} has strategy {agent.strategy!r}, "
            raise InvalidRequest(f"{text}and 'class' cannot be exchanged with another: it is the project's own Python")
        return "class"
    wanted = asked or agent.strategy
    return wanted if has_skills or wanted == "delegate" else "direct"


def _found(catalogue: Catalogue, name: str) -> AgentSpec:
    try:
        agent = catalogue.find_agent(name)
    except UnknownAgent as exc:
        raise UnknownAgent(str(exc), available=sorted(one.name for one in catalogue.agents.values())) from exc
    if not agent.enabled:
        raise Conflict(f"agent {agent.name!r} is switched off by `enabled: false` in its file; take another one")
    return agent


def _allowed(wanted: Wanted, agent: AgentSpec) -> list[SkillFacts]:
    """What the task may use: the agent's skills, and agents as such; or those of them that the request names. Engine
    skills are named, by one of them."""
    catalogue, names = wanted.catalogue, wanted.request.skills
    own = [*_granted(catalogue, agent.skills), *catalogue.callable_agents(agent)]
    above = _above(wanted, agent)
    if agent.approvals or above:
        own = [watched(facts, agent, above) for facts in own]
    if names is None:
        return own if agent.skills is not None else [facts for facts in own if facts.kind != "engine"]
    named = {facts.name for facts in _granted(catalogue, names)}
    known = [facts.name for facts in own]
    if missing := [name for name in sorted(named) if name not in known]:
        raise InvalidRequest(f"skills: agent {agent.name!r} may not use {listed(missing)}; it may use: {listed(known)}")
    return [facts for facts in own if facts.name in named]


def _above(wanted: Wanted, agent: AgentSpec) -> list[AgentSpec]:
    """The other agents on whose behalf this one works, if they have rules of approval."""
    above = [wanted.catalogue.find_agent(name) for name in wanted.above]
    return [one for one in above if one is not agent and one.approvals]


def _team(wanted: Wanted, agent: AgentSpec) -> list[SkillFacts]:
    """Those to whom it may delegate whose names rules of approval mean."""
    above = _above(wanted, agent)
    team = [watched(as_skill(one).facts(), agent, above) for one in wanted.catalogue.team(agent)]
    return [facts for facts in team if facts.is_watched]


def _brief(wanted: Wanted, agent: AgentSpec, skills: list[SkillFacts]) -> Brief:
    asked = wanted.request
    prompt = agent.system_prompt if asked.system_prompt is None else asked.system_prompt
    return Brief(
        task=wanted.task,
        catalogue=wanted.sha,
        agent=agent.name,
        models=[asked.model] if asked.model else agent.models,
        system=wanted.blobs.put(prompt.encode()) if prompt else None,
        skills=[facts.name for facts in skills],
        files_ref=wanted.files_ref(),
        max_retries=agent.retry.max_retries,
        retry_delay_seconds=agent.retry.delay_seconds,
        retry_backoff=agent.retry.backoff,
        subagents=[canonical_name(one.name) for one in wanted.catalogue.team(agent)],
    )


def _limits(asked: Limits, agent: AgentSpec) -> Limits:
    """The limits of a request; where it sets none, those of the agent."""
    own: dict[str, float | None] = {
        "max_repairs": agent.limits.max_repairs,
        "task_seconds": agent.limits.timeout_seconds,
        "run_seconds": agent.limits.run_seconds,
        "memory_bytes": agent.limits.memory_bytes,
    }
    kept_open = {name: value for name, value in own.items() if value is not None and name not in asked.model_fields_set}
    return asked.model_copy(update=kept_open)


# flows


def _flow(wanted: Wanted, name: str) -> Start:
    request, flow = wanted.request, wanted.catalogue.find_flow(name)
    if not flow.enabled:
        raise Conflict(f"flow {flow.name!r} is switched off by `enabled: false` in its file; take another one")
    if flow.input_schema is not None:
        problems = compiled(flow.input_schema).problems(wanted.inputs, "input")
        if problems:
            raise InvalidRequest(f"flow {flow.name!r} cannot take this: {'; '.join(problems)}")
    limits = request.limits
    if flow.timeout_seconds is not None and "task_seconds" not in limits.model_fields_set:
        limits = limits.model_copy(update={"task_seconds": flow.timeout_seconds})
    spec = FlowTask(
        task=wanted.task,
        type=_typed(request.type, flow.name),
        flow=flow,
        input=kept(wanted.blobs, wanted.inputs),
        catalogue=wanted.sha,
        models=[request.model] if request.model else [],
        limits=limits,
        tuning=request.tuning,
    )
    summary = f"flow {flow.name}: {brief(wanted.inputs)}"
    return Start(FLOW_WORKFLOW, spec.pinned(), spec.type, flow.name, summary)


_KINDS: Mapping[str, Callable[[Wanted, str], Start]] = {
    "program": _program,
    "agent": _agent,
    "workflow": _flow,
    "skill": _skill,
    "tool": _skill,
}


def kept(blobs: BlobStore, value: Json) -> Value:
    """A value inline, or, if its JSON is larger than 1 KiB, by reference."""
    size = len(canonical(value))
    return Value(ref=blobs.put_json(value), size_bytes=size) if size > INLINE_ARGUMENT_BYTES else Value(inline=value)
