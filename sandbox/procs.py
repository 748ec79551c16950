"""Processes as /proc shows them: a tree, its memory, and boxes whose worker is gone."""

import contextlib
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_OURS = "holdfast-box"
_serial = itertools.count(1)


def tree(root: int) -> list[int]:
    """`root` and all its living descendants, parents first."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    pids: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                pids += map(int, file.read().split())
    return pids


def resident_bytes(pids: list[int]) -> int:
    """With their page tables: 60,000 single pages far from each other need 500 MB of these."""
    return sum(_resident(telling(pid)) for pid in pids)


def telling(pid: int) -> str:
    """Its folder in /proc, or that of a thread: where the first one has ended alone, the process's own is empty."""
    own = f"/proc/{pid}"
    return own if _has_memory(own) else next(filter(_has_memory, threads(pid)), own)


def threads(pid: int) -> list[str]:
    """The folders in /proc of its threads."""
    try:
        return [f"/proc/{pid}/task/{number}" for number in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _has_memory(folder: str) -> bool:
    try:
        with open(f"{folder}/statm", "rb") as file:
            return not file.read().startswith(b"0 ")
    except OSError:
        return False


def _resident(folder: str) -> int:
    try:
        with open(f"{folder}/status", "rb") as file:
            rows = dict(
                line.split(b":", 1) for line in file.read().splitlines() if line.startswith((b"VmRSS", b"VmPTE"))
            )
            return sum(int(row.split()[0]) * 1024 for row in rows.values())
    except (OSError, ValueError, IndexError):
        return 0


def new_title() -> str:
    """argv[0] of a box about to start: tells people what it is, us which, and `reap_orphans` whose."""
    pid = os.getpid()
    return f"{_OURS}/{_pid_namespace()}/{pid}/{_started(pid)}/{next(_serial)}"


def kill_titled(title: str) -> int:
    """Kill every process whose argv[0] that is; returns how many there were.

    For a start that failed: bwrap's child waits for ever for a parent that died early, and only its title is known.
    """
    return sum(_kill(pid) for pid, found in _titles() if found == title)


def reap_orphans() -> int:
    """Kill boxes of workers that are gone; returns how many processes that were.

    The kernel ends a box with its worker, but for the first milliseconds of a start, when bwrap has not yet asked for
    it. Another pid namespace is left alone: its worker would only look dead from here.
    """
    return sum(_kill(pid) for pid, title in _titles() if is_orphan(title))


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True


def _titles() -> Iterator[tuple[int, str]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                title = (entry / "cmdline").read_bytes().split(b"\0")[0]
                yield int(entry.name), title.decode("utf-8", "replace")


def is_orphan(title: str) -> bool:
    """Whether a title is that of a worker of this pid namespace that is gone."""
    match title.split("/"):
        case [name, namespace, pid, started, _serial] if name == _OURS and pid.isdigit():
            return namespace == str(_pid_namespace()) and _started(int(pid)) != started
        case _:
            return False


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; "" if there is none. With the pid, a name that is never reused."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
