"""BacklogWorkflow: works through a session's backlog, one item after another, each a turn of the session.

    (TAKE: the oldest open item is taken, admitted and sent to the session -> CLOSE: marked by how its task ended)*

The session knows nothing of it: to it these turns are like any other, and people's messages come in between. Nor is it
the parent of the tasks, so it is told of their ends by asking: an activity that fails for as long as a task runs, which
Temporal tries again without a slot and without an event. What is done stays done, whatever dies: items are rows.
"""

from datetime import datetime
from decimal import Decimal

from temporalio import workflow

from holdfast.contracts.backlog import (
    BACKLOG_WORKFLOW,
    CLOSE,
    QUERY_WORK,
    SIGNAL_STOP,
    TAKE,
    Closed,
    CloseRequest,
    Taken,
    TakeRequest,
    Worked,
    WorkSpec,
    WorkView,
)
from holdfast.contracts.budget import Amount, Budget
from workflows import policies

USED_UP = "the budget is used up"


# Not in the SDK's sandbox: see TaskWorkflow.
@workflow.defn(name=BACKLOG_WORKFLOW, sandboxed=False)
class BacklogWorkflow:
    @workflow.init
    def __init__(self, spec: WorkSpec) -> None:
        self.spec = spec
        self.began_at: datetime = workflow.now()
        self.items: list[Worked] = []
        self.took = Amount()
        self.ended = ""
        self.is_stopped = False

    @workflow.run
    async def run(self, spec: WorkSpec) -> WorkView:
        while not self.ended:
            self.ended = self._end() or await self._work_one()
        return self.view()

    async def _work_one(self) -> str:
        """Work one item; why none follows, or nothing."""
        # Not a uuid: the same run of the same order leads to the same task.
        key = f"backlog:{workflow.info().run_id}:{len(self.items)}"
        request = TakeRequest(work=self.spec, key=key, budget=self._left())
        taken: Taken = await workflow.execute_activity(
            TAKE.name, request, result_type=Taken, summary=f"item {len(self.items) + 1}", **policies.SAVE
        )
        if taken.item_id is None:
            return "nothing is open"
        item = Worked(item_id=taken.item_id, task_id=taken.task_id, text=taken.text)
        if taken.problem:
            self.items.append(item.model_copy(update={"state": "failed", "note": taken.problem}))
            return f"a task could not begin: {taken.problem}"
        self.items.append(item)
        closed = await self._closed(item)
        self.items[-1] = item.model_copy(update={"state": closed.state, "note": closed.note})
        self.took = _sum(self.took, closed.took)
        return USED_UP if closed.is_used_up else ""

    async def _closed(self, item: Worked) -> Closed:
        """The item, once its task is over."""
        request = CloseRequest(work=self.spec, item_id=item.item_id, task_id=item.task_id)
        closed: Closed = await workflow.execute_activity(
            CLOSE.name, request, result_type=Closed, summary=f"task {item.task_id}", **policies.TURN_END
        )
        return closed

    def _end(self) -> str:
        """Why no further item is worked; empty if one may be."""
        if self.is_stopped:
            return "it was told to stop"
        if len(self.items) >= self.spec.max_items:
            return f"{self.spec.max_items} items were worked (max_items)"
        for unit, left in self._left():
            if left is not None and left <= 0:
                return f"{USED_UP} ({unit})"
        return ""

    def _left(self) -> Budget:
        """What is left of the budget of all items. Of a price that nobody knows, nothing is left."""
        budget, took = self.spec.budget, self.took
        usd = Decimal(0) if took.usd is None or budget.usd is None else max(Decimal(0), budget.usd - took.usd)
        ran = (workflow.now() - self.began_at).total_seconds()
        return Budget(
            tokens=None if budget.tokens is None else max(0, budget.tokens - took.tokens),
            usd=None if budget.usd is None else usd,
            calls=None if budget.calls is None else max(0, budget.calls - took.calls),
            seconds=None if budget.seconds is None else max(0.0, budget.seconds - ran),
        )

    @workflow.signal(name=SIGNAL_STOP)
    def stop(self) -> None:
        """Take no further item. The one in work is finished."""
        self.is_stopped = True

    @workflow.query(name=QUERY_WORK)
    def view(self) -> WorkView:
        """How it stands."""
        return WorkView(items=self.items, took=self.took, ended=self.ended)


def _sum(one: Amount, two: Amount) -> Amount:
    usd = None if one.usd is None or two.usd is None else one.usd + two.usd
    return Amount(tokens=one.tokens + two.tokens, usd=usd, calls=one.calls + two.calls)
