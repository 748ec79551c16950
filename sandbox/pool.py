"""The boxes of a worker: a bound on how many live, and a few that are up before anybody asks.

A box is used once, warm or not. What is started is ended here, on every way out.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import structlog

from holdfast.errors import NoIsolation
from sandbox import memory
from sandbox.base import Adapter, Box, BoxLost, BoxSpec, MemoryShort, ProtocolViolation, Warming
from sandbox.channel import Channel

LEAST_FREE = 0.10
"""Of the machine's memory. Below it no box is begun: the kernel would soon choose whom to kill, and it may be us."""

_LOOK_SECONDS = 0.25
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 30.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Session:
    """A box whose guest is up, and the channel to it."""

    box: Box
    channel: Channel

    @classmethod
    async def begin(cls, adapter: Adapter, spec: BoxSpec) -> Self:
        """
        Raises:
            BoxLost: it did not come up; nothing of it is left.
        """
        box = await adapter.start(spec)
        session = cls(box, Channel(box))
        try:
            await session.channel.ready()
        except BaseException as exc:
            await asyncio.shield(box.kill())
            if isinstance(exc, ProtocolViolation):
                raise BoxLost(f"the guest of box {spec.name!r} did not begin well: {exc}") from exc
            raise
        return session


@dataclass(frozen=True, eq=False)
class _Idle:
    session: Session
    watching: "asyncio.Task[None]"


class Pool:
    """At most `max_sessions` boxes of one adapter live at once, idle ones included; who comes later waits in order.

    Up to `warm` boxes are kept idle, started like `template`, for whoever wants such a one.
    """

    def __init__(
        self,
        adapter: Adapter,
        template: BoxSpec,
        max_sessions: int = 10,
        warm: int = 2,
        free: Callable[[], float] = memory.available_share,
        patience_s: float = 30.0,
    ) -> None:
        """`free` tells the part of the machine's memory that is free; `patience_s`: how long to wait for some."""
        self.adapter, self.max_sessions = adapter, max_sessions
        self.problem = ""
        """Why the last start failed; empty if it did not."""
        self._template, self._free, self._patience_s = template, free, patience_s
        self._warming = adapter if isinstance(adapter, Warming) else None
        self._wanted = min(warm, max_sessions) if self._warming else 0
        self._turns = asyncio.Semaphore(max_sessions)
        self._busy = 0
        self._idle: deque[_Idle] = deque()
        self._start: asyncio.Task[bool] | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def live(self) -> int:
        """Boxes that a program has now, from before their start until nothing of them is left."""
        return self._busy

    @property
    def warm(self) -> int:
        """Boxes that are up and idle."""
        return len(self._idle)

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep_warm())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """End all that is idle or just starting. Sessions are over by now: their programs end before."""
        assert self._keeper is not None
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        while self._idle:
            self._discard(self._idle.popleft())
        while self._tasks:
            await asyncio.wait(self._tasks)

    @contextlib.asynccontextmanager
    async def session(self, spec: BoxSpec) -> AsyncIterator[Session]:
        """A box for one program, warm if it can be. Gone at the end, and its place with it.

        Raises:
            BoxLost: it did not start.
            MemoryShort: the machine has too little free memory, and it did not get better.
        """
        await self._turns.acquire()
        self._busy += 1
        try:
            await self._await_memory()
            session = await self._begin(spec)
        except BaseException:
            self._leave()
            raise
        try:
            yield session
        finally:
            await asyncio.shield(self._spawn(self._end(session.box)))

    async def _end(self, box: Box) -> None:
        try:
            await box.kill()
        finally:
            self._leave()

    def _leave(self) -> None:
        self._busy -= 1
        self._turns.release()
        self._changed.set()

    async def _await_memory(self) -> None:
        deadline = time.monotonic() + self._patience_s
        while (free := self._free()) < LEAST_FREE:
            if time.monotonic() > deadline:
                raise MemoryShort(self._too_little(free))
            await asyncio.sleep(_LOOK_SECONDS)

    def _too_little(self, free: float) -> str:
        return (
            f"{free:.1%} of this machine's memory is free, for {self._patience_s:g} s; below {LEAST_FREE:.0%} no box "
            f"is begun, so that the kernel need not end one. {self._busy} of {self.max_sessions} boxes have a program: "
            "lower SANDBOX_MAX_SESSIONS, stop what else runs on this machine, or add memory"
        )

    async def _begin(self, spec: BoxSpec) -> Session:
        while True:
            if self._idle and self._is_like_template(spec):
                if session := await self._take(self._idle.popleft(), spec):
                    return session
            elif not self._is_crowded():
                return await self._started(spec)
            elif self._idle:
                await asyncio.shield(self._discard(self._idle.popleft()))
            else:
                assert self._start is not None
                await asyncio.wait([self._start])

    async def _started(self, spec: BoxSpec) -> Session:
        try:
            session = await Session.begin(self.adapter, spec)
        except (BoxLost, NoIsolation) as exc:
            self.problem = str(exc)[:500]
            raise
        self.problem = ""
        return session

    def _is_like_template(self, spec: BoxSpec) -> bool:
        key = self._warming.start_key if self._warming else None
        return key is not None and key(spec) == key(self._template)

    def _is_crowded(self) -> bool:
        is_starting = self._start is not None and not self._start.done()
        return self._busy + len(self._idle) + is_starting > self.max_sessions

    async def _take(self, idle: _Idle, spec: BoxSpec) -> Session | None:
        """The idle box for `spec`, or None if it has died."""
        assert self._warming is not None
        self._changed.set()
        idle.watching.cancel()
        try:
            await asyncio.wait([idle.watching])
            self._warming.assign(idle.session.box, spec)
        except BoxLost:
            log.warning("box.idle_lost", adapter=self.adapter.name)
            await asyncio.shield(self._discard(idle))
            return None
        except BaseException:
            self._discard(idle)
            raise
        return idle.session

    # idle boxes

    async def _keep_warm(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if not self._may_warm():
                self._changed.clear()
                await self._changed.wait()
            elif self._free() < LEAST_FREE:
                await asyncio.sleep(_LOOK_SECONDS)
            elif await self._started_one():
                pause = _FIRST_PAUSE_SECONDS
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _may_warm(self) -> bool:
        return len(self._idle) < self._wanted and self._busy + len(self._idle) < self.max_sessions

    async def _started_one(self) -> bool:
        """A task of its own: who finds no other place for a box waits for it."""
        self._start = asyncio.create_task(self._warm_one())
        return await self._start

    async def _warm_one(self) -> bool:
        try:
            session = await self._started(self._template)
        except (BoxLost, NoIsolation) as exc:
            log.warning("box.not_warmed", adapter=self.adapter.name, reason=str(exc)[:500])
            return False
        self._idle.append(_Idle(session, self._spawn(self._watch(session))))
        return True

    async def _watch(self, session: Session) -> None:
        """An idle guest has nothing to say: whatever comes, it is the end of it."""
        with contextlib.suppress(ProtocolViolation):
            await session.channel.receive()
        for idle in [idle for idle in self._idle if idle.session is session]:
            self._idle.remove(idle)
            log.warning("box.idle_lost", adapter=self.adapter.name)
        await session.box.kill()
        self._changed.set()

    def _discard(self, idle: _Idle) -> "asyncio.Task[None]":
        idle.watching.cancel()
        return self._spawn(idle.session.box.kill())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task that goes on when who waits for it is cancelled; `__aexit__` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
