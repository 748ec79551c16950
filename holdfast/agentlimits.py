"""What an agent inherits of `config/agents.config.yaml`, and the bounds that several keys may say."""

from typing import Any

from pydantic import BaseModel

from holdfast.agentforms import AgentDraft, with_model
from holdfast.agentkeys import DEFAULTS, AgentKeys, BudgetKeys, DefaultKeys, LimitKeys, LlmKeys, RetryKeys
from holdfast.contracts.agent import AgentLimits, Retry
from holdfast.contracts.budget import Budget
from holdfast.contracts.model import ModelSettings
from holdfast.filedraft import Draft
from holdfast.yamlfile import read_mapping

_BUDGET = {"max_cost_usd": "usd", "max_tokens": "tokens", "max_calls": "calls"}


def read_defaults(text: str, label: str) -> DefaultKeys:
    """What `config/agents.config.yaml` says.

    Raises:
        SpecInvalid: names file, line and key.
    """
    document = read_mapping(text, label)
    values, origins = with_model(document.values)
    return Draft(document, DEFAULTS, values, origins=origins).keys()


def over(first: DefaultKeys, then: DefaultKeys) -> DefaultKeys:
    """The first, and what it does not say, as the second has it."""
    parts = {
        name: {**_said(getattr(then, name)), **_said(getattr(first, name))}
        for name in ("limits", "budget", "constraints", "retry")
    }
    merged = DefaultKeys.model_validate(parts)
    return merged.model_copy(update={"llm_config": first.llm_config or then.llm_config})


def models_of(found: LlmKeys | list[LlmKeys] | None, defaults: DefaultKeys) -> list[ModelSettings]:
    """The models of an agent. One that names neither a provider nor a model is said of the first of the defaults."""
    inherited = _several(defaults.llm_config)
    if found is None:
        return inherited
    if inherited and isinstance(found, LlmKeys) and found.provider is None and found.model is None:
        return [ModelSettings.model_validate({**inherited[0].model_dump(), **found.model_dump(exclude_unset=True)})]
    return _several(found)


def _several(found: LlmKeys | list[LlmKeys] | None) -> list[ModelSettings]:
    several = found if isinstance(found, list) else [found] if found is not None else []
    return [ModelSettings.model_validate(one.model_dump()) for one in several]


def limits_of(keys: AgentKeys, defaults: DefaultKeys, draft: AgentDraft) -> AgentLimits:
    limits, inherited = _said(keys.limits), _said(defaults.limits)
    plan_steps = keys.collaborative_config.max_plan_steps
    if plan_steps is not None:
        if "max_plan_steps" in limits:
            raise draft.wrong("collaborative_config.max_plan_steps", "found beside 'limits.max_plan_steps'")
        limits["max_plan_steps"] = plan_steps
    bounds = _bounds(defaults) | inherited | _bounds(keys) | limits
    return AgentLimits.model_validate({key: value for key, value in bounds.items() if key not in _BUDGET})


def _bounds(of: AgentKeys | DefaultKeys) -> dict[str, Any]:
    """`constraints` as limits: iterations are repairs of a program, and turns of a loop."""
    found, seconds = of.constraints.max_iterations, of.constraints.timeout
    bounds = {} if found is None else {"max_repairs": found, "max_steps": found}
    return bounds if seconds is None else {**bounds, "timeout_seconds": seconds / 1000}


def budget_of(keys: AgentKeys, defaults: DefaultKeys, draft: AgentDraft) -> Budget:
    for limit, unit in _BUDGET.items():
        if getattr(keys.limits, limit) is not None and getattr(keys.budget, unit) is not None:
            raise draft.wrong(f"limits.{limit}", f"found beside 'budget.{unit}'; allowed is one")
    own = _budget(keys.limits, keys.budget)
    return Budget.model_validate({**_budget(defaults.limits, defaults.budget), **own})


def _budget(limits: LimitKeys, budget: BudgetKeys) -> dict[str, Any]:
    found = {unit: getattr(limits, limit) for limit, unit in _BUDGET.items()} | _said(budget)
    return {unit: str(value) if unit == "usd" else value for unit, value in found.items() if value is not None}


def retry_of(keys: RetryKeys, defaults: DefaultKeys) -> Retry:
    found = _said(defaults.retry) | _said(keys)
    doubles = found.pop("exponential_backoff", None)
    if doubles is not None:
        found.setdefault("backoff", 2.0 if doubles else 1.0)
    return Retry.model_validate(found)


def _said(keys: BaseModel) -> dict[str, Any]:
    return keys.model_dump(exclude_unset=True, exclude_none=True)
