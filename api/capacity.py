"""How many tasks may be in work at once. Beyond it the door says when to come back, and nothing is recorded.

In work are the store's rows that are PENDING or RUNNING: a task that waits for an answer costs nothing. They are
counted once a second at most, and in between the count grows by what this process takes. So the bound is exact for one
API process; several pass it by no more than what the others take within a second.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from holdfast.errors import TooManyTasks

FRESH_SECONDS = 1.0
LONGEST_SECONDS = 60
_SLOWEST = 1.0
"""Ends a second, at least, by which a waiting caller is told to come back: coming too early costs little."""
_TENANTS = 1000
CHECKS = 4
"""Requests that are checked at once: each takes a processor for 50 ms, and threads that others need."""
STARTS = 16
"""Workflows that are being started at once: a server that is asked for hundreds answers few of them in time."""
WAITING = 1000
"""Tasks that are recorded and wait to be started: a dev server starts 20 to 30 a second."""
_SOON_SECONDS = 5

Count = Callable[[str | None], Awaitable[int]]


@dataclass
class Place:
    """Room for one task, given back unless it is used: then its row is made, and the store counts it."""

    is_used: bool = False


class Bound:
    """One limit, and what stands against it: rows that were counted, rows made since, and places that are held."""

    def __init__(self, limit: int, count: Callable[[], Awaitable[int]]) -> None:
        self.limit = limit
        self._count = count
        self._counted, self._made, self._held, self._refused = 0, 0, 0, 0
        self._ends_per_second = _SLOWEST
        self._looked_at = -math.inf
        self._looking = asyncio.Lock()

    @property
    def used(self) -> int:
        return self._counted + self._made + self._held

    @property
    def is_full(self) -> bool:
        return self.used >= self.limit

    @property
    def is_forgettable(self) -> bool:
        return self._held == 0 and not self._looking.locked() and time.monotonic() - self._looked_at > FRESH_SECONDS

    async def look(self) -> None:
        """Count anew, if the last count is a second old. Those that come meanwhile wait for the same count."""
        async with self._looking:
            if time.monotonic() - self._looked_at < FRESH_SECONDS:
                return
            made_before = self._made
            counted, now = await self._count(), time.monotonic()
            ends = self._counted + made_before - counted
            self._ends_per_second = max(_SLOWEST, ends / (now - self._looked_at))
            # Rows made while the count ran may be in it or not: they count twice for a second, rather than not at all.
            self._counted, self._made = counted, self._made - made_before
            self._looked_at, self._refused = now, 0

    def hold(self) -> None:
        self._held += 1

    def free(self, is_used: bool) -> None:
        self._held -= 1
        self._made += is_used

    def wait_seconds(self) -> int:
        """When to come back: those that are refused get their turns one after the other, as fast as tasks end now."""
        self._refused += 1
        return min(LONGEST_SECONDS, math.ceil(self._refused / self._ends_per_second))


class Capacity:
    """The bounds of the house and of each tenant. `in_work` counts the rows of a tenant, or of all (None)."""

    def __init__(self, in_work: Count, max_tasks: int, max_tenant_tasks: int) -> None:
        self._in_work = in_work
        self._tenant_limit = max_tenant_tasks
        self._house = Bound(max_tasks, lambda: in_work(None))
        self._tenants: dict[str, Bound] = {}
        self.checks = asyncio.Semaphore(CHECKS)
        self._turns = asyncio.Semaphore(STARTS)
        self._starting = 0

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[Place]:
        """Room for one task of a tenant.

        Raises:
            TooManyTasks: there is none now (says when to come back).
        """
        if self._starting >= WAITING:
            raise _too_fast()
        bounds = {"tenant": self._of(tenant), "house": self._house}
        for bound in bounds.values():
            await bound.look()
        for whose, bound in bounds.items():
            if bound.is_full:
                raise _refusal(whose, tenant, bound)
        place = Place()
        for bound in bounds.values():
            bound.hold()
        try:
            yield place
        finally:
            for bound in bounds.values():
                bound.free(place.is_used)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn to start a workflow."""
        self._starting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._starting -= 1

    async def in_work(self) -> int:
        """Tasks in work, as counted within the last second."""
        await self._house.look()
        return self._house.used

    def _of(self, tenant: str) -> Bound:
        if tenant not in self._tenants and len(self._tenants) >= _TENANTS:
            self._tenants = {name: bound for name, bound in self._tenants.items() if not bound.is_forgettable}
        return self._tenants.setdefault(tenant, Bound(self._tenant_limit, lambda: self._in_work(tenant)))


def _too_fast() -> TooManyTasks:
    text = f"{WAITING} tasks wait to be started; nothing was recorded. Send the same request again in {_SOON_SECONDS} s"
    return TooManyTasks(text, _SOON_SECONDS, scope="starts", limit=WAITING, retry_after_seconds=_SOON_SECONDS)


def _refusal(whose: str, tenant: str, bound: Bound) -> TooManyTasks:
    seconds = bound.wait_seconds()
    setting = "max_tenant_tasks" if whose == "tenant" else "max_tasks"
    owner = f"tenant {tenant!r}" if whose == "tenant" else "this holdfast"
    return TooManyTasks(
        f"{owner} has {bound.used} tasks in work, {bound.limit} are allowed (setting {setting}); nothing was recorded. "
        f"Send the same request again in {seconds} s",
        seconds,
        scope=whose,
        in_work=bound.used,
        limit=bound.limit,
        retry_after_seconds=seconds,
    )
