"""Twelve calls at once against a budget for five, under a model that takes tokens: topped up whenever it asks.

What a lost reply may have cost stays taken, so faults cost more top-ups; but never is more taken than allowed.
"""

from chaos.scenario import Hands, Scenario, agent, fenced
from holdfast.contracts.budget import BudgetState
from holdfast.contracts.program import FINAL
from holdfast.errors import HoldfastError

_SOURCE = """
import asyncio

found = await asyncio.gather(*[skills.note(i=i, ms=40) for i in range(12)])
result = sum(one["i"] for one in found)
"""
_MORE = {"add": {"tokens": 20_000, "calls": 4}}


async def _top_up(hands: Hands) -> None:
    while (task := await hands.task(0.3)).state not in FINAL:
        if task.budget is not None:
            _check(task.budget)
        for question in task.questions:
            if question.state == "open":
                await hands.pause(0.1, 1)
                await hands.answer(question.id, _MORE)


def _check(state: BudgetState) -> None:
    limit, taken, reserved = state.limit, state.taken, state.reserved
    for unit in ("tokens", "calls"):
        if getattr(taken, unit) + getattr(reserved, unit) > getattr(limit, unit):
            raise HoldfastError(f"overspent: {unit} taken {taken}, reserved {reserved}, allowed {limit}")


SCENARIO = Scenario(
    name="budgets",
    about="twelve calls against a budget for five",
    body=agent("Add twelve numbers", budget={"tokens": 20_000, "calls": 5}),
    output=sum(range(12)),
    calls=12,
    replies={"plan": '{"selected_skills": ["note"], "reasoning": "it fits"}', "program": fenced(_SOURCE)},
    drive=_top_up,
)
