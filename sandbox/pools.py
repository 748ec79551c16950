"""The pools of a worker: that of its own adapter, and those that agents ask for by name, opened when one first does.

How many programs run at once is bounded by the worker, which takes no more activities than that.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Self

from holdfast.errors import NoIsolation
from sandbox.base import BoxSpec, Probe, load
from sandbox.pool import Pool

if TYPE_CHECKING:
    from holdfast.config import Settings


class Pools:
    """`opened` are all that there are, each with what its adapter found here; the worker's own is the first."""

    def __init__(self, settings: "Settings", own: Pool, probe: Probe, template: BoxSpec) -> None:
        self.opened = [(own, probe)]
        self._own, self._settings, self._template = own, settings, template
        self._opening = asyncio.Lock()
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._closing.enter_async_context(self._own)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def named(self, name: str) -> Pool:
        """That of the adapter `name`; the worker's own for "", and for the adapter that it stands in for.

        Raises:
            NoIsolation: it is not there; says what was asked for, what there is, and how to get it.
        """
        if name in ("", self._own.adapter.stands_in_for):
            return self._own
        async with self._opening:
            found = next((pool for pool, _ in self.opened if pool.adapter.name == name), None)
            return found or await self._open(name)

    async def _open(self, name: str) -> Pool:
        try:
            adapter = load(name, self._settings)
            probe = await adapter.probe()
        except NoIsolation as exc:
            raise self._missing(name, str(exc)) from exc
        if not probe.ok:
            raise self._missing(name, probe.problem)
        # None idle: few agents ask, and memory is the worker's own pool's.
        pool = Pool(adapter, self._template, self._settings.sandbox_max_sessions, warm=0)
        await self._closing.enter_async_context(pool)
        self.opened.append((pool, probe))
        return pool

    def _missing(self, name: str, problem: str) -> NoIsolation:
        return NoIsolation(
            f"the agent asks for sandbox {name!r} (`sandbox: {{adapter: …}}` in its file), and this worker cannot "
            f"begin it; it has {self._own.adapter.name!r}. {problem.rstrip('.')}. Mend that on the worker's machine "
            "(holdfast doctor tells more), or take the key out of the agent's file"
        )
