"""The ledger of a budget: what a tree of tasks may take, has taken, and is about to take. Pure: it knows no Temporal.

For every unit that has a limit, what was taken and what is reserved never exceed it together; only a model that says
more than it was allowed to can. Who waits, waits in order: nothing begins that would take from those before it.
"""

from collections.abc import Iterable
from decimal import ROUND_UP, Decimal

from holdfast.contracts.base import Failure, Json
from holdfast.contracts.budget import PRICE_UNKNOWN, STOP, Amount, Budget, BudgetState, LedgerState, Reserve

NOTHING, ONE_CALL = Amount(), Amount(calls=1)
_BILLIONTH, _NONE = Decimal("1e-9"), Decimal(0)
_UNITS = ("tokens", "usd", "calls")
_SHARE, _MOST_LENT = 64, 100
"""A workflow is lent this part of the calls that are left, and no more than so many."""


class Ledger:
    """`state` is all there is to carry. Pieces of work are known by the workflow that does them, and their key."""

    def __init__(self, state: LedgerState) -> None:
        self._limit, self._taken = state.limit, state.taken
        self._began_at = state.began_at
        self._open = {_id(one): one for one in state.open}
        self._queue = {_id(one): one for one in state.queue}
        self._lent = dict(state.lent)
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
        tokens, usd, calls = _figures(_sum([self._taken, self._reserved()]))
        limit, found = self._limit, list[Reserve]()
        for one in list(self._queue.values()):
            more_tokens, more_usd, more_calls = _figures(one.amount)
            tokens, usd, calls = tokens + more_tokens, usd + more_usd, calls + more_calls
            # In plain figures: a program may ask for thousands of calls at once.
            if not (
                (limit.tokens is not None and more_tokens and tokens > limit.tokens)
                or (limit.calls is not None and more_calls and calls > limit.calls)
                or (limit.usd is not None and more_usd and usd > limit.usd)
            ):
                self._open[_id(one)] = self._queue.pop(_id(one))
                found.append(one)
        return found

    def settle(self, by: str, key: str, took: Amount) -> None:
        """A piece is over, or is not wanted any more. What nobody reserved is ignored."""
        self._queue.pop((by, key), None)
        if self._open.pop((by, key), None) is not None:
            self._unknown += took.usd is None
            self._taken = _sum([self._taken, _rounded(took)])

    def lend(self, by: str) -> int:
        """So many calls this workflow may make without asking: few of what is left, and none when that is scarce, or
        when somebody waits. The root's history is not to hold each call of a long program."""
        limit = self._limit.calls
        if limit is None or self._queue:
            return 0
        more = max(0, min((limit - self._taken.calls - self._reserved().calls) // _SHARE, _MOST_LENT))
        if more:
            self._lent[by] = self._lent.get(by, 0) + more
        return more

    def count(self, by: str, calls: int, is_idle: bool = False) -> None:
        """Calls that were made without asking, being free or lent. Who is idle gives back what it did not use."""
        self._taken = _sum([self._taken, Amount(calls=calls)])
        left = max(0, self._lent.pop(by, 0) - calls)
        if left and not is_idle:
            self._lent[by] = left

    def release(self, by: str) -> None:
        """A workflow is over, with all below it. What it was granted may be paid for, and counts as taken."""
        for one in [*self._open.values(), *self._queue.values()]:
            if _is_below(one.by, by):
                self.settle(one.by, one.key, one.amount)
        self._lent = {other: calls for other, calls in self._lent.items() if not _is_below(other, by)}

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
        """Whether calls have no limit of their own."""
        return self._limit.calls is None

    def until(self, now: float) -> float | None:
        """When its time is used up, if nobody waits till then; None: it has no limit."""
        return None if self._limit.seconds is None else now + self._limit.seconds - self.seconds(now)

    @property
    def waiting(self) -> list[Reserve]:
        return list(self._queue.values())

    def stuck(self, now: float) -> Reserve | None:
        """The first that waits, and cannot begin without a top-up, whatever those take that are under way."""
        if self.is_late(now):
            return next(iter(self._queue.values()), None)
        # A call takes its one call, whatever comes of it. What is lent may come back only when a task ends: nobody is
        # to wait for that without a word.
        gone = _sum([self._taken, self._begun(), Amount(calls=sum(self._lent.values()))])
        return next((one for one in self._queue.values() if not self._fits(gone, one.amount)), None)

    def view(self, now: float) -> BudgetState:
        """A call that was granted counts as taken."""
        begun, reserved = self._begun(), self._reserved()
        return BudgetState(
            limit=self._limit,
            taken=_sum([self._taken, begun]),
            reserved=reserved.model_copy(update={"calls": reserved.calls - begun.calls}),
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
            lent=self._lent,
            unknown=self._unknown,
            paused_at=self._paused_at,
            paused_seconds=self._paused,
            is_stopped=self.is_stopped,
            questions=questions,
        )

    def _begun(self) -> Amount:
        return Amount(calls=sum(one.amount.calls for one in self._open.values()))

    def _reserved(self) -> Amount:
        return _sum([Amount(calls=sum(self._lent.values())), *(one.amount for one in self._open.values())])

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


def _is_below(by: str, workflow_id: str) -> bool:
    return by == workflow_id or by.startswith(f"{workflow_id}/")


def _id(one: Reserve) -> tuple[str, str]:
    return one.by, one.key


def _figures(amount: Amount) -> tuple[int, Decimal, int]:
    return amount.tokens, amount.usd or _NONE, amount.calls


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
