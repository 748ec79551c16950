"""Adapter `landlock`: CPython on this machine where user namespaces are blocked.

The same guest and the same two seccomp filters as `local`; in place of namespaces Landlock, a third filter, and a
folder of the host's disk. It keeps less out: docs/security.md lists what.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.errors import NoIsolation
from sandbox import bwrap, interpreter, landlock_entry, landlock_folder, packages, probe, seccomp
from sandbox.base import Box, BoxLost, BoxSpec, Probe
from sandbox.child import Child
from sandbox.interpreter import Interpreter
from sandbox.landlock_box import LandlockBox
from sandbox.landlock_folder import FIRST_UID, BoxFolder
from sandbox.packages import Packages

if TYPE_CHECKING:
    from holdfast.config import Settings

_ENTRY = Path(landlock_entry.__file__)
_DEVICES = {"null": True, "zero": True, "full": True, "random": False, "urandom": False}
"""Whether a program may write to it."""
_CONCEDED = frozenset({"see a host file"})
_SHARED = (*bwrap.SHARED, "/etc/ld.so.cache")


class LandlockAdapter:
    """Starts boxes by way of `landlock_entry`. What it learns about the machine it keeps.

    `stands_in_for` names the adapter that was wanted and did not pass its probe; empty if this one was.
    """

    name = "landlock"

    def __init__(self, settings: "Settings") -> None:
        self.stands_in_for = ""
        self._wanted = settings.sandbox_python_path
        self._uid = FIRST_UID if os.geteuid() == 0 else None
        self._python: Interpreter | None = None
        self._packages, self._home = settings.sandbox_packages, settings.home
        self._extra: Packages | None = None

    @property
    def isolation(self) -> str:
        why = f"in place of {self.stands_in_for!r}, weaker: " if self.stands_in_for else ""
        return (
            f"{why}Landlock, without namespaces: no network, no files of the host, three seccomp filters, rlimits, "
            "watchdog; names and sizes of files, numbers of processes and the host's name can be seen"
        )

    async def probe(self) -> Probe:
        return await probe.remembered((self.name, self._wanted, self._packages), self._probe)

    async def _probe(self) -> Probe:
        try:
            python = await self._interpreter()
            await asyncio.to_thread(landlock_folder.reap)
            capabilities = await probe.try_to_escape(self, conceded=_CONCEDED)
        except (NoIsolation, BoxLost) as exc:
            return Probe(ok=False, problem=str(exc))
        return Probe(
            ok=True, version=f"Landlock {landlock_entry.abi()}, Python {python.version}", capabilities=capabilities
        )

    async def start(self, spec: BoxSpec) -> LandlockBox:
        """A start that is cancelled leaves nothing: it goes on to where it can be ended cleanly."""
        starting = asyncio.ensure_future(self._start(spec))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(BoxLost, NoIsolation):
                await (await starting).kill()
            raise

    def start_key(self, spec: BoxSpec) -> Hashable:
        """All limits can be set when a box is up: by its watchdog, or by `lockdown`."""
        return spec.guest, spec.inputs, frozenset(spec.environment.items())

    def assign(self, box: Box, spec: BoxSpec) -> None:
        cast(LandlockBox, box).assign(spec)

    async def _start(self, spec: BoxSpec) -> LandlockBox:
        python = await self._interpreter()
        if spec.inputs and not spec.inputs.is_dir():
            raise BoxLost(f"box {spec.name!r} did not start: its inputs {str(spec.inputs)!r} are no folder")
        folder: BoxFolder | None = None
        try:
            folder = await asyncio.to_thread(landlock_folder.claim, spec.guest.read_bytes(), spec.inputs)
            if self._extra:
                folder.packages.symlink_to(self._extra.folder)
            child = await Child.spawn(self._command(python, spec, folder), **_options(folder))
        except OSError as exc:
            if folder:
                await asyncio.to_thread(landlock_folder.remove, folder.path)
            raise BoxLost(f"box {spec.name!r} did not start: {exc}") from exc
        return LandlockBox(spec, child, folder)

    def _command(self, python: Interpreter, spec: BoxSpec, folder: BoxFolder) -> list[str]:
        plan = _plan(python, spec, folder)
        return [python.path, "-I", "-S", "-c", _ENTRY.read_text("utf-8"), json.dumps(plan)]

    async def _interpreter(self) -> Interpreter:
        if not sys.platform.startswith("linux"):
            raise NoIsolation(f"Landlock needs Linux, this is {sys.platform}. On Windows, run holdfast in WSL2")
        if self._python is None:
            python = await interpreter.find(self._wanted, self._uid)
            self._extra = await packages.ready(self._packages, python, self._home, self._uid)
            self._python = replace(python, binds=(*python.binds, *self._extra.binds)) if self._extra else python
        return self._python


def _options(folder: BoxFolder) -> dict[str, Any]:
    """Options of subprocess.Popen. A session of its own: no terminal of ours is the program's."""
    return {"cwd": folder.workspace, "env": {}, "start_new_session": True, **interpreter.identity(folder.uid)}


def _plan(python: Interpreter, spec: BoxSpec, folder: BoxFolder) -> dict[str, Any]:
    """See `landlock_entry`. The workspace is where the guest finds itself, and in HOME; /ws is not there."""
    home = {"HOME": str(folder.workspace), "TMPDIR": str(folder.workspace)}
    run, read, folders = _readable(python)
    inputs = [str(spec.inputs.resolve())] if spec.inputs else []
    devices = [f"/dev/{name}" for name, writable in _DEVICES.items() if not writable]
    return {
        "parent": os.getpid(),
        "run": run,
        "read": [*read, *devices, *filter(os.path.exists, _SHARED), *inputs, str(folder.guest)],
        "folders": folders,
        "write": [str(folder.workspace), *(f"/dev/{name}" for name, writable in _DEVICES.items() if writable)],
        "filters": [seccomp.without_namespaces(folder.uid is not None).hex(), seccomp.stage1().hex()],
        "environment": {**bwrap.ENVIRONMENT, **home, **spec.environment},
        "argv": [python.path, *bwrap.PYTHON_OPTIONS, str(folder.guest)],
    }


def _readable(python: Interpreter) -> tuple[list[str], list[str], list[str]]:
    """What may be executed, what may be read, and the folders that may be listed.

    A rule holds for all below it, so packages beside the standard library are left out by naming all but them.
    """
    files = [here for here, _ in python.binds if not os.path.isdir(here)]  # noqa: PTH112
    folders = [here for here, _ in python.binds if os.path.isdir(here)]  # noqa: PTH112
    hidden = set(python.hidden)
    inside = (os.path.join(folder, name) for folder in folders for name in os.listdir(folder))  # noqa: PTH118
    return files, [path for path in inside if path not in hidden and os.path.exists(path)], folders  # noqa: PTH110
