"""Adapter `local`: CPython on this machine, in bubblewrap.

What holds a program: its own namespaces, a root of read-only binds, no capability, two seccomp filters, rlimits,
and a watchdog for the rest.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from holdfast.errors import NoIsolation
from sandbox import bwrap, exec_box, interpreter, packages, probe, procs
from sandbox.base import Box, BoxLost, BoxSpec, Probe
from sandbox.bwrap import Bwrap
from sandbox.interpreter import Interpreter
from sandbox.local_box import LocalBox, launch

if TYPE_CHECKING:
    from holdfast.config import Settings

BOX_UID = 61001
"""Whom a box runs as where the worker is root: root in a user namespace is still root to the rest of the kernel."""


class LocalAdapter:
    """Starts boxes with bubblewrap. What it learns about the machine (interpreter, libraries) it keeps."""

    name = "local"
    stands_in_for = ""
    isolation = "bubblewrap: own namespaces, no network, read-only root, two seccomp filters, rlimits, watchdog"

    def __init__(self, settings: "Settings") -> None:
        self._wanted = settings.sandbox_python_path
        self._packages, self._home = settings.sandbox_packages, settings.home
        self._uid = BOX_UID if os.geteuid() == 0 else None
        self._found: tuple[Bwrap, Interpreter] | None = None

    async def probe(self) -> Probe:
        return await probe.remembered((self.name, self._wanted, self._packages), self._probe)

    async def _probe(self) -> Probe:
        try:
            tools, python = await self._tools()
            procs.reap_orphans()
            capabilities = (*await probe.try_to_escape(self), *await exec_box.capability())
        except NoIsolation as exc:
            return Probe(ok=False, problem=str(exc))
        except BoxLost as exc:
            advice = bwrap.advice(str(exc))
            return Probe(ok=False, problem=f"{exc}. {advice}".strip(), lacks_namespaces=bool(advice))
        return Probe(ok=True, version=f"{tools.version}, Python {python.version}", capabilities=capabilities)

    async def start(self, spec: BoxSpec) -> LocalBox:
        """A start that is cancelled leaves nothing: it goes on to where it can be ended cleanly."""
        starting = asyncio.ensure_future(self._start(spec))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(BoxLost, NoIsolation):
                await (await starting).kill()
            raise

    def start_key(self, spec: BoxSpec) -> Hashable:
        """All but the size of /ws can still be set when a box is up: by its watchdog, or by `lockdown`."""
        return spec.guest, spec.inputs, frozenset(spec.environment.items()), spec.limits.disk_bytes

    def assign(self, box: Box, spec: BoxSpec) -> None:
        cast(LocalBox, box).assign(spec)

    async def _start(self, spec: BoxSpec) -> LocalBox:
        tools, python = await self._tools()
        if spec.inputs and not spec.inputs.is_dir():
            raise BoxLost(f"box {spec.name!r} did not start: its inputs {str(spec.inputs)!r} are no folder")
        who = interpreter.identity(self._uid)
        return await launch(
            spec, lambda fds: bwrap.command(tools, python, spec, fds), executable=tools.path, env={}, cwd="/", **who
        )

    async def _tools(self) -> tuple[Bwrap, Interpreter]:
        if not sys.platform.startswith("linux"):
            raise NoIsolation(f"bubblewrap needs Linux, this is {sys.platform}. On Windows, run holdfast in WSL2")
        if self._found is None:
            tools = await asyncio.to_thread(bwrap.find)
            python = await interpreter.find(self._wanted, self._uid)
            extra = await packages.ready(self._packages, python, self._home, self._uid)
            self._found = (tools, replace(python, binds=(*python.binds, *extra.binds)) if extra else python)
        return self._found
