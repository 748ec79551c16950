"""What bounds the memory of all processes of a box together: a cgroup, made as root, or a scope of systemd's.

rlimits bound one process each, and a box that may fork has many. See the kernel's cgroup-v1/memory and cgroup-v2.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import NoIsolation
from sandbox import procs

_UNBOUNDED = 1 << 60
_PREFIX = "holdfast-box:"
_ROUNDS = 200


@dataclass(frozen=True)
class Controller:
    """Where cgroups with the memory controller are made. `is_v2` decides how the files in them are called."""

    parent: Path
    is_v2: bool


@dataclass(frozen=True)
class Cgroup:
    """One box's. `remove` it after the box; one that systemd made goes by itself."""

    path: Path
    is_ours: bool = True

    def add(self, pids: list[int]) -> None:
        for pid in pids:
            (self.path / "cgroup.procs").write_text(str(pid), "ascii")

    def had_to_kill(self) -> bool:
        """Whether the kernel ended a process for want of memory within the bound."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                lines = (self.path / name).read_text("ascii").splitlines()
                return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)
        return False

    async def remove(self) -> None:
        """Its processes have ended; the kernel may take a moment to see it empty."""
        for _ in range(_ROUNDS if self.is_ours else 0):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                await asyncio.sleep(0.01)
            else:
                return


def controller(mounts: Path = Path("/proc/self/mounts")) -> Controller | None:
    """Where this process may make cgroups that bound memory; None if nowhere.

    Inside of what bounds the worker, if something does: a box is not to escape a limit that was set for its worker.
    """
    for root, is_v2 in _hierarchies(mounts):
        parent = _parent(root, is_v2)
        with contextlib.suppress(OSError):
            _remove_orphans(parent)
            trial = create(Controller(parent, is_v2), 1 << 30)
            trial.path.rmdir()
            return Controller(parent, is_v2)
    return None


def create(where: Controller, memory_bytes: int) -> Cgroup:
    """A new one, still empty.

    Raises:
        OSError: not allowed here, or without the memory controller.
    """
    path = where.parent / (_PREFIX + procs.new_title().partition("/")[2].replace("/", ":"))
    if where.is_v2:
        with contextlib.suppress(OSError):
            (where.parent / "cgroup.subtree_control").write_text("+memory", "ascii")
    path.mkdir()
    try:
        _limit(path, where.is_v2, memory_bytes)
    except OSError:
        path.rmdir()
        raise
    return Cgroup(path)


def scope(memory_bytes: int, systemd_run: str = "systemd-run") -> list[str]:
    """Words before a command that make the user's systemd bound its memory.

    Raises:
        NoIsolation: there is no systemd of this user.
    """
    found = shutil.which(systemd_run)
    if found is None or not (Path(bus()["XDG_RUNTIME_DIR"]) / "systemd" / "private").exists():
        raise NoIsolation(refusal())
    limits = ("-p", f"MemoryMax={memory_bytes}", "-p", "MemorySwapMax=0")
    return [found, "--user", "--scope", "--quiet", "--collect", *limits, "--"]


def bus() -> dict[str, str]:
    """The environment in which systemd-run finds the user's systemd."""
    return {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}"), "PATH": os.defpath}


def scope_of(pid: int, mounts: Path = Path("/proc/self/mounts")) -> Cgroup:
    """The cgroup that systemd put a process into."""
    for root, is_v2 in _hierarchies(mounts):
        return Cgroup(root / _own(is_v2, pid).lstrip("/"), is_ours=False)
    raise NoIsolation(refusal())


def refusal() -> str:
    who = "root may make no memory cgroup here" if os.geteuid() == 0 else "this user has no systemd to ask for a scope"
    return (
        f"commands and scripts of others are not run on this machine: nothing bounds the memory of all their "
        f"processes together ({who}). Set up one of: a worker that runs as root where /sys/fs/cgroup is writable and "
        f"has the memory controller (docker: --cgroupns=private and a writable /sys/fs/cgroup); or a worker that runs "
        f"as a user with a systemd of its own, on cgroup v2 (loginctl enable-linger USER, and "
        f"XDG_RUNTIME_DIR=/run/user/UID for the worker)"
    )


def _hierarchies(mounts: Path) -> Iterator[tuple[Path, bool]]:
    """Mounted hierarchies with the memory controller: where, and whether of version 2."""
    rows = (line.split() for line in mounts.read_text("utf-8", "replace").splitlines())
    for _, where, kind, options, *_ in rows:
        if kind == "cgroup" and "memory" in options.split(","):
            yield Path(where), False
        elif kind == "cgroup2" and "memory" in _controllers(Path(where)):
            yield Path(where), True


def _controllers(root: Path) -> list[str]:
    try:
        return (root / "cgroup.controllers").read_text("ascii").split()
    except OSError:
        return []


def _parent(root: Path, is_v2: bool) -> Path:
    own = root / _own(is_v2, os.getpid()).lstrip("/")
    for folder in (own, *own.parents):
        if folder == root:
            break
        if _is_bounded(folder, is_v2):
            return own
    return root


def _own(is_v2: bool, pid: int) -> str:
    for line in Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines():
        _, names, path = line.split(":", 2)
        if (not names and is_v2) or ("memory" in names.split(",") and not is_v2):
            return path
    return "/"


def _is_bounded(folder: Path, is_v2: bool) -> bool:
    try:
        found = (folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")).read_text("ascii").strip()
    except OSError:
        return False
    return found != "max" and int(found) < _UNBOUNDED


def _limit(path: Path, is_v2: bool, memory_bytes: int) -> None:
    bound, swap = (
        ("memory.max", "memory.swap.max") if is_v2 else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    )
    (path / bound).write_text(str(memory_bytes), "ascii")
    # Not everywhere: kernels without swap accounting do not have it.
    if (path / swap).exists():
        (path / swap).write_text("0" if is_v2 else str(memory_bytes), "ascii")


def _remove_orphans(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        if procs.is_orphan("holdfast-box/" + path.name.removeprefix(_PREFIX).replace(":", "/")):
            with contextlib.suppress(OSError):
                path.rmdir()
