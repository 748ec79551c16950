"""What a folder of the caller's holds while a command may write to it: no kernel limit bounds that."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sandbox import procs
from sandbox.base import Cause
from sandbox.exec_bwrap import CommandLimits
from sandbox.landlock_folder import used


def breach(folder: Path, pid: int, limits: CommandLimits) -> Cause | None:
    """A tmpfs is bounded by its size and, as all of the cgroup, by its memory; a folder of the machine is not."""
    try:
        with _opened(folder) as fd:
            found = used(fd, pid, limits.inodes)
            nameless = _nameless_bytes(procs.tree(pid), os.fstat(fd).st_dev)
    except OSError:
        return "disk"  # the command has closed it: what cannot be counted is too much
    if found.inodes > limits.inodes or found.is_deep:
        return "inodes"
    return "disk" if found.size_bytes + nameless > limits.disk_bytes else None


def _nameless_bytes(pids: list[int], device: int) -> int:
    """What files take that were removed, but are held open: by any thread, since each may have its own descriptors."""
    sizes = {}
    for thread in (thread for pid in pids for thread in procs.threads(pid)):
        with contextlib.suppress(OSError):
            for name in os.listdir(f"{thread}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(f"{thread}/fd/{name}")  # noqa: PTH116
                    if stat.S_ISREG(found.st_mode) and found.st_dev == device and not found.st_nlink:
                        sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)
