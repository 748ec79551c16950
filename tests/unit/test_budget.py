"""The ledger of a budget: whatever comes in whatever order, nothing is overspent, and nothing waits for ever."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from holdfast.contracts.budget import Amount, Budget, LedgerState, Reserve, known
from holdfast.contracts.model import Usage
from workflows.ledger import Ledger

USD = st.integers(0, 5_000_000).map(lambda millionths: Decimal(millionths) / 1_000_000)
AMOUNTS = st.builds(Amount, tokens=st.integers(0, 3000), usd=USD, calls=st.integers(0, 2))
BUDGETS = st.builds(
    Budget,
    tokens=st.none() | st.integers(0, 8000),
    usd=st.none() | USD,
    calls=st.none() | st.integers(0, 8) | st.integers(100, 20_000),
    seconds=st.none() | st.floats(0, 50),
)
WORKFLOWS = st.sampled_from(["root", "root/a", "root/a/x", "root/b", "root/ab"])


def within(part: Amount, whole: Budget) -> bool:
    limits = ((part.tokens, whole.tokens), (part.usd, whole.usd), (part.calls, whole.calls))
    return all(limit is None or (used or 0) <= limit for used, limit in limits)


def added(*amounts: Amount) -> Amount:
    return Amount(
        tokens=sum(one.tokens for one in amounts),
        usd=sum((one.usd or Decimal(0) for one in amounts), Decimal(0)),
        calls=sum(one.calls for one in amounts),
    )


def least(bound: Amount, part: float) -> Amount:
    """What a piece of work took of what it might."""
    usd = (bound.usd or Decimal(0)) * Decimal(str(part))
    return Amount(tokens=int(bound.tokens * part), usd=usd, calls=bound.calls)


class Spenders(RuleBasedStateMachine):
    """A tree that spends at random: the model keeps its own books, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ledger = Ledger.begun(Budget(tokens=2000, usd=Decimal(3), calls=4), self.now)
        self.under_way: dict[tuple[str, str], Reserve] = {}
        self.lent: dict[str, int] = {}
        self.paid = Amount()
        self.number = 0

    def go_on(self) -> None:
        for one in self.ledger.granted(self.now):
            assert (one.by, one.key) not in self.under_way
            self.under_way[one.by, one.key] = one

    @rule(by=WORKFLOWS, amount=AMOUNTS)
    def ask(self, by: str, amount: Amount) -> None:
        self.number += 1
        assert self.ledger.reserve(Reserve(by=by, key=str(self.number), amount=amount)) is None
        self.go_on()

    @rule(data=st.data())
    @precondition(lambda self: self.under_way or self.ledger.waiting)
    def ask_again(self, data: st.DataObject) -> None:
        """A signal that is sent twice, or a call that is asked for by the next run of its workflow."""
        one = data.draw(st.sampled_from([*self.under_way.values(), *self.ledger.waiting]))
        before = self.ledger.view(self.now)
        self.ledger.reserve(one)
        assert self.ledger.view(self.now) == before

    @rule(data=st.data(), part=st.floats(0, 1))
    @precondition(lambda self: self.under_way)
    def end(self, data: st.DataObject, part: float) -> None:
        one = self.under_way.pop(data.draw(st.sampled_from(sorted(self.under_way))))
        took = least(one.amount, part)
        self.paid = added(self.paid, took)
        self.ledger.settle(one.by, one.key, took)
        self.go_on()

    @rule(data=st.data())
    @precondition(lambda self: self.ledger.waiting)
    def give_up(self, data: st.DataObject) -> None:
        """What waits is cancelled."""
        one = data.draw(st.sampled_from(self.ledger.waiting))
        self.ledger.settle(one.by, one.key, one.amount)
        self.go_on()

    @rule(by=WORKFLOWS)
    def borrow(self, by: str) -> None:
        """Calls that need not be asked for, one by one."""
        self.lent[by] = self.lent.get(by, 0) + self.ledger.lend(by)

    @rule(data=st.data(), is_idle=st.booleans())
    @precondition(lambda self: any(self.lent.values()))
    def use_what_is_lent(self, data: st.DataObject, is_idle: bool) -> None:
        by = data.draw(st.sampled_from(sorted(by for by, calls in self.lent.items() if calls)))
        calls = data.draw(st.integers(0, self.lent[by]))
        self.paid = added(self.paid, Amount(calls=calls))
        self.lent[by] = 0 if is_idle else self.lent[by] - calls
        self.ledger.count(by, calls, is_idle)
        self.go_on()

    @rule(by=WORKFLOWS)
    def die(self, by: str) -> None:
        """A workflow is gone with all below it: what it had begun may be paid for."""
        lost = [one for one in self.under_way.values() if one.by == by or one.by.startswith(f"{by}/")]
        self.paid = added(self.paid, *(one.amount for one in lost))
        for one in lost:
            del self.under_way[one.by, one.key]
        self.lent = {one: calls for one, calls in self.lent.items() if not f"{one}/".startswith(f"{by}/")}
        self.ledger.release(by)
        assert not [one for one in self.ledger.waiting if one.by == by or one.by.startswith(f"{by}/")]
        self.go_on()

    @rule(by=WORKFLOWS, key=st.text(max_size=3), took=AMOUNTS)
    def settle_what_nobody_reserved(self, by: str, key: str, took: Amount) -> None:
        before = self.ledger.view(self.now)
        self.ledger.settle(by, f"never-{key}", took)
        assert self.ledger.view(self.now) == before

    @rule(add=BUDGETS)
    def top_up(self, add: Budget) -> None:
        self.ledger.top_up(add)
        self.go_on()

    @rule(limits=BUDGETS)
    @precondition(lambda self: not self.under_way and not self.ledger.waiting)
    def begin_anew(self, limits: Budget) -> None:
        """Another task, with other limits."""
        self.ledger, self.paid, self.lent = Ledger.begun(limits, self.now), Amount(), {}

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.go_on()

    @rule()
    def continue_as_new(self) -> None:
        state = self.ledger.carried(0)
        self.ledger = Ledger(LedgerState.model_validate_json(state.model_dump_json()))

    def all_lent(self) -> Amount:
        return Amount(calls=sum(self.lent.values()))

    @invariant()
    def nothing_is_overspent(self) -> None:
        """Not even if all that is under way takes all that it may."""
        at_most = added(self.paid, self.all_lent(), *(one.amount for one in self.under_way.values()))
        assert within(at_most, self.ledger.view(self.now).limit)

    @invariant()
    def the_books_are_right(self) -> None:
        """A call takes its one call as soon as it begins."""
        view, begun = self.ledger.view(self.now), added(*(one.amount for one in self.under_way.values()))
        assert view.reserved == begun.model_copy(update={"calls": self.all_lent().calls})
        assert (view.taken.tokens, view.taken.calls) == (self.paid.tokens, self.paid.calls + begun.calls)
        assert abs((view.taken.usd or Decimal(0)) - (self.paid.usd or Decimal(0))) < Decimal("1e-6")

    @invariant()
    def nothing_waits_that_fits_behind_those_before_it(self) -> None:
        view, before = self.ledger.view(self.now), Amount()
        for one in self.ledger.waiting:
            claimed = added(view.taken, view.reserved, before)
            assert self.ledger.is_late(self.now) or not fits(claimed, one.amount, view.limit)
            before = added(before, one.amount)

    @invariant()
    def who_waits_for_nothing_under_way_is_stuck(self) -> None:
        """So somebody is asked for a top-up: no task hangs without a word. The end of a call makes no room for another."""
        frees = [one for one in self.under_way.values() if one.amount.tokens or one.amount.usd]
        if self.ledger.waiting and not frees:
            assert self.ledger.stuck(self.now) is not None

    def teardown(self) -> None:
        """Enough top-ups, and all that is under way ended: everything was granted, in the order of asking."""
        waiting = self.ledger.waiting
        for one in list(self.under_way.values()):
            self.paid = added(self.paid, one.amount)
            self.ledger.settle(one.by, one.key, one.amount)
        self.ledger.top_up(Budget(tokens=10**9, usd=Decimal(10**6), calls=10**6, seconds=1e9))
        assert self.ledger.granted(self.now) == waiting
        assert self.ledger.waiting == []


def fits(claimed: Amount, more: Amount, limit: Budget) -> bool:
    pairs = (
        (claimed.tokens, more.tokens, limit.tokens),
        (claimed.usd, more.usd, limit.usd),
        (claimed.calls, more.calls, limit.calls),
    )
    return all(most is None or not wants or (used or 0) + wants <= most for used, wants, most in pairs)


@pytest.mark.slow
def test_many_more_spenders() -> None:
    run_state_machine_as_test(Spenders, settings=settings(max_examples=200, stateful_step_count=40, deadline=None))


TestSpenders = Spenders.TestCase
TestSpenders.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1)), min_size=20, max_size=20), st.randoms())
@settings(max_examples=60, deadline=None)
def test_twenty_children_against_a_budget_for_seven(costs: list[tuple[int, float]], chance: object) -> None:
    """Whatever each costs, and in whatever order they ask and end: what is paid never exceeds the budget of its time,
    and with top-ups all twenty are done."""
    limit = sum(cost for cost, _ in costs[:7])
    ledger = Ledger.begun(Budget(tokens=limit), 0.0)
    order = list(range(20))
    chance.shuffle(order)  # type: ignore[attr-defined]
    for child in order:
        ledger.reserve(Reserve(by=f"root/{child}", key="llm", amount=Amount(tokens=costs[child][0])))
    running, done, paid = [int(one.by[5:]) for one in ledger.granted(0.0)], 0, 0
    while done < 20:
        if not running:
            assert ledger.stuck(0.0) is not None
            ledger.top_up(Budget(tokens=400))
            limit += 400
        else:
            child = running.pop(chance.randrange(len(running)))  # type: ignore[attr-defined]
            cost, part = costs[child]
            ledger.settle(f"root/{child}", "llm", Amount(tokens=int(cost * part)))
            paid, done = paid + int(cost * part), done + 1
        assert paid <= limit
        running += [int(one.by[5:]) for one in ledger.granted(0.0)]


def test_a_small_one_does_not_overtake_a_large_one() -> None:
    ledger = Ledger.begun(Budget(tokens=100), 0.0)
    for key, tokens in (("a", 60), ("large", 80), ("small", 30)):
        ledger.reserve(Reserve(by="root", key=key, amount=Amount(tokens=tokens)))
    assert [one.key for one in ledger.granted(0.0)] == ["a"]
    ledger.settle("root", "a", Amount(tokens=20))
    assert [one.key for one in ledger.granted(0.0)] == ["large"]


def test_who_needs_nothing_of_what_is_short_does_not_wait() -> None:
    ledger = Ledger.begun(Budget(tokens=100), 0.0)
    ledger.reserve(Reserve(by="root", key="llm", amount=Amount(tokens=1000)))
    ledger.reserve(Reserve(by="root", key="call", amount=Amount(calls=1)))
    assert [one.key for one in ledger.granted(0.0)] == ["call"]


def test_the_wait_for_a_top_up_is_no_time_of_the_task() -> None:
    ledger = Ledger.begun(Budget(seconds=10), 100.0)
    ledger.reserve(Reserve(by="root", key="a", amount=Amount(calls=1)))
    assert ledger.granted(111.0) == []
    assert ledger.stuck(111.0) is not None
    ledger.pause(111.0)
    ledger.top_up(Budget(seconds=5))
    ledger.go_on(100_000.0)
    assert ledger.seconds(100_001.0) == pytest.approx(12.0)
    assert [one.key for one in ledger.granted(100_001.0)] == ["a"]


def test_an_unknown_price_is_refused_where_dollars_are_counted_and_says_how_to_set_it() -> None:
    wanted = Reserve(by="root", key="a", amount=Amount(tokens=5, usd=None), unpriced="openai-compatible:stub")
    why = Ledger.begun(Budget(usd=Decimal(1)), 0.0).reserve(wanted)
    assert why is not None
    assert "openai-compatible:stub" in why.message
    assert "providers: {openai-compatible: {prices: {stub: {input: …, output: …}}}}" in why.message
    ledger = Ledger.begun(Budget(tokens=10), 0.0)
    assert ledger.reserve(wanted) is None
    assert [one.key for one in ledger.granted(0.0)] == ["a"]
    ledger.settle("root", "a", Amount(tokens=5, usd=None))
    assert (ledger.view(0.0).unknown, ledger.view(0.0).taken.usd) == (1, Decimal(0))


def test_a_model_that_says_more_than_it_may_is_counted_and_nothing_is_granted_on_top() -> None:
    ledger = Ledger.begun(Budget(tokens=100), 0.0)
    ledger.reserve(Reserve(by="root", key="a", amount=Amount(tokens=50)))
    ledger.granted(0.0)
    ledger.settle("root", "a", Amount(tokens=170))
    ledger.reserve(Reserve(by="root", key="b", amount=Amount(tokens=1)))
    assert ledger.granted(0.0) == []
    assert ledger.view(0.0).taken.tokens == 170


def test_after_a_stop_what_does_not_fit_stays_refused() -> None:
    ledger = Ledger.begun(Budget(tokens=100), 0.0)
    for key, tokens in (("a", 60), ("b", 80)):
        ledger.reserve(Reserve(by="root", key=key, amount=Amount(tokens=tokens)))
    ledger.granted(0.0)
    assert [one.key for one in ledger.stop()] == ["b"]
    assert ledger.is_stopped
    assert ledger.waiting == []


def test_what_a_reply_does_not_say_counts_as_much_as_it_might_have_been() -> None:
    bound = Amount(tokens=900, usd=Decimal("0.01"), calls=1)
    said = Usage(provider="p", model="m", input_tokens=40, output_tokens=2, cost=Decimal("0.001"))
    assert known([said], bound) == Amount(tokens=42, usd=Decimal("0.001"), calls=1)
    assert known([Usage(provider="p", model="m")], bound) == bound
    assert known([], bound) == bound
