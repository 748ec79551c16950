"""The keys of an agent's file: what each may hold. The model of the file, so that its JSON Schema is made from it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from holdfast.contracts.agent import Planning, Strategy
from holdfast.contracts.base import Json
from holdfast.contracts.model import ModelSettings

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
YesNo = Annotated[bool, Field(strict=False)]
"""Also `yes` and `no`, which the older systems' YAML read as true and false."""


class _Keys(BaseModel):
    """A mapping whose keys are all known: a key that is misspelt must not be a setting that is silently not made."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class LlmKeys(ModelSettings):
    """`llm_config`: one model, and how to ask it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class SkillEntry(_Keys):
    """A skill with facts of an older system beside its name; they are kept, and not acted on."""

    name: Word
    type: Literal["mcp", "function", "api"] | None = None
    url: str | None = None
    description: str | None = None
    auth: Json = None


class LimitKeys(_Keys):
    """Bounds of one task."""

    max_repairs: int = Field(default=5, ge=0, le=100)
    timeout_seconds: float | None = Field(default=None, gt=0, description="of the whole task, waits included")
    run_seconds: float | None = Field(default=None, gt=0, le=3600, description="of a program's own running time")
    memory_bytes: int | None = Field(default=None, ge=64 << 20, description="of a program's box")
    max_steps: int | None = Field(default=None, ge=1, description="kept, not acted on yet")
    max_plan_steps: int | None = Field(default=None, ge=1, description="kept, not acted on yet")
    max_cost_usd: float | None = Field(default=None, ge=0, description="kept, not acted on yet")


class RetryKeys(_Keys):
    """How often a failed LLM call is tried again."""

    max_retries: int = Field(default=2, ge=0, le=100)
    delay_seconds: float | None = Field(default=None, ge=0, description="kept, not acted on yet")
    backoff: float | None = Field(default=None, ge=1, description="kept, not acted on yet")
    exponential_backoff: YesNo | None = Field(default=None, description="kept, not acted on yet")


MARK = "<"
"""Begins the tags of shapes. pydantic puts them into the place of an error, where no reader wants them."""


Models = Annotated[
    Annotated[LlmKeys, Tag("<mapping>")] | Annotated[list[LlmKeys], Tag("<list>")],
    Discriminator(lambda value: "<list>" if isinstance(value, list) else "<mapping>"),
]
Entry = Annotated[
    Annotated[Word, Tag("<name>")] | Annotated[SkillEntry, Tag("<mapping>")],
    Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<name>"),
]


class AgentKeys(_Keys):
    """An agent's file, `agents/<name>.yaml`. See docs/agents.md."""

    name: Name
    description: str = ""
    agent_type: str = ""
    enabled: YesNo = True
    execution_mode: Literal["autonomous", "collaborative", "continuous", "scheduled"] = "autonomous"
    strategy: Strategy | None = Field(default=None, description="default: ptc if it may use any skill, else direct")
    planning: Planning = "split"
    phrase: YesNo = False
    llm_config: Models | None = Field(default=None, description="a list: the next when one is down")
    system_prompt: str = ""
    system_prompt_file: str | None = Field(default=None, description="a text file, relative to this one")
    skills: list[Entry] | None = Field(default=None, description="not given: all; []: none")
    tags: list[Word] = []
    event_subscriptions: list[Word] = []
    limits: LimitKeys = LimitKeys()
    retry: RetryKeys = RetryKeys()
    output_schema: dict[str, Json] | None = None
    class_: str | None = Field(default=None, alias="class", description="kept, not acted on yet")
    subagents: list[Word] | None = Field(default=None, description="kept, not acted on yet")
    schedule_config: dict[str, Json] | None = Field(default=None, description="kept, not acted on yet")
    session: dict[str, Json] | None = Field(default=None, description="kept, not acted on yet")
    continuous_config: dict[str, Json] | None = Field(default=None, description="kept, not acted on yet")
    clarification: dict[str, Json] | None = Field(default=None, description="kept, not acted on yet")
    collaborative_config: dict[str, Json] | None = Field(default=None, description="kept, not acted on yet")
    sandbox: dict[str, Json] | None = Field(default=None, description="`adapter` of its programs; the rest is kept")


LATER = (
    *("class_", "subagents", "schedule_config", "session", "continuous_config"),
    *("clarification", "collaborative_config"),
)
"""Fields that are read and kept; nothing acts on them in this version."""

ALIASES: dict[str, dict[str, str]] = {
    "": {"tools": "skills", "available_skills": "skills", "models": "llm_config", "retry_config": "retry"},
    "llm_config": {"aws_region": "region", "timeout": "timeout_seconds", "base_url": "api_base"},
    "retry": {"retry_delay_seconds": "delay_seconds"},
}
"""Other names of keys, by the key that they are in."""

_PLACES: dict[str, type[BaseModel]] = {
    "": AgentKeys,
    "llm_config": LlmKeys,
    "skills": SkillEntry,
    "limits": LimitKeys,
    "retry": RetryKeys,
}


def known(place: str) -> list[str]:
    """The keys that the mapping at a path may have: `llm_config[0]` -> provider, model, …"""
    name = place.partition("[")[0]
    fields = _PLACES[name].model_fields
    return [*(field.alias or name for name, field in fields.items()), *ALIASES.get(name, ())]


def path_of(loc: tuple[str | int, ...]) -> str:
    """The place of a pydantic error as messages write it: `llm_config[0].model`."""
    steps = [step for step in loc if not str(step).startswith(MARK)]
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def schema() -> dict[str, Any]:
    """The JSON Schema of an agent's file, other names of keys included: for editors."""
    found = AgentKeys.model_json_schema()
    parts = {"": found, "llm_config": found["$defs"]["LlmKeys"], "retry": found["$defs"]["RetryKeys"]}
    for place, aliases in ALIASES.items():
        properties = parts[place]["properties"]
        properties.update({alias: {**properties[name], "title": alias} for alias, name in aliases.items()})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "AgentFile"}
