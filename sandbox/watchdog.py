"""Looks at a running box five times a second, for what no kernel limit bounds."""

import asyncio
import os
from collections.abc import Callable

from sandbox.base import BoxLimits, Cause
from sandbox.lockdown import MEMORY_HEADROOM_BYTES
from sandbox.procs import resident_bytes, tree

INTERVAL_S = 0.2


async def watch(
    pid: int, workspace: Callable[[], int | None], limits: BoxLimits, stop: Callable[[Cause], None]
) -> None:
    """Call `stop` at the first breach, then end.

    `pid` is the root of the box's tree; `workspace` gives a descriptor of its /ws, or None as long as there is none.
    A tmpfs made by bubblewrap has a size, but no inode limit: millions of empty files are kernel memory. Resident
    memory is the second line behind RLIMIT_AS, which the program meets first, as a MemoryError.
    """
    while True:
        await asyncio.sleep(INTERVAL_S)
        cause = breach(pid, workspace(), limits)
        if cause:
            stop(cause)
            return


def breach(pid: int, workspace: int | None, limits: BoxLimits) -> Cause | None:
    if resident_bytes(tree(pid)) > limits.memory_bytes + MEMORY_HEADROOM_BYTES:
        return "memory"
    if workspace is not None and _inodes(workspace) > limits.inodes:
        return "inodes"
    return None


def _inodes(workspace: int) -> int:
    found = os.fstatvfs(workspace)
    return found.f_files - found.f_ffree
