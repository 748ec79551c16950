"""The backlog of a session: follow-up work that its tasks and people put aside, and what works through it."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from holdfast.contracts.base import ActivityRef, Contract
from holdfast.contracts.budget import Amount, Budget
from holdfast.contracts.principal import SessionId, Tenant

BACKLOG_WORKFLOW = "BacklogWorkflow"
QUERY_WORK = "work"
SIGNAL_STOP = "stop"

MAX_TEXT = 16 << 10
MAX_NOTE = 4 << 10
MAX_OPEN = 1000
"""Items of one session that are open or taken. A model that adds for ever is told to stop."""
MAX_ITEMS = 100
"""Items of one order to work."""

ItemState = Literal["open", "taken", "done", "failed"]


class Item(Contract):
    """`note` says what came of it; `taken_by` is the task that works on it, or did; where a call took it,
    `<task>:<call>`."""

    id: str
    text: str
    state: ItemState
    note: str = ""
    taken_by: str | None = None
    created_at: datetime
    updated_at: datetime


class Next(Contract):
    """`item` is null if none is open; `open` counts those that still are."""

    item: Item | None
    open: int


class WorkSpec(Contract):
    """Input of BacklogWorkflow. `budget` is that of all items together; `seconds` of it count from the start. Nobody is
    asked for a top-up of it."""

    tenant: Tenant = "default"
    session_id: SessionId
    trace_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    max_items: int = Field(default=10, ge=1, le=MAX_ITEMS)
    budget: Budget = Budget()

    @property
    def workflow_id(self) -> str:
        return f"{self.tenant}/backlog:{self.session_id}"


class TakeRequest(Contract):
    """Input of `backlog.take`: the next open item becomes a turn of its session. `key` is the idempotency key of its
    task: repeated with it, this leads to the same item and task."""

    work: WorkSpec
    key: str
    budget: Budget = Budget()


class Taken(Contract):
    """Nothing is open if there is no `item_id`. `text` is cut at 500 characters: histories and results have a limit.
    `problem` is why its task could not begin: the item is failed then."""

    item_id: str | None = None
    task_id: str = ""
    text: str = ""
    problem: str = ""


class CloseRequest(Contract):
    """Input of `backlog.close`: mark an item by how its task ended. Tried again for as long as that runs."""

    work: WorkSpec
    item_id: str
    task_id: str


class Closed(Contract):
    """`took` is what the task and all that it started took. `is_used_up`: it failed for want of budget."""

    state: ItemState
    note: str = ""
    took: Amount = Amount()
    is_used_up: bool = False


class Worked(Contract):
    """One item of an order to work. `state` is `taken` as long as its task runs."""

    item_id: str
    task_id: str
    text: str
    state: ItemState = "taken"
    note: str = ""


class WorkView(Contract):
    """Query `work`, and the result. `ended` says why it stopped: nothing is open, `max_items` are done, the budget is
    used up, it was told to, or a task could not begin; empty while it works."""

    items: list[Worked] = []
    took: Amount = Amount()
    ended: str = ""


TAKE: ActivityRef[TakeRequest, Taken] = ActivityRef(name="backlog.take", takes=TakeRequest, gives=Taken)
CLOSE: ActivityRef[CloseRequest, Closed] = ActivityRef(name="backlog.close", takes=CloseRequest, gives=Closed)
