"""The folder of a Landlock box on the host's disk: claimed, measured and cleared away, whatever a program did to it.

Below one folder of this user, each box has a folder whose name is a number; where the worker is root, also the uid
that the box runs as, so that no two boxes share one.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox import procs
from sandbox.base import BoxLost

FIRST_UID, BOXES = 61100, 1000
MAX_DEPTH = 100
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNOWNED_SECONDS = 60.0
"""A folder without an owner's name is that of a box about to start, or of one whose worker died just then."""


@dataclass(frozen=True)
class BoxFolder:
    """`uid` is whom the box runs as; None if that is this process's own user."""

    path: Path
    uid: int | None

    @property
    def workspace(self) -> Path:
        return self.path / "ws"

    @property
    def guest(self) -> Path:
        return self.path / "guest.py"

    @property
    def packages(self) -> Path:
        """A link to the packages for programs, where there are some: the guest looks beside itself."""
        return self.path / "packages"


@dataclass(frozen=True)
class Usage:
    size_bytes: int
    inodes: int
    is_deep: bool


def claim(guest: bytes, inputs: Path | None) -> BoxFolder:
    """A folder that no other box of this machine has, with the guest's text and an empty workspace.

    Raises:
        BoxLost: there is none to be had; says why.
    """
    base = _base()
    for number in range(FIRST_UID, FIRST_UID + BOXES):
        with contextlib.suppress(FileExistsError):
            folder = BoxFolder(base / str(number), number if os.geteuid() == 0 else None)
            folder.path.mkdir(mode=0o711)
            _fill(folder, guest, inputs)
            return folder
    raise BoxLost(f"no folder for a box: all {BOXES} in {base} are taken")


def _base() -> Path:
    """Ours alone: another user may have been here first, and own what we would trust."""
    base = Path(tempfile.gettempdir()) / f"holdfast-boxes-{os.geteuid()}"
    base.mkdir(mode=0o711, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise BoxLost(f"{base} is not a folder of this user alone; remove it, or set TMPDIR to another place")
    return base


def _fill(folder: BoxFolder, guest: bytes, inputs: Path | None) -> None:
    (folder.path / "owner").write_text(procs.new_title(), "utf-8")
    folder.guest.write_bytes(guest)
    folder.guest.chmod(0o444)
    folder.workspace.mkdir(mode=0o700)
    if inputs:
        (folder.workspace / "in").symlink_to(inputs.resolve())
    if folder.uid is not None:
        os.chown(folder.workspace, folder.uid, folder.uid)


def reap() -> None:
    """Clear away the folders of boxes whose workers are gone."""
    for path in _base().iterdir():
        with contextlib.suppress(FileNotFoundError):
            if _is_left(path):
                remove(path)


def _is_left(path: Path) -> bool:
    try:
        return procs.is_orphan((path / "owner").read_text("utf-8"))
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime > _UNOWNED_SECONDS


def remove(path: Path) -> None:
    """Delete a box's folder. The workspace first: as long as the folder is there, its number is taken."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path / "ws", _OPEN)
        try:
            _clear(fd)
        finally:
            os.close(fd)
    shutil.rmtree(path)


def _clear(top: int) -> None:
    """Delete what is in a folder, flat: a tree may be deeper than recursion, descriptors and paths can go."""
    serial, mark = 0, os.urandom(8).hex()
    while folders := _without_files(top):
        for name in folders:
            os.chmod(name, 0o700, dir_fd=top)
            fd = os.open(name, _OPEN, dir_fd=top)
            try:
                for inner in _without_files(fd):
                    os.chmod(inner, 0o700, dir_fd=fd)
                    serial += 1
                    os.rename(inner, f"{mark}-{serial}", src_dir_fd=fd, dst_dir_fd=top)
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=top)


def _without_files(folder: int) -> list[str]:
    """Delete all but the folders in it, and name those."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def used(workspace: int, pid: int, max_inodes: int) -> Usage:
    """What a workspace holds on the disk, files without a name included; stops counting above `max_inodes`."""
    sizes: dict[int, int] = {}
    is_deep = False
    for found, depth in _entries(workspace, 1):
        sizes[found.st_ino] = found.st_blocks * 512
        is_deep = is_deep or depth > MAX_DEPTH
        if len(sizes) > max_inodes or is_deep:
            break
    device = os.fstat(workspace).st_dev
    for found in _open_files(pid):
        if stat.S_ISREG(found.st_mode) and found.st_dev == device and not found.st_nlink:
            sizes[found.st_ino] = found.st_blocks * 512
    return Usage(sum(sizes.values()), len(sizes), is_deep)


def _entries(folder: int, depth: int) -> Iterator[tuple[os.stat_result, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                yield found, depth
                if stat.S_ISDIR(found.st_mode) and depth <= MAX_DEPTH:
                    yield from _inside(folder, entry.name, depth)


def _inside(folder: int, name: str, depth: int) -> Iterator[tuple[os.stat_result, int]]:
    try:
        inner, mode = _opened(folder, name)
    except OSError:
        # Gone, or another thing by now: the next look sees what it is.
        return
    try:
        yield from _entries(inner, depth + 1)
    finally:
        if mode is not None:
            os.fchmod(inner, mode)
        os.close(inner)


def _opened(folder: int, name: str) -> tuple[int, int | None]:
    """A folder in a folder. One that is closed to its own user is opened, for what is in it counts too: then also the
    mode that is to be given back to it."""
    try:
        return os.open(name, _OPEN, dir_fd=folder), None
    except PermissionError:
        # By descriptor: a name may lead to a file of ours by now.
        place = os.open(name, os.O_PATH | _OPEN, dir_fd=folder)
    try:
        mode = stat.S_IMODE(os.fstat(place).st_mode)
        os.chmod(f"/proc/self/fd/{place}", mode | 0o500)  # noqa: PTH101
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), mode
    finally:
        os.close(place)


def _open_files(pid: int) -> Iterator[os.stat_result]:
    folder = procs.telling(pid)
    with contextlib.suppress(OSError):
        for name in os.listdir(f"{folder}/fd"):
            with contextlib.suppress(OSError):
                yield os.stat(f"{folder}/fd/{name}")  # noqa: PTH116


def has_nameless_mapping(pid: int, base: Path) -> bool:
    """Whether the box has a file of its own in memory that has no name any more: its size cannot be told."""
    with contextlib.suppress(OSError), open(f"{procs.telling(pid)}/maps", "rb") as maps:
        place = os.fsencode(base)
        return any(place in line and line.endswith(b" (deleted)\n") for line in maps)
    return False
