"""The process tree as /proc tells it: which sandboxes hang below one of our workers."""

from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_BOX = "bwrap"


class Process(NamedTuple):
    pid: int
    parent: int
    name: str


def boxes(worker_pid: int) -> list[int]:
    """Process ids of the sandboxes of a worker: the outermost process of each. Killing it kills all within."""
    below = descendants(worker_pid)
    names = {process.pid: process.name for process in below}
    return [process.pid for process in below if process.name == _BOX and names.get(process.parent) != _BOX]


def descendants(pid: int) -> list[Process]:
    """All processes below `pid`, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in _all():
        children.setdefault(process.parent, []).append(process)
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += [process.pid for process in below]
    return found


def _all() -> list[Process]:
    folders = [folder for folder in _PROC.iterdir() if folder.name.isdigit()] if _PROC.is_dir() else []
    return [process for folder in folders if (process := _read(folder)) is not None]


def _read(folder: Path) -> Process | None:
    """None if it has ended. The name stands in brackets and may hold any character, brackets too."""
    try:
        text = (folder / "stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, parent, *_ = rest.split()
    return None if state == "Z" else Process(int(folder.name), int(parent), name)
