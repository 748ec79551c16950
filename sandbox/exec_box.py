"""The `exec` profile: shell commands and scripts of others, which need exec and fork, with the system's programs.

As a box of `local`, but without its second filter; so a cgroup or a scope bounds the memory of all processes together.
"""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import NoIsolation
from sandbox import bwrap, exec_memory
from sandbox.base import BoxLost
from sandbox.exec_bwrap import Command, CommandLimits
from sandbox.exec_memory import Controller
from sandbox.exec_run import Finished, Run

EXEC_UID = 60999
"""Whom commands run as where the worker is root: not whom programs' boxes run as."""

MOUNTS = Path("/proc/self/mounts")

# It does not end at once: a scope of systemd's goes with its last process, and with it the count of kills.
_PROBE = Command(
    "head -c 300000000 /dev/zero | tail; sleep 5", limits=CommandLimits(memory_bytes=64 << 20, wall_seconds=30)
)


@dataclass(frozen=True)
class Exec:
    """What runs commands on this machine: bubblewrap, and what bounds memory (None: the user's systemd does)."""

    bwrap: bwrap.Bwrap
    controller: Controller | None
    systemd_run: str

    @property
    def uid(self) -> int | None:
        """Whom commands run as, and a workspace must belong to; None: the worker's own user."""
        return EXEC_UID if os.geteuid() == 0 else None

    @property
    def bound(self) -> str:
        """What bounds the memory, for people."""
        return "systemd scope" if self.controller is None else f"cgroup v{2 if self.controller.is_v2 else 1}"

    async def run(self, command: Command) -> Finished:
        """Run it to its end, or to a limit. No process of it is left after that, also if this is cancelled.

        Raises:
            BoxLost: it did not start; says why.
        """
        running = asyncio.ensure_future(Run(self, command).finish())
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError, BoxLost):
                await running
            raise


async def find(mounts: Path = MOUNTS, systemd_run: str = "systemd-run") -> Exec:
    """Find what commands need here, and try it: a command that takes too much memory has to be ended for it.

    Raises:
        NoIsolation: this machine lacks something; says what to set up.
    """
    if not sys.platform.startswith("linux"):
        raise NoIsolation(f"commands of others need Linux, this is {sys.platform}. On Windows, run holdfast in WSL2")
    controller = exec_memory.controller(mounts)
    if controller is None:
        exec_memory.scope(1 << 30, systemd_run)
    found = Exec(await asyncio.to_thread(bwrap.find), controller, systemd_run)
    try:
        finished = await found.run(_PROBE)
    except BoxLost as exc:
        raise NoIsolation(f"{exc}. {bwrap.advice(str(exc))}".strip()) from exc
    if finished.cause != "memory":
        raise NoIsolation(f"a command took more memory than its {found.bound} allows. {exec_memory.refusal()}")
    return found


async def capability() -> tuple[str, ...]:
    """What a probe tells of this machine: "exec" if commands can be run here."""
    try:
        await find()
    except NoIsolation:
        return ()
    return ("exec",)
