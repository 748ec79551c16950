"""Who pays: the root of a tree of tasks keeps the till, and every workflow of the tree has a purse that asks it first.

The root asks itself in memory; a child asks by a signal, and waits for a grant for as long as it takes. The till is
`till.py`.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

from holdfast.contracts.base import Failure
from holdfast.contracts.budget import (
    BUDGET_EXHAUSTED,
    SIGNAL_GRANT,
    SIGNAL_RESERVE,
    SIGNAL_SETTLE,
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
from holdfast.contracts.work import program_workflow_id
from workflows.endings import settled
from workflows.ledger import ONE_CALL, unfit
from workflows.questions import Questions
from workflows.till import Till

_ENDED = Failure(type=BUDGET_EXHAUSTED, message="the task that keeps the budget of this one is over")
_GRANTED, _WAITING, _FREE = "granted", "waiting", "free"


class Refused(Exception):
    """A piece of work will never be paid for. `failure` is what becomes of it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


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
            state = carried or LedgerState(limit=budget or Budget(), began_at=workflow.now().timestamp())
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
        if self._till is not None or workflow.now().timestamp() >= self._until:
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
