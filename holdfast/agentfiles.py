"""From a file to an agent: `AgentSpec`, or the error that names file, line and key."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.agentdraft import AgentDraft
from holdfast.agentkeys import LATER, AgentKeys, LlmKeys, SkillEntry
from holdfast.contracts.agent import AgentLimits, AgentSpec, Retry
from holdfast.contracts.base import Origin
from holdfast.contracts.model import ModelSettings
from holdfast.errors import SpecInvalid, shown
from holdfast.names import canonical_name
from holdfast.skillschema import any_schema
from holdfast.sources import Sources
from holdfast.yamlfile import read_mapping

MAX_PROMPT_BYTES = 256 * 1024
_LIMITS = set(AgentLimits.model_fields)


@dataclass(frozen=True)
class AgentFile:
    """Where an agent stands. `label` is how messages call the file; `root` is the folder that it must not lead out of.

    `says_all`: without the key `skills` it may use every skill. agentrunner's files, which knew no skills, mean none.
    """

    path: Path
    label: str
    root: Path
    origin: Origin = "project"
    says_all: bool = True


@dataclass(frozen=True)
class ParsedAgent:
    spec: AgentSpec
    warnings: list[str] = field(default_factory=list)


def parse_agent(file: AgentFile, sources: Sources) -> ParsedAgent:
    """Read one file.

    Raises:
        SpecInvalid: names the file, the line where there is one, the key, what was found and what is allowed.
    """
    document = read_mapping(sources.text(file.path, file.root, file.label), file.label)
    draft = AgentDraft(document)
    keys = draft.keys()
    prompt = _prompt(keys, file, sources, draft)
    spec = _spec(keys, prompt, file, draft)
    if spec.strategy == "direct" and spec.skills and keys.strategy:
        draft.warn("skills", "strategy 'direct' asks the model once and calls no skill; allowed with skills: 'ptc'")
    return ParsedAgent(spec, document.warnings)


def _spec(keys: AgentKeys, prompt: str, file: AgentFile, draft: AgentDraft) -> AgentSpec:
    skills = _skills(keys, draft)
    if skills is None and not file.says_all:
        skills = []
    return AgentSpec(
        name=keys.name,
        description=keys.description.strip(),
        agent_type=keys.agent_type,
        enabled=keys.enabled,
        execution_mode=keys.execution_mode,
        strategy=keys.strategy or ("direct" if skills == [] else "ptc"),
        planning=keys.planning,
        phrase=keys.phrase,
        models=_models(keys.llm_config),
        system_prompt=prompt,
        skills=skills,
        tags=keys.tags,
        event_subscriptions=keys.event_subscriptions,
        limits=AgentLimits(**keys.limits.model_dump(include=_LIMITS, exclude_none=True)),
        retry=Retry(max_retries=keys.retry.max_retries),
        sandbox=_sandbox(keys, draft),
        output_schema=_output_schema(keys, draft),
        extra=_extra(keys),
        origin=file.origin,
    )


def _models(found: LlmKeys | list[LlmKeys] | None) -> list[ModelSettings]:
    several = found if isinstance(found, list) else [found] if found is not None else []
    return [ModelSettings.model_validate(one.model_dump()) for one in several]


def _skills(keys: AgentKeys, draft: AgentDraft) -> list[str] | None:
    if keys.skills is None:
        return None
    names = [entry.name if isinstance(entry, SkillEntry) else entry for entry in keys.skills]
    for number, name in enumerate(names):
        if not canonical_name(name):
            raise draft.wrong(f"skills[{number}]", f"found {shown(name)}; allowed is the name of a skill")
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


def _extra(keys: AgentKeys) -> dict[str, Any]:
    """What later versions act on, as it stands in the file."""
    found = keys.model_dump(mode="json", by_alias=True, include=set(LATER), exclude_none=True)
    entries = [one.model_dump(exclude_none=True) for one in keys.skills or [] if isinstance(one, SkillEntry)]
    parts = {
        "skills": entries,
        "limits": keys.limits.model_dump(exclude=_LIMITS, exclude_none=True),
        "retry": keys.retry.model_dump(exclude={"max_retries"}, exclude_none=True),
        "sandbox": {key: value for key, value in (keys.sandbox or {}).items() if key != "adapter"},
    }
    return found | {name: part for name, part in parts.items() if part}


def _prompt(keys: AgentKeys, file: AgentFile, sources: Sources, draft: AgentDraft) -> str:
    if keys.system_prompt_file is None:
        return keys.system_prompt.strip()
    key = "system_prompt_file"
    if keys.system_prompt:
        raise draft.wrong(key, "found beside 'system_prompt'; allowed is one of the two")
    path = file.path.parent / keys.system_prompt_file
    try:
        return sources.text(path, file.root, keys.system_prompt_file, MAX_PROMPT_BYTES).strip()
    except SpecInvalid as exc:
        raise draft.wrong(key, str(exc)) from None
