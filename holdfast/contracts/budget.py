"""Budgets: what a task and all tasks that it starts may take together."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from holdfast.contracts.base import ActivityRef, Contract, Failure, Json
from holdfast.contracts.model import ModelSettings, Usage

BudgetUnit = Literal["tokens", "usd", "calls", "seconds"]

Usd = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json-unless-none")]
"""A number in JSON. What a ledger counts is in whole billionths of a dollar, which a float keeps exactly."""


class Budget(Contract):
    """Limits of a whole tree of tasks; None: no limit. `tokens` are input and output of all LLM requests, `calls` those
    of skills, `seconds` wall time from the start, without the time in which the task waits for a top-up."""

    tokens: int | None = Field(default=None, ge=0)
    usd: Usd | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)

    @property
    def is_set(self) -> bool:
        return any(value is not None for value in (self.tokens, self.usd, self.calls, self.seconds))


class Amount(Contract):
    """What a piece of work may take at most, or has taken. `usd` None: the price is not known."""

    tokens: int = 0
    usd: Usd | None = Decimal(0)
    calls: int = 0


class Reserve(Contract):
    """`by` is the id of the workflow that wants to begin `key`. The same key again is the same reservation.

    `unpriced` names models whose price is not known.
    """

    by: str
    key: str
    amount: Amount
    what: str = ""
    unpriced: str = ""


class Settle(Contract):
    """What was taken. The rest of the reservation is free again."""

    by: str
    key: str
    took: Amount


class Spending(Contract):
    """Signals `budget_reserve` and `budget_settle` to the root's workflow: all that a workflow has to say at once.

    First `settled` is settled, then `wanted` is reserved, in this order. `calls` were made without asking: they were
    free, or lent. `is_idle`: what was lent and not used is given back. `ended`: this workflow, and all below it, wants
    nothing more: what it was granted counts as taken.
    """

    by: str = ""
    settled: list[Settle] = []
    wanted: list[Reserve] = []
    calls: int = 0
    is_idle: bool = False
    ended: str = ""


class Grant(Contract):
    """Signal `budget_grant` from the root: these keys may begin; these wait for a top-up; these never will begin, for
    the reason given. `free_calls`: calls have no limit, and need not be asked for; `lent`: neither need so many more.
    Both hold until the budget's time is used up (`until`, UTC seconds since 1970; None: it has no such limit)."""

    granted: list[str] = []
    waiting: list[str] = []
    refused: dict[str, Failure] = {}
    free_calls: bool = False
    lent: int = 0
    until: float | None = None


class TopUp(Contract):
    """Update `top_up` of the root: what is added to the limits. A unit without a limit stays without one."""

    add: Budget
    by: str | None = None


class BudgetState(Contract):
    """How a budget stands. `reserved` is part of neither `limit` nor `taken`. `waiting` are pieces of work that do not
    fit into what is left, and `wanted` is what they may take together; `unknown` counts requests whose price nobody
    knows: they are in no figure of `usd`."""

    limit: Budget = Budget()
    taken: Amount = Amount()
    reserved: Amount = Amount()
    seconds: float = 0.0
    waiting: int = 0
    wanted: Amount = Amount()
    unknown: int = 0


class LedgerState(Contract):
    """A ledger over continue-as-new. `open` are granted, `queue` waits, in order; `lent` are calls by workflow. Times
    are UTC seconds since 1970."""

    limit: Budget
    began_at: float
    taken: Amount = Amount()
    open: list[Reserve] = []
    queue: list[Reserve] = []
    lent: dict[str, int] = {}
    unknown: int = 0
    paused_at: float | None = None
    paused_seconds: float = 0.0
    is_stopped: bool = False
    questions: int = 0


class EstimateRequest(Contract):
    """Input of `llm.estimate`: the request that the LLM activity `name` would get."""

    name: str
    request: Json


class Estimate(Contract):
    """The most that one such request takes, whichever of its models replies. `models` are those to ask instead: the
    same, with the `max_tokens` on which the bound relies. `unpriced` names those whose price is not known."""

    tokens: int
    usd: Usd | None
    models: list[ModelSettings]
    unpriced: str = ""

    @property
    def amount(self) -> Amount:
        return Amount(tokens=self.tokens, usd=self.usd)


def known(usage: list[Usage], at_most: Amount) -> Amount:
    """What requests took, as their replies say. Of what they do not say, the bound counts."""
    if any(one.lost for one in usage):
        return at_most
    tokens = sum(one.input_tokens + one.output_tokens for one in usage)
    costs = [one.cost for one in usage if one.cost is not None]
    is_told = bool(tokens) or at_most.tokens == 0
    usd = sum(costs, Decimal(0)) if len(costs) == len(usage) and usage else at_most.usd
    return Amount(tokens=tokens if is_told else at_most.tokens, usd=usd, calls=at_most.calls)


LLM_ESTIMATE: ActivityRef[EstimateRequest, Estimate] = ActivityRef(
    name="llm.estimate", takes=EstimateRequest, gives=Estimate
)

SIGNAL_RESERVE = "budget_reserve"
SIGNAL_SETTLE = "budget_settle"
SIGNAL_GRANT = "budget_grant"
UPDATE_TOP_UP = "top_up"
BUDGET_EXHAUSTED = "BudgetExhausted"
"""Type of the failure of a task whose budget is used up, and to which nobody wanted to add."""
PRICE_UNKNOWN = "PriceUnknown"
"""Type of the failure of a request that a budget in USD cannot bound."""
STOP = "stop"
"""The answer to a question of kind `budget` that adds nothing."""
