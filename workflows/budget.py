"""Who pays: the root of a tree of tasks keeps the till, and every workflow of the tree has a purse that asks it first.

The root asks itself in memory; a child asks by a signal, and waits for a grant for as long as it takes. The core of it
is `ledger.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

from holdfast.contracts.base import Failure
from holdfast.contracts.budget import (
    BUDGET_EXHAUSTED,
    SIGNAL_GRANT,
    SIGNAL_RESERVE,
    SIGNAL_SETTLE,
    STOP,
    UPDATE_TOP_UP,
    Amount,
    Budget,
    BudgetState,
    Grant,
    LedgerState,
    Reserve,
    Settle,
    Spending,
    TopUp,
)
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.contracts.work import program_workflow_id
from workflows.endings import settled
from workflows.ledger import NOTHING, Ledger, unfit
from workflows.questions import Questions

ONE_CALL = Amount(calls=1)
_ENDED = Failure(type=BUDGET_EXHAUSTED, message="the task that keeps the budget of this one is over")
_GRANTED, _WAITING, _FREE = "granted", "waiting", "free"


class Refused(Exception):
    """A piece of work will never be paid for. `failure` is what becomes of it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Till:
    """The ledger of a tree, and the one question that is open when something does not fit."""

    def __init__(
        self, task: TaskRef, questions: Questions, state: LedgerState, tell_own: Callable[[Grant], None]
    ) -> None:
        self._task, self._questions = task, questions
        self._own, self._tell_own = task.workflow_id, tell_own
        self._ledger, self._number = Ledger(state), state.questions
        self._news: dict[str, Grant] = {}
        self._told: set[tuple[str, str]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._question = f"budget.{self._number}" if questions.is_open(f"budget.{self._number}") else ""
        if self._question:
            self._keep(self._until_answered(self._question))

    @property
    def is_quiet(self) -> bool:
        """Whether everybody heard what there was to tell. A question that is open is no news."""
        return not self._news and not any(task.get_name() == SIGNAL_GRANT for task in self._telling)

    def hear(self, said: Spending) -> None:
        """What a workflow of the tree has to say."""
        for over in said.settled:
            self._ledger.settle(over.by, over.key, over.took)
        if said.calls or said.is_idle:
            self._ledger.count(said.by, said.calls, said.is_idle)
        for one in said.wanted:
            self._hear_of(one)
        if said.ended:
            self._ledger.release(said.ended)
        self._go_on()

    async def top_up(self, message: TopUp) -> None:
        """Add to the limits; if a question is open, this is its answer."""
        if not self._question:
            self._ledger.top_up(message.add)
            self._go_on()
            return
        asked, add = self._question, message.add.model_dump(mode="json", exclude_none=True)
        self._questions.answer(AnswerMessage(question_id=asked, value={"add": add}, by=message.by))
        await workflow.wait_condition(lambda: self._question != asked)

    def view(self) -> BudgetState:
        return self._ledger.view(_now())

    def carried(self) -> LedgerState:
        return self._ledger.carried(self._number)

    def _hear_of(self, wanted: Reserve) -> None:
        self._told.discard((wanted.by, wanted.key))
        if self._ledger.is_open(wanted.by, wanted.key):
            # Asked again by the next run of its workflow, which has not heard of the grant.
            self._tell(wanted, "granted")
        elif why := self._ledger.reserve(wanted):
            self._refuse(wanted, why)

    def _go_on(self) -> None:
        """Whatever fits may begin. If something never will without a top-up, somebody is asked, once."""
        granted = self._ledger.granted(_now())
        for one in granted:
            self._told.discard((one.by, one.key))
            self._tell(one, "granted")
        for by in dict.fromkeys(one.by for one in granted if one.amount == ONE_CALL and one.by != self._own):
            self._of(by, lent=self._ledger.lend(by))
        if self._ledger.is_stopped:
            self._stop()
        stuck = self._ledger.stuck(_now())
        if stuck and not self._question:
            self._ask(stuck)
        elif self._question and not stuck:
            self._withdraw()
        if self._question:
            self._tell_who_waits()
        self._deliver()

    # the question

    def _ask(self, stuck: Reserve) -> None:
        self._number += 1
        self._question = f"budget.{self._number}"
        text = _asked(self._task, stuck, self._ledger)
        self._questions.ask(Question(id=self._question, kind="budget", text=text, asked_at=_now()))
        self._ledger.pause(_now())
        self._keep(self._until_answered(self._question))

    def _withdraw(self) -> None:
        """Whoever needed more does not want it any more."""
        gone, self._question = self._question, ""
        self._ledger.go_on(_now())
        self._questions.withdraw(gone)

    async def _until_answered(self, asked: str) -> None:
        closed = await self._questions.wait(asked)
        if closed.state not in ("answered", "rejected"):
            return
        self._question = ""
        self._ledger.go_on(_now())
        if closed.state == "rejected" or closed.answer == STOP:
            self._stop()
        else:
            self._ledger.top_up(Budget.model_validate(closed.answer["add"]))
        self._go_on()

    def _stop(self) -> None:
        text = f"the budget of this task is used up, and nobody added to it: {_stands(self._ledger)}"
        for one in self._ledger.stop():
            self._refuse(one, Failure(type=BUDGET_EXHAUSTED, message=text))

    # what others are told

    def _tell_who_waits(self) -> None:
        for one in self._ledger.waiting:
            if (one.by, one.key) not in self._told:
                self._told.add((one.by, one.key))
                self._tell(one, "waiting")

    def _tell(self, one: Reserve, what: Literal["granted", "waiting"]) -> None:
        getattr(self._of(one.by), what).append(one.key)

    def _refuse(self, one: Reserve, why: Failure) -> None:
        self._of(one.by).refused[one.key] = why

    def _of(self, by: str, lent: int = 0) -> Grant:
        """What one workflow is about to be told."""
        found = self._news.get(by) or Grant(granted=[], waiting=[], refused={}, lent=0)
        free, until = self._ledger.has_free_calls, self._ledger.until(_now())
        self._news[by] = found.model_copy(update={"free_calls": free, "until": until, "lent": found.lent + lent})
        return self._news[by]

    def _deliver(self) -> None:
        news, self._news = self._news, {}
        for by, grant in news.items():
            if by == self._own:
                self._tell_own(grant)
            else:
                self._keep(self._send(by, grant), SIGNAL_GRANT)

    async def _send(self, by: str, grant: Grant) -> None:
        try:
            await workflow.get_external_workflow_handle(by).signal(SIGNAL_GRANT, grant)
        except FailureError:
            # It is gone: what it never heard of was not begun.
            gone = [Settle(by=by, key=key, took=NOTHING) for key in grant.granted]
            self.hear(Spending(settled=gone, ended=by))

    def _keep(self, telling: Coroutine[Any, Any, None], name: str = "") -> None:
        task = asyncio.create_task(telling, name=name)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


class Purse:
    """What one workflow of a tree spends. Without a budget it is shut, and whoever has it asks nobody.

    `budget` and `carried` are those of a root. `is_program`: it is that of the program of an agent's task.
    """

    def __init__(
        self,
        task: TaskRef,
        questions: Questions,
        budget: Budget | None = None,
        is_budgeted: bool = False,
        carried: LedgerState | None = None,
        is_program: bool = False,
    ) -> None:
        # From the task, not from the run: a saved history is replayed under any name.
        own = task.workflow_id
        self._root, self._by = task.root_workflow_id, program_workflow_id(own) if is_program else own
        self._run = workflow.info().run_id[:8]
        self._number = 0
        self._asked: dict[str, str | Failure] = {}
        """By key: empty, `waiting`, `granted`, `free` (nobody was asked), or why it never will be granted."""
        self._news = Spending()
        self._has_spoken = False
        self._has_free_calls, self._lent, self._until = False, 0, 0.0
        self._saying: asyncio.Task[None] | None = None
        self.is_open = is_budgeted
        self.is_used_up = False
        """Whether something was refused here because nobody added to the budget."""
        self._till: Till | None = None
        if is_budgeted and self._by == self._root:
            state = carried or LedgerState(limit=budget or Budget(), began_at=_now())
            self._till = Till(task, questions, state, self.hear)

    # asking

    def new_key(self, of: str) -> str:
        """A key that no other run of this workflow has."""
        self._number += 1
        return f"{of}.{self._run}.{self._number}"

    async def reserve(self, key: str, amount: Amount, what: str = "", unpriced: str = "") -> None:
        """Wait until this may begin. Whoever reserves settles, whatever happens.

        Raises:
            Refused: it never may.
        """
        if amount == ONE_CALL and self._is_free_call():
            self._asked[key] = _FREE
            return
        if key not in self._asked:
            self._asked[key] = ""
            self._say(wanted=[Reserve(by=self._by, key=key, amount=amount, what=what, unpriced=unpriced)])
        await workflow.wait_condition(lambda: self._asked[key] not in ("", _WAITING))
        if isinstance(verdict := self._asked[key], Failure):
            raise Refused(verdict)

    def settle(self, key: str, took: Amount) -> None:
        """It is over, and took this; or it did not begin, and took nothing."""
        verdict = self._asked.pop(key, None)
        if verdict == _FREE:
            self._say(calls=took.calls)
        elif isinstance(verdict, str):
            self._say(settled=[Settle(by=self._by, key=key, took=took)])

    def is_waiting(self, key: str) -> bool:
        """Whether this waits for a top-up."""
        return self._asked.get(key) == _WAITING

    @property
    def waits(self) -> bool:
        """Whether anything here waits for a top-up."""
        return _WAITING in self._asked.values()

    async def close(self) -> None:
        """This workflow wants nothing more, and neither does any below it. The root has heard of that afterwards."""
        if self._till is None and self._has_spoken:
            self._say(ended=self._by)
        await self.flushed()

    def lost(self, part: str) -> None:
        """The child of this part of the id is over, and may not have told what it held."""
        if self.is_open:
            self._say(ended=f"{self._by}/{part}")

    async def flushed(self) -> None:
        """Until all that was said was heard: before a workflow continues as new, or ends."""
        if self._lent:
            self._lent, self._news = 0, self._news.model_copy(update={"is_idle": True})
        if self._news != Spending():
            self._speak_up()
        await workflow.wait_condition(lambda: self.is_quiet)

    @property
    def is_quiet(self) -> bool:
        is_saying = self._saying is not None and not self._saying.done()
        return not is_saying and (self._till is None or self._till.is_quiet)

    # the root's side, where this is the root

    def heard(self, said: Spending) -> None:
        """A workflow below has something to say."""
        if self._till is not None:
            self._till.hear(said)

    async def top_up(self, message: TopUp) -> BudgetState:
        assert self._till is not None
        await self._till.top_up(message)
        return self._till.view()

    @property
    def state(self) -> BudgetState | None:
        """How the budget stands; None where it is kept by another workflow, or there is none."""
        return self._till.view() if self._till else None

    def carried(self) -> LedgerState | None:
        return self._till.carried() if self._till else None

    # hearing

    def hear(self, grant: Grant) -> None:
        """What the root says. A word that is old, or of what is not wanted any more, is passed over."""
        self._has_free_calls, self._lent = grant.free_calls, self._lent + grant.lent
        self._until = float("inf") if grant.until is None else grant.until
        for key in grant.waiting:
            self._answered(key, _WAITING, after=("",))
        for key in grant.granted:
            self._answered(key, _GRANTED, after=("", _WAITING))
        for key, why in grant.refused.items():
            self._answered(key, why, after=("", _WAITING))
            self.is_used_up = self.is_used_up or why.type == BUDGET_EXHAUSTED

    def _answered(self, key: str, verdict: str | Failure, after: tuple[str, ...]) -> None:
        if self._asked.get(key) in after:
            self._asked[key] = verdict

    def _is_free_call(self) -> bool:
        """Whether a call need not be asked for. The root asks itself, which costs nothing."""
        if self._till is not None or _now() >= self._until:
            return False
        if self._has_free_calls:
            return True
        is_lent = self._lent > 0
        self._lent -= is_lent
        return is_lent

    # saying

    def _say(
        self, settled: list[Settle] | None = None, wanted: list[Reserve] | None = None, calls: int = 0, ended: str = ""
    ) -> None:
        said = Spending(settled=settled or [], wanted=wanted or [], calls=calls, ended=ended)
        if self._till is not None:
            self._till.hear(said)
            return
        self._news = _joined(self._news, said)
        self._has_spoken = True
        # Calls that are free, and those that are over, free nothing: they are told with whatever comes next.
        is_urgent = bool(wanted or ended) or any(one.took != ONE_CALL for one in said.settled)
        if is_urgent:
            self._speak_up()

    def _speak_up(self) -> None:
        if self._saying is None or self._saying.done():
            self._saying = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        """One message for all that is said at once, one after the other."""
        await settled()
        root = workflow.get_external_workflow_handle(self._root)
        while self._news != Spending():
            said, self._news = self._news, Spending()
            try:
                said = said.model_copy(update={"by": self._by})
                await root.signal(SIGNAL_RESERVE if said.wanted else SIGNAL_SETTLE, said)
            except FailureError:
                self.hear(Grant(refused={one.key: _ENDED for one in said.wanted}))


class Budgeted:
    """What is said to a workflow about money. The root hears what others want, the others what they get."""

    purse: Purse

    @workflow.signal(name=SIGNAL_RESERVE)
    def budget_reserve(self, message: Spending) -> None:
        """A workflow below wants to begin something."""
        self.purse.heard(message)

    @workflow.signal(name=SIGNAL_SETTLE)
    def budget_settle(self, message: Spending) -> None:
        """What a workflow below took."""
        self.purse.heard(message)

    @workflow.signal(name=SIGNAL_GRANT)
    def budget_grant(self, message: Grant) -> None:
        """What may begin here, what waits, and what never will."""
        self.purse.hear(message)

    @workflow.update(name=UPDATE_TOP_UP)
    async def top_up(self, message: TopUp) -> BudgetState:
        """Add to the budget of the whole tree."""
        return await self.purse.top_up(message)

    @top_up.validator
    def _check_top_up(self, message: TopUp) -> None:
        if self.purse.state is None:
            text = "this task has no budget to add to: whatever it takes, no limit was set when it was asked for"
            raise ApplicationError(text, type="BAD_REQUEST", non_retryable=True)
        if problem := unfit(message.add):
            raise ApplicationError(problem, type="BAD_REQUEST", non_retryable=True)


def _joined(one: Spending, more: Spending) -> Spending:
    return Spending(
        settled=[*one.settled, *more.settled],
        wanted=[*one.wanted, *more.wanted],
        calls=one.calls + more.calls,
        is_idle=one.is_idle or more.is_idle,
        ended=more.ended or one.ended,
    )


def _asked(task: TaskRef, stuck: Reserve, ledger: Ledger) -> str:
    task_id = task.task_id.partition("/")[0]
    return (
        f"The budget of this task is used up: {_stands(ledger)}. "
        f"What comes next ({stuck.what or stuck.key}) may take up to {_amount(stuck.amount)}. "
        f"Add to it: holdfast budget {task_id} --add-tokens N (or --add-usd, --add-calls, --add-seconds), "
        f'or POST /tasks/{task_id}/budget {{"add": {{…}}}}; or answer "{STOP}" to give up what waits'
    )


def _stands(ledger: Ledger) -> str:
    """`1,900 of 2,000 tokens taken, 20 reserved; 3.2 of 60 seconds`: of each unit that has a limit."""
    view = ledger.view(_now())
    lines = [
        _line(unit, limit, getattr(view.taken, unit), getattr(view.reserved, unit))
        for unit in ("tokens", "usd", "calls")
        if (limit := getattr(view.limit, unit)) is not None
    ]
    late = [f"{view.seconds:g} of {view.limit.seconds:g} seconds"] if view.limit.seconds is not None else []
    return "; ".join([*lines, *late])


def _line(unit: str, limit: object, taken: object, reserved: object) -> str:
    more = f", {reserved:,} reserved" if reserved else ""
    return f"{taken:,} of {limit:,} {'USD' if unit == 'usd' else unit} taken{more}"


def _amount(amount: Amount) -> str:
    """`5,000 tokens, 0.02 USD`."""
    dollars = amount.usd.normalize() if amount.usd is not None else None
    parts = [(amount.tokens, "tokens"), (dollars, "USD"), (amount.calls, "call" if amount.calls == 1 else "calls")]
    return ", ".join(f"{value:,f} {unit}" if unit == "USD" else f"{value:,} {unit}" for value, unit in parts if value)


def _now() -> float:
    return workflow.now().timestamp()
