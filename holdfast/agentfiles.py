"""From a file to an agent: `AgentSpec`, or the error that names file, line and key."""

import re
from dataclasses import dataclass, field
from typing import Any

from holdfast.agentforms import SUBAGENT_CONSTRAINTS, AgentDraft, AgentFile, agent_drafts
from holdfast.agentkeys import LATER, AgentKeys, DefaultKeys, SkillEntry
from holdfast.agentlimits import budget_of, limits_of, models_of, over, retry_of
from holdfast.agentpeople import CLARIFICATION, approvals_of, clarification_of
from holdfast.agentsessions import session_of, unused
from holdfast.contracts.agent import AgentSpec, Strategy
from holdfast.contracts.timing import Scheduled
from holdfast.errors import InvalidRequest, SpecInvalid, shown
from holdfast.names import canonical_name
from holdfast.said import said
from holdfast.schedulekeys import Fault, scheduled
from holdfast.skillschema import any_schema
from holdfast.sources import Sources

MAX_PROMPT_BYTES = 256 * 1024
_SUBAGENT_PROMPT = "prompts/system.txt"
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*")


@dataclass(frozen=True)
class ParsedAgent:
    spec: AgentSpec
    warnings: list[str] = field(default_factory=list)


def parse_agent(file: AgentFile, sources: Sources, defaults: DefaultKeys | None = None) -> ParsedAgent:
    """Read a file with one agent.

    Raises:
        SpecInvalid: names the file, the line where there is one, the key, what was found and what is allowed.
    """
    [draft] = agent_drafts(file, sources)
    return ParsedAgent(spec_of(draft, file, sources, defaults), draft.document.warnings)


def spec_of(draft: AgentDraft, file: AgentFile, sources: Sources, defaults: DefaultKeys | None = None) -> AgentSpec:
    """
    Raises:
        SpecInvalid: as `parse_agent`.
    """
    keys = draft.keys()
    prompt = _prompt(keys, file, sources, draft)
    of_form = DefaultKeys(constraints=SUBAGENT_CONSTRAINTS) if file.form == "subagent" else DefaultKeys()
    spec = _spec(keys, prompt, file, draft, over(defaults or DefaultKeys(), of_form))
    if spec.strategy == "direct" and spec.skills and keys.strategy:
        draft.warn("skills", "strategy 'direct' asks the model once and calls no skill; allowed with skills: 'ptc'")
    return spec


def _spec(keys: AgentKeys, prompt: str, file: AgentFile, draft: AgentDraft, defaults: DefaultKeys) -> AgentSpec:
    skills = _skills(keys, draft)
    if skills is None and not file.says_all:
        skills = []
    return AgentSpec(
        name=keys.name,
        aliases=keys.aliases,
        description=keys.description.strip(),
        agent_type=keys.agent_type,
        enabled=keys.enabled,
        execution_mode=keys.execution_mode,
        strategy=_strategy(keys, skills, draft),
        planning=keys.planning,
        phrase=keys.phrase,
        models=models_of(keys.llm_config, defaults),
        system_prompt=prompt,
        skills=skills,
        subagents=_subagents(keys, draft),
        class_path=_class_path(keys, draft),
        tags=keys.tags,
        event_subscriptions=keys.event_subscriptions,
        limits=limits_of(keys, defaults, draft),
        retry=retry_of(keys.retry, defaults),
        budget=budget_of(keys, defaults, draft),
        sandbox=_sandbox(keys, draft),
        output_schema=_output_schema(keys, draft),
        clarification=clarification_of(keys, draft),
        approvals=approvals_of(keys, draft),
        schedule=_schedule(keys, draft),
        session=session_of(keys.session, keys.continuous_config, draft),
        extra=_extra(keys),
        origin=file.origin,
    )


def _strategy(keys: AgentKeys, skills: list[str] | None, draft: AgentDraft) -> Strategy:
    if (keys.strategy or "class") != "class" and keys.class_ is not None:
        raise draft.wrong("class", f"found beside strategy {keys.strategy!r}; allowed with strategy 'class' only")
    if keys.strategy == "class" and keys.class_ is None:
        raise draft.wrong("strategy", "found 'class' and no key 'class'; it is needed: 'module:Class'")
    if keys.strategy is not None:
        return keys.strategy
    if keys.class_ is not None:
        return "class"
    if keys.execution_mode == "collaborative":
        return "delegate"
    return "direct" if skills == [] else "ptc"


def _class_path(keys: AgentKeys, draft: AgentDraft) -> str:
    """`app.agents.summarizer.SummarizerAgent` -> `app.agents.summarizer:SummarizerAgent`."""
    if keys.class_ is None:
        return ""
    if not _CLASS.fullmatch(keys.class_):
        raise draft.wrong("class", f"found {shown(keys.class_)}; allowed is 'module:Class' or 'package.module.Class'")
    module, _, name = keys.class_.replace(":", ".").rpartition(".")
    return f"{module}:{name}"


def _subagents(keys: AgentKeys, draft: AgentDraft) -> list[str] | None:
    preferred, path = keys.collaborative_config.preferred_collaborators, "subagents"
    if preferred is not None:
        path = "collaborative_config.preferred_collaborators"
        if keys.subagents is not None:
            raise draft.wrong(path, "found beside 'subagents'; allowed is one")
    names = keys.subagents if preferred is None else preferred
    return None if names is None else _canonical(names, path, "an agent", draft)


def _skills(keys: AgentKeys, draft: AgentDraft) -> list[str] | None:
    if keys.skills is None:
        return None
    names = [entry.name if isinstance(entry, SkillEntry) else entry for entry in keys.skills]
    return _canonical(names, "skills", "a skill", draft)


def _canonical(names: list[str], path: str, what: str, draft: AgentDraft) -> list[str]:
    for number, name in enumerate(names):
        if not canonical_name(name):
            raise draft.wrong(f"{path}[{number}]", f"found {shown(name)}; allowed is the name of {what}")
    return list(dict.fromkeys(map(canonical_name, names)))


def _sandbox(keys: AgentKeys, draft: AgentDraft) -> str:
    """Only a name: which adapters there are is for the worker to say."""
    found = (keys.sandbox or {}).get("adapter", "")
    if not isinstance(found, str):
        raise draft.wrong("sandbox.adapter", f"found {shown(found)}; allowed is the name of a sandbox adapter")
    return found


def _output_schema(keys: AgentKeys, draft: AgentDraft) -> dict[str, Any] | None:
    if keys.output_schema is None:
        return None
    try:
        schema, warnings = any_schema(keys.output_schema)
    except ValueError as exc:
        raise draft.wrong("output_schema", str(exc)) from None
    for warning in warnings:
        draft.warn("output_schema", warning)
    return schema


def _schedule(keys: AgentKeys, draft: AgentDraft) -> Scheduled | None:
    if keys.schedule_config is None:
        if keys.execution_mode == "scheduled":
            needed = "'schedule_config' is needed: {type: cron, cron: \"0 0 * * *\", task_data: {prompt: …}}"
            raise draft.wrong("execution_mode", f"found 'scheduled' and no key {needed}")
        return None
    try:
        found = scheduled(keys.schedule_config, draft.document.file)
        said(found.input)
    except Fault as exc:
        raise draft.wrong(f"schedule_config.{exc.key}", exc.message) from None
    except InvalidRequest as exc:
        raise draft.wrong("schedule_config.task_data", str(exc).removeprefix("input: ")) from None
    return found


def _extra(keys: AgentKeys) -> dict[str, Any]:
    """What later versions act on, as it stands in the file."""
    found = keys.model_dump(mode="json", by_alias=True, include=set(LATER), exclude_none=True)
    entries = [one.model_dump(exclude_none=True) for one in keys.skills or [] if isinstance(one, SkillEntry)]
    used = {"preferred_collaborators", "max_plan_steps", *CLARIFICATION}
    parts = {
        "skills": entries,
        **unused(keys.session, keys.continuous_config),
        "collaborative_config": keys.collaborative_config.model_dump(exclude=used, exclude_none=True),
        "sandbox": {key: value for key, value in (keys.sandbox or {}).items() if key != "adapter"},
    }
    return found | {name: part for name, part in parts.items() if part}


def _prompt(keys: AgentKeys, file: AgentFile, sources: Sources, draft: AgentDraft) -> str:
    if keys.system_prompt_file is None:
        if file.form == "subagent" and not keys.system_prompt:
            return sources.text_if_there(file.path.parent / _SUBAGENT_PROMPT, file.root, _SUBAGENT_PROMPT).strip()
        return keys.system_prompt.strip()
    key = "system_prompt_file"
    if keys.system_prompt:
        raise draft.wrong(key, "found beside 'system_prompt'; allowed is one of the two")
    path = file.path.parent / keys.system_prompt_file
    try:
        return sources.text(path, file.root, keys.system_prompt_file, MAX_PROMPT_BYTES).strip()
    except SpecInvalid as exc:
        raise draft.wrong(key, str(exc)) from None
