"""What changes among tasks, told to all sockets of this process that listen, from one look at the store.

It is read from the store, and not heard in this process: another API, or a worker, may have made the change.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import cast

from api.house import House
from api.view import STATUS, value
from holdfast import log
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.program import FINAL, TaskState
from holdfast.errors import HoldfastError, NotFound
from store.records import TaskRow

LOOK_SECONDS = 0.2
MAX_WAITING = 1000
"""So many messages wait for a slow reader. Whoever is further behind is let go, and has to look at the tasks anew."""
MAX_OUTPUT_BYTES = 256 << 10
_OVERLAP = timedelta(seconds=5)
"""So far back each look reaches: a row is visible only once it is committed, and clocks differ."""
_REMEMBERED = 20_000

_log = log.get_logger(__name__)
_Key = tuple[str, str]


class TaskChanged(Contract):
    """A task is there, goes on, or is over. `status` is one of `pending running done error`, `state` is ours.

    `output` comes with the end; null if its JSON has more than 256 KiB: then `GET /tasks/{id}` has it.
    """

    task_id: str
    status: str
    state: TaskState
    type: str
    output: Json = None
    error: str | None = None
    updated_at: datetime


class Listener:
    """What one socket hears of a tenant's tasks. `is_lost`: it did not keep up, or nobody looks any more."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.is_lost = asyncio.Event()
        self._waiting: asyncio.Queue[TaskChanged] = asyncio.Queue(MAX_WAITING)

    def tell(self, change: TaskChanged) -> None:
        try:
            self._waiting.put_nowait(change)
        except asyncio.QueueFull:
            self.is_lost.set()

    async def next(self) -> TaskChanged:
        return await self._waiting.get()


class Changes:
    """Looks at the store as long as somebody listens. `count` says how many sockets are open, of whatever kind."""

    def __init__(self) -> None:
        self.count = 0
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._begun = asyncio.Lock()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    @asynccontextmanager
    async def heard(self, house: House, tenant: str) -> AsyncIterator[Listener]:
        """A listener who hears of every change from now on.

        Raises:
            StoreUnavailable: nobody can look now.
        """
        listener = Listener(tenant)
        async with self._begun:
            if self._looking is None or self._looking.done():
                look = Look(house)
                await look.news()
                self._looking = asyncio.create_task(self._look(look))
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._looking:
                self._looking.cancel()
                self._looking = None

    async def _look(self, look: "Look") -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                with contextlib.suppress(HoldfastError):
                    await self._tell(look)
        except Exception:
            _log.exception("changes.fault")
            raise
        finally:
            for listener in self._listeners:
                listener.is_lost.set()

    async def _tell(self, look: "Look") -> None:
        for key, states in (await look.news()).items():
            listeners = [one for one in self._listeners if one.tenant == key[0]]
            if listeners:
                for change in await look.told(key, states):
                    for listener in listeners:
                        listener.tell(change)


class Look:
    """Looks for changes of the tasks that people asked for. It remembers what it has seen, to tell each change once."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen: OrderedDict[_Key, TaskState] = OrderedDict()
        self._since = datetime.now(UTC) - _OVERLAP

    async def news(self) -> dict[_Key, list[TaskState]]:
        """Tasks that have changed since the last look, and which states they went through."""
        found: dict[_Key, list[TaskState]] = {}
        since = self._since
        for row in await self._house.records.changed(since):
            key, state = (row.tenant, row.id), cast(TaskState, row.state)
            before = self._seen.get(key)
            self._since = max(self._since, row.updated_at - _OVERLAP)
            self._remember(key, state)
            if before != state and before not in FINAL:
                is_new = before is None and row.created_at > since
                found[key] = _through(before, state, is_new=is_new)
        return found

    def _remember(self, key: _Key, state: TaskState) -> None:
        if self._seen.get(key) not in FINAL:
            self._seen[key] = state
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    async def told(self, key: _Key, states: list[TaskState]) -> list[TaskChanged]:
        """What is said of a task that went through these states."""
        try:
            row = await self._house.records.get(*key)
        except NotFound:
            return []
        if row.failure and row.failure.get("type") == "NotStarted":
            states = [state for state in states if state != "RUNNING"]
        return [await self._change(row, state) for state in states]

    async def _change(self, row: TaskRow, state: TaskState) -> TaskChanged:
        is_end, is_past = state in FINAL, state != row.state
        when = {"PENDING": row.created_at, "RUNNING": row.started_at}.get(state) if is_past else None
        return TaskChanged(
            task_id=row.id,
            status=STATUS[state],
            state=state,
            type=row.type,
            output=await self._output(row) if is_end else None,
            error=row.failure["message"] if is_end and row.failure else None,
            updated_at=when or row.updated_at,
        )

    async def _output(self, row: TaskRow) -> Json:
        ref = row.output_ref
        if ref is None:
            return row.output
        is_small = self._house.blobs.path(ref).stat().st_size <= MAX_OUTPUT_BYTES
        return await value(self._house, None, ref) if is_small else None


def _through(before: TaskState | None, state: TaskState, *, is_new: bool) -> list[TaskState]:
    """The states to tell of, in order. A look may come after a task has begun, or ended: it did run in between."""
    path: list[TaskState] = ["PENDING"] if is_new and state != "PENDING" else []
    has_run = before == "PENDING" or is_new
    if has_run and state not in ("PENDING", "RUNNING"):
        path.append("RUNNING")
    return [*path, state]
