"""The ledger of a budget: what a tree of tasks may take, has taken, and is about to take. Pure: it knows no Temporal.

For every unit that has a limit, what was taken and what is reserved never exceed it together; only a model that says
more than it was allowed to can. Who waits, waits in order: nothing begins that would take from those before it.
"""

from collections.abc import Iterable
from decimal import ROUND_UP, Decimal

from holdfast.contracts.base import Failure, Json
from holdfast.contracts.budget import PRICE_UNKNOWN, STOP, Amount, Budget, BudgetState, LedgerState, Reserve

NOTHING = Amount()
_BILLIONTH = Decimal("1e-9")
_UNITS = ("tokens", "usd", "calls")


class Ledger:
    """`state` is all there is to carry. Pieces of work are known by the workflow that does them, and their key."""

    def __init__(self, state: LedgerState) -> None:
        self._limit, self._taken = state.limit, state.taken
        self._began_at = state.began_at
        self._open = {_id(one): one for one in state.open}
        self._queue = {_id(one): one for one in state.queue}
        self._unknown = state.unknown
        self._paused_at, self._paused = state.paused_at, state.paused_seconds
        self.is_stopped = state.is_stopped

    @classmethod
    def begun(cls, limit: Budget, now: float) -> "Ledger":
        return cls(LedgerState(limit=limit, began_at=now))

    def reserve(self, wanted: Reserve) -> Failure | None:
        """Put a piece of work in line, behind those that wait; `granted` hands out what fits. One that is known is not
        put there again. A failure: why it never will be granted."""
        if _id(wanted) in self._open or _id(wanted) in self._queue:
            return None
        if wanted.amount.usd is None and self._limit.usd is not None:
            return _unpriced(wanted.unpriced)
        self._queue[_id(wanted)] = wanted.model_copy(update={"amount": _rounded(wanted.amount)})
        return None

    def is_open(self, by: str, key: str) -> bool:
        """Whether it was granted, and is not settled."""
        return (by, key) in self._open

    def granted(self, now: float) -> list[Reserve]:
        """Those that may begin now, in order. Each that waits keeps its place: what it wants is not given to others."""
        if self.is_late(now):
            return []
        claimed, found = _sum([self._taken, *(one.amount for one in self._open.values())]), list[Reserve]()
        for one in list(self._queue.values()):
            if self._fits(claimed, one.amount):
                self._open[_id(one)] = self._queue.pop(_id(one))
                found.append(one)
            claimed = _sum([claimed, one.amount])
        return found

    def settle(self, by: str, key: str, took: Amount) -> None:
        """A piece is over, or is not wanted any more. What nobody reserved is ignored."""
        self._queue.pop((by, key), None)
        if self._open.pop((by, key), None) is not None:
            self._unknown += took.usd is None
            self._taken = _sum([self._taken, _rounded(took)])

    def count(self, calls: int) -> None:
        """Calls that were made without asking, because they are free."""
        self._taken = _sum([self._taken, Amount(calls=calls)])

    def release(self, by: str) -> None:
        """A workflow is over, with all below it. What it was granted may be paid for, and counts as taken."""
        for one in [*self._open.values(), *self._queue.values()]:
            if one.by == by or one.by.startswith(f"{by}/"):
                self.settle(one.by, one.key, one.amount)

    def top_up(self, add: Budget) -> None:
        """Raise the limits that there are."""
        changes = {}
        for unit in (*_UNITS, "seconds"):
            limit, more = getattr(self._limit, unit), getattr(add, unit)
            if limit is not None and more is not None:
                changes[unit] = limit + more
        self._limit = self._limit.model_copy(update=changes)

    def stop(self) -> list[Reserve]:
        """Nobody adds anything: those that wait are refused, and so is from now on whatever does not fit."""
        self.is_stopped = True
        refused, self._queue = list(self._queue.values()), {}
        return refused

    # time

    def pause(self, now: float) -> None:
        """Someone is asked for a top-up: this time does not count."""
        if self._paused_at is None:
            self._paused_at = now

    def go_on(self, now: float) -> None:
        if self._paused_at is not None:
            self._paused += now - self._paused_at
            self._paused_at = None

    def seconds(self, now: float) -> float:
        """Wall time from the start that counts."""
        until = now if self._paused_at is None else self._paused_at
        return max(0.0, until - self._began_at - self._paused)

    def is_late(self, now: float) -> bool:
        """Whether its time is used up."""
        return self._limit.seconds is not None and self.seconds(now) >= self._limit.seconds

    # how it stands

    @property
    def has_free_calls(self) -> bool:
        """Whether calls are counted only: neither they nor the time have a limit."""
        return self._limit.calls is None and self._limit.seconds is None

    @property
    def waiting(self) -> list[Reserve]:
        return list(self._queue.values())

    def stuck(self, now: float) -> Reserve | None:
        """The first that waits, and cannot begin without a top-up, whatever those take that are under way."""
        if self.is_late(now):
            return next(iter(self._queue.values()), None)
        return next((one for one in self._queue.values() if not self._fits(self._taken, one.amount)), None)

    def left(self) -> Budget:
        """What is neither taken nor reserved, of each unit that has a limit; never less than nothing."""
        used = _sum([self._taken, *(one.amount for one in self._open.values())])
        limits = {unit: getattr(self._limit, unit) for unit in _UNITS}
        found = {unit: max(0, limit - getattr(used, unit)) for unit, limit in limits.items() if limit is not None}
        return Budget.model_validate(found)

    def view(self, now: float) -> BudgetState:
        return BudgetState(
            limit=self._limit,
            taken=self._taken,
            reserved=_sum(one.amount for one in self._open.values()),
            seconds=round(self.seconds(now), 3),
            waiting=len(self._queue),
            wanted=_sum(one.amount for one in self._queue.values()),
            unknown=self._unknown,
        )

    def carried(self, questions: int) -> LedgerState:
        return LedgerState(
            limit=self._limit,
            began_at=self._began_at,
            taken=self._taken,
            open=list(self._open.values()),
            queue=list(self._queue.values()),
            unknown=self._unknown,
            paused_at=self._paused_at,
            paused_seconds=self._paused,
            is_stopped=self.is_stopped,
            questions=questions,
        )

    def _fits(self, claimed: Amount, more: Amount) -> bool:
        return all(self._is_within(unit, getattr(claimed, unit), getattr(more, unit)) for unit in _UNITS)

    def _is_within(self, unit: str, claimed: Decimal | int, more: Decimal | int | None) -> bool:
        limit = getattr(self._limit, unit)
        return limit is None or not more or claimed + more <= limit


def unfit(add: Budget) -> str:
    """What is wrong with a top-up, if anything."""
    return "" if any((add.tokens, add.usd, add.calls, add.seconds)) else "a top-up adds more than nothing to something"


def unfit_answer(value: Json) -> str | None:
    """What is wrong with an answer to a question for a top-up."""
    allowed = f'the answer is {{"add": {{"tokens": …, "usd": …, "calls": …, "seconds": …}}}}, or {STOP!r}'
    if value == STOP:
        return None
    try:
        add = Budget.model_validate(value["add"] if isinstance(value, dict) and set(value) == {"add"} else None)
    except ValueError:
        return f"found {str(value)[:200]!r}; {allowed}"
    return unfit(add) or None


def _id(one: Reserve) -> tuple[str, str]:
    return one.by, one.key


def _sum(amounts: Iterable[Amount]) -> Amount:
    """A price that is not known adds nothing: it is counted elsewhere."""
    tokens, usd, calls = 0, Decimal(0), 0
    for one in amounts:
        tokens, usd, calls = tokens + one.tokens, usd + (one.usd or 0), calls + one.calls
    return Amount(tokens=tokens, usd=usd, calls=calls)


def _rounded(amount: Amount) -> Amount:
    """In whole billionths of a dollar, never less than it was."""
    if amount.usd is None:
        return amount
    return amount.model_copy(update={"usd": amount.usd.quantize(_BILLIONTH, rounding=ROUND_UP)})


def _unpriced(model: str) -> Failure:
    provider, _, name = model.partition(":")
    row = f"providers: {{{provider}: {{prices: {{{name}: {{input: …, output: …}}}}}}}}"
    text = (
        f"the price of {model} is not known, and this task has a budget in USD, which could not be kept. "
        f"Set the price in holdfast.yaml, in USD for a million tokens: {row}; or give a budget in tokens"
    )
    return Failure(type=PRICE_UNKNOWN, message=text)
