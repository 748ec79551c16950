"""The till: the root of a tree of tasks keeps the ledger, and asks people when something does not fit.

The core of it is `ledger.py`; who wants something, and hears of it, has a purse (`budget.py`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import FailureError

from holdfast.contracts.base import Failure
from holdfast.contracts.budget import (
    BUDGET_EXHAUSTED,
    SIGNAL_GRANT,
    STOP,
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
from workflows.ledger import NOTHING, ONE_CALL, Ledger
from workflows.questions import Questions


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
