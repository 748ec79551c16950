"""Models: which one to ask, what is asked of it, and what that took."""

from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field

from holdfast.contracts.base import Contract

TASK_HEADER = "X-Holdfast-Task"
"""Goes with each request to a model, and holds the trace id: our own API refuses it, so that no agent calls itself."""


class ModelSettings(Contract):
    """Which model, and how to ask it (`llm_config` of an agent). What is not set is the worker's default.

    `host` is R's name for a local server's address, `api_base` that of any other endpoint; both end up as the base URL.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    provider: str | None = None
    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    stop_sequences: list[str] = []
    region: str | None = None
    host: str | None = None
    api_base: str | None = None
    timeout_seconds: float = Field(default=60.0, gt=0, le=3600)
    context_tokens: int | None = Field(default=None, ge=1024, description="of its window; default: what is known of it")


class Usage(Contract):
    """What one request to a model took. `input_tokens` includes the cached ones. `cost` is USD; None: not known.

    `lost` counts requests to other models that failed before this one: they may have cost something, which nobody told.
    """

    provider: str
    model: str
    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    cost: Decimal | None = None
    lost: int = Field(default=0, ge=0)


class Spent(Contract):
    """What a task took of models. `cost` adds up what is known; `unknown` counts requests whose cost is not."""

    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal | None = None
    unknown: int = 0
    model: str | None = None

    def plus(self, usage: Usage) -> "Spent":
        """With one more request. `model` is `provider:model` of the latest."""
        cost = self.cost if usage.cost is None else (self.cost or Decimal(0)) + usage.cost
        return Spent(
            llm_calls=self.llm_calls + 1,
            input_tokens=self.input_tokens + usage.input_tokens,
            output_tokens=self.output_tokens + usage.output_tokens,
            cached_tokens=self.cached_tokens + usage.cached_tokens,
            cost=cost,
            unknown=self.unknown + (usage.cost is None),
            model=f"{usage.provider}:{usage.model}",
        )

    def joined(self, other: "Spent") -> "Spent":
        """Both together: of a task and of its program."""
        known = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Spent(
            llm_calls=self.llm_calls + other.llm_calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost=sum(known, Decimal(0)) if known else None,
            unknown=self.unknown + other.unknown,
            model=other.model or self.model,
        )


LlmStep = Literal["plan", "program", "answer", "turn", "merge"]


class LlmCall(Contract):
    """One recorded LLM call of a task, for people. `prompt` is the hash of the prompt template that was used."""

    step: LlmStep
    detail: str = ""
    started_at: float
    ended_at: float
    prompt: str = ""
    usage: list[Usage] = []
