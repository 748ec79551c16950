"""How a task ended, as its row keeps it."""

from decimal import Decimal
from typing import Any

from holdfast.contracts.base import Value
from holdfast.contracts.flow import StepRun
from holdfast.contracts.model import Spent
from holdfast.contracts.program import ProgramResult
from store.records import Changes


def columns(result: ProgramResult) -> Changes:
    """What a final change of state writes along. `source_ref` is the last program of a model, where there is one."""
    value = result.value or Value()
    found = Changes(
        output=value.inline,
        output_ref=value.ref,
        files_ref=result.files_ref,
        failure=result.error.model_dump(mode="json") if result.error else None,
        journal=result.journal,
        stdout=result.stdout,
        version=result.version,
        calls=result.calls,
        repairs=result.repairs,
        suspensions=result.suspensions,
        generations=result.generations,
        llm=[call.model_dump(mode="json") for call in result.llm],
        workflow_state=_state(result),
        budget=result.budget.model_dump(mode="json") if result.budget else None,
    )
    if result.source is not None:
        found["source_ref"] = result.source
    return found | took(result.spent)


def _state(result: ProgramResult) -> dict[str, Any] | None:
    if not (result.flow or result.steps):
        return None
    flow = result.flow.model_dump(mode="json") if result.flow else None
    return {"flow": flow, "steps": [_step(run) for run in result.steps]}


def _step(run: StepRun) -> dict[str, Any]:
    return run.model_dump(mode="json", exclude_defaults=True, exclude={"output"} if run.child else set())


def took(spent: Spent) -> Changes:
    """What a task took of models."""
    return Changes(
        llm_calls=spent.llm_calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost=cost(spent),
        model=spent.model,
    )


def cost(spent: Spent) -> Decimal | None:
    """USD. Not known if that of one request is not; that of no request is nothing."""
    return None if spent.unknown else spent.cost or Decimal(0)
