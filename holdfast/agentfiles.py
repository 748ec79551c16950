"""From a file to an agent: `AgentSpec`, or the error that names file, line and key."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from holdfast.agentkeys import ALIASES, LATER, AgentKeys, LlmKeys, SkillEntry, known, path_of
from holdfast.contracts.agent import AgentLimits, AgentSpec, Retry
from holdfast.contracts.base import Origin
from holdfast.contracts.model import ModelSettings
from holdfast.errors import SpecInvalid, shown
from holdfast.names import canonical_name, listed, suggestion
from holdfast.skillschema import any_schema
from holdfast.sources import Sources
from holdfast.yamlfile import Document, read_mapping

MAX_PROMPT_BYTES = 256 * 1024
_WORDS = {
    "string_type": "allowed is text; put it in quotes",
    "bool_parsing": "allowed: true, false",
    "bool_type": "allowed: true, false",
    "dict_type": "allowed is a mapping",
    "model_type": "allowed is a mapping",
    "list_type": "allowed is a list",
    "int_type": "allowed is a whole number",
    "float_type": "allowed is a number",
    "string_too_short": "allowed is text that is not empty",
    "string_pattern_mismatch": "allowed are letters, digits, '_' and '-'",
}


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
    draft = _Draft(document)
    keys = draft.keys()
    prompt = _prompt(keys, file, sources, draft)
    spec = _spec(keys, prompt, file, draft)
    if spec.strategy == "direct" and spec.skills and keys.strategy:
        draft.warn("skills", "strategy 'direct' asks the model once and calls no skill; allowed with skills: 'ptc'")
    return ParsedAgent(spec, document.warnings)


def _spec(keys: AgentKeys, prompt: str, file: AgentFile, draft: "_Draft") -> AgentSpec:
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
        limits=AgentLimits(max_repairs=keys.limits.max_repairs, timeout_seconds=keys.limits.timeout_seconds),
        retry=Retry(max_retries=keys.retry.max_retries),
        output_schema=_output_schema(keys, draft),
        extra=_extra(keys),
        origin=file.origin,
    )


def _models(found: LlmKeys | list[LlmKeys] | None) -> list[ModelSettings]:
    several = found if isinstance(found, list) else [found] if found is not None else []
    return [ModelSettings.model_validate(one.model_dump()) for one in several]


def _skills(keys: AgentKeys, draft: "_Draft") -> list[str] | None:
    if keys.skills is None:
        return None
    names = [entry.name if isinstance(entry, SkillEntry) else entry for entry in keys.skills]
    for number, name in enumerate(names):
        if not canonical_name(name):
            raise draft.wrong(f"skills[{number}]", f"found {shown(name)}; allowed is the name of a skill")
    return list(dict.fromkeys(map(canonical_name, names)))


def _output_schema(keys: AgentKeys, draft: "_Draft") -> dict[str, Any] | None:
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
        "limits": keys.limits.model_dump(exclude={"max_repairs", "timeout_seconds"}, exclude_none=True),
        "retry": keys.retry.model_dump(exclude={"max_retries"}, exclude_none=True),
    }
    return found | {name: part for name, part in parts.items() if part}


def _prompt(keys: AgentKeys, file: AgentFile, sources: Sources, draft: "_Draft") -> str:
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


class _Draft:
    """A document by the keys of `AgentKeys`, and the keys as their author wrote them, for messages."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.written: dict[str, str] = {}
        self.values = self._named(document.values, "", "")

    def keys(self) -> AgentKeys:
        try:
            return AgentKeys.model_validate(self.values)
        except ValidationError as exc:
            raise self._told(exc) from None

    def wrong(self, path: str, message: str) -> SpecInvalid:
        return self.document.wrong(self._as_written(path), message)

    def warn(self, path: str, message: str) -> None:
        self.document.warn(self._as_written(path), message)

    def _named(self, values: dict[str, Any], place: str, path: str) -> dict[str, Any]:
        """The values by canonical key; a key without a value is one that is not there."""
        aliases, found = ALIASES[place], dict[str, Any]()
        for key, value in values.items():
            name = aliases.get(key, key)
            here, written = f"{path}{name}", f"{path}{key}"
            if value is None:
                continue
            if name in found:
                raise self.document.wrong(written, f"found beside {self.written.get(here, here)!r}; allowed is one")
            if here != written:
                self.written[here] = written
            found[name] = self._within(value, name, here) if place == "" else value
        return found

    def _within(self, value: Any, name: str, path: str) -> Any:
        match value:
            case dict() if name in ALIASES:
                return self._named(value, name, f"{path}.")
            case dict() if name == "limits":
                return {key: item for key, item in value.items() if item is not None}
            case list() if name == "llm_config":
                return [self._item(item, f"{path}[{number}]") for number, item in enumerate(value)]
        return value

    def _item(self, value: Any, path: str) -> Any:
        return self._named(value, "llm_config", f"{path}.") if isinstance(value, dict) else value

    def _as_written(self, path: str) -> str:
        """`llm_config[0].region` -> `models[0].aws_region`, if that is what the file says."""
        path = self.written.get(path, path)
        head = path[: min((path.find(mark) for mark in ".[" if mark in path), default=len(path))]
        return self.written.get(head, head) + path[len(head) :]

    def _told(self, exc: ValidationError) -> SpecInvalid:
        faults = [self._fault(path_of(error["loc"]), error) for error in exc.errors(include_url=False)]
        return min(faults, key=lambda fault: fault.line or 0)

    def _fault(self, path: str, error: ErrorDetails) -> SpecInvalid:
        if error["type"] == "extra_forbidden":
            place, _, key = path.rpartition(".")
            allowed = known(place)
            return self.wrong(path, f"unknown;{suggestion(key, allowed)} allowed: {listed(allowed)}")
        if error["type"] == "missing":
            return self.wrong(path, f"missing, and required; found {listed(error['input'])}")
        said = error["msg"].replace("Input should be", "allowed:")
        return self.wrong(path, f"found {shown(error['input'])}; {_WORDS.get(error['type'], said)}")
