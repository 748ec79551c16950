"""Budgets: what a task and all tasks that it starts may take together."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from holdfast.contracts.base import Contract

BudgetUnit = Literal["tokens", "usd", "calls", "seconds"]


class Budget(Contract):
    """Limits of a whole tree of tasks; None: no limit. `tokens` are input and output of all LLM requests, `calls` those
    of skills, `seconds` wall time from the start, without the time in which the task waits for a top-up."""

    tokens: int | None = Field(default=None, ge=0)
    usd: Decimal | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)

    @property
    def is_set(self) -> bool:
        return any(value is not None for value in (self.tokens, self.usd, self.calls, self.seconds))


class Amount(Contract):
    """What a piece of work may take at most, or has taken. `usd` None: the price is not known."""

    tokens: int = 0
    usd: Decimal | None = Decimal(0)
    calls: int = 0


class Reserve(Contract):
    """Signal `budget_reserve` to the root's workflow: `by` is the id of the workflow that wants to begin `key`.

    The same key again is the same reservation.
    """

    by: str
    key: str
    amount: Amount
    what: str = ""


class Settle(Contract):
    """Signal `budget_settle`: what was taken. The rest of the reservation is free again."""

    by: str
    key: str
    took: Amount


class Grant(Contract):
    """Signal `budget_grant` from the root: `key` may begin, or, with `refused`, never will."""

    key: str
    refused: str = ""


class TopUp(Contract):
    """Update `top_up` of the root: what is added to the limits. A unit without a limit stays without one."""

    add: Budget
    by: str | None = None


class BudgetState(Contract):
    """How a budget stands. `reserved` is part of neither `limit` nor `taken`. `waiting` are pieces of work that do not
    fit into what is left; `unknown` counts requests whose price nobody knows: they are in no figure of `usd`."""

    limit: Budget = Budget()
    taken: Amount = Amount()
    reserved: Amount = Amount()
    seconds: float = 0.0
    waiting: int = 0
    unknown: int = 0


SIGNAL_RESERVE = "budget_reserve"
SIGNAL_SETTLE = "budget_settle"
SIGNAL_GRANT = "budget_grant"
UPDATE_TOP_UP = "top_up"
BUDGET_EXHAUSTED = "BudgetExhausted"
"""Type of the failure of a task whose budget is used up, and to which nobody wanted to add."""
