"""Files as skills open, read and replace them. Which paths are allowed: `paths`.

They are read from a task's lasting workspace or, where it has no such path, from the project folder; they are written
to the workspace only.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from holdfast.errors import shown
from skills.paths import (
    FOLDER,
    FileUnfit,
    NotThere,
    PathRefused,
    Root,
    Spot,
    explained,
    find,
    is_hidden,
    refuse_sensitive,
)

MAX_TEXT_BYTES = 1 << 20
"""Largest text file that a skill reads or writes whole."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class InWorkspace(Protocol):
    """What the workspace skills use of the context that `run` is given."""

    @property
    def workspace(self) -> str: ...

    @property
    def project(self) -> str | None: ...


def roots_with(context: InWorkspace, path: str) -> list[Root]:
    """Where the path is, the workspace first. Where it is nowhere: the last root, whose error says so."""
    roots = [Root(context.workspace)]
    if context.project is not None:
        roots.append(Root(context.project, is_project=True))
    return [root for root in roots if _has(root, path)] or roots[-1:]


def readable_project(project: Path | None, home: Path) -> str | None:
    """The project folder, if it is there, and holdfast's own data in it is hidden from skills."""
    if project is None or not project.is_dir():
        return None
    project, home = project.resolve(), home.resolve()
    lies_open = home.is_relative_to(project) and not any(map(is_hidden, home.relative_to(project).parts))
    return None if lies_open or project.is_relative_to(home) else str(project)


def _has(root: Root, path: str) -> bool:
    """What the workspace refuses counts as there: its refusal stands. What the project refuses does not."""
    try:
        with find(root.folder, path) as spot, explained(path):
            root.refuse_hidden(spot.path)
            if spot.name:
                os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False)
            return True
    except NotThere:
        return False
    except (FileUnfit, PathRefused):
        return not root.is_project


@contextmanager
def open_file(context: InWorkspace, path: str, *, sensitive: bool = False) -> Iterator[int]:
    """A descriptor of a regular file, open for reading.

    Raises:
        PathRefused: it leads out, is a device or pipe, or is closed by the rules; in the workspace `sensitive` opens
            what is named like keys.
        FileUnfit: not there, or a folder.
    """
    root = roots_with(context, path)[0]
    with find(root.folder, path) as spot, explained(path, spot):
        root.refuse_hidden(spot.path)
        if not sensitive:
            refuse_sensitive(spot.path)
        _require_file(spot, path)
        fd = os.open(spot.name, _FILE, dir_fd=spot.folder)
        try:
            _check_regular(os.fstat(fd).st_mode, path)
            yield fd
        finally:
            os.close(fd)


def read_bytes(context: InWorkspace, path: str, limit: int = MAX_TEXT_BYTES, *, sensitive: bool = False) -> bytes:
    """The whole file, at most `limit` bytes of it; a larger one is refused, not cut."""
    with open_file(context, path, sensitive=sensitive) as fd, os.fdopen(os.dup(fd), "rb") as file:
        data = file.read(limit + 1)
        size = max(len(data), os.fstat(fd).st_size)
    if len(data) > limit:
        raise FileUnfit(
            f"{shown(path)} has {size} bytes; at most {limit} are read. find_in_files and data_profile look into parts"
        )
    return data


def decoded(data: bytes, path: str) -> tuple[str, str]:
    """Text and its encoding: utf-8, utf-8-sig or utf-16 by their marks, else latin-1, which never fails.

    Raises:
        FileUnfit: the bytes are no text.
    """
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
        (b"", "utf-8"),
    ):
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            return _require_text(text, path), encoding
    return _require_text(data.decode("latin-1"), path), "latin-1"


def _require_text(text: str, path: str) -> str:
    strange = sum(1 for c in text[:8192] if c < " " and c not in "\t\n\r\f\x1b\b")
    if "\0" in text or strange * 20 > len(text[:8192]):
        raise FileUnfit(f"{shown(path)} is binary; a text file is expected")
    return text


def write_bytes(root: str, path: str, data: bytes) -> str:
    """Replace the file in one step: a reader sees the old content or the new, and a kill leaves one of both whole.

    Missing folders are made. Gives the path that was written to, links resolved.
    """
    with find(root, path, make_folders=True) as spot, explained(path, spot):
        refuse_sensitive(spot.path)
        mode = _mode_to_keep(spot, path)
        draft = f".holdfast-{os.urandom(8).hex()}.tmp"
        fd = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=spot.folder
        )
        try:
            _fill(fd, data, mode)
            os.replace(draft, spot.name, src_dir_fd=spot.folder, dst_dir_fd=spot.folder)
        except BaseException:
            os.unlink(draft, dir_fd=spot.folder)
            raise
        os.fsync(spot.folder)
        return spot.path


def _fill(fd: int, data: bytes, mode: int | None) -> None:
    with os.fdopen(fd, "wb") as file:
        if mode is not None:
            os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)


def _mode_to_keep(spot: Spot, path: str) -> int | None:
    if not spot.name:
        raise FileUnfit(f"{shown(path)} is a folder; the path of a file is expected")
    try:
        found = os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    _check_regular(found, path)
    return stat.S_IMODE(found)


def _require_file(spot: Spot, path: str) -> None:
    if not spot.name:
        raise FileUnfit(f"{shown(path)} is a folder; the path of a file is expected. list_files shows what it holds")
    _check_regular(os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False).st_mode, path)


def _check_regular(mode: int, path: str) -> None:
    if stat.S_ISDIR(mode):
        raise FileUnfit(f"{shown(path)} is a folder; the path of a file is expected. list_files shows what it holds")
    if not stat.S_ISREG(mode):
        raise PathRefused(
            f"[blocked_by: workspace] {shown(path)} is a link, device, pipe or socket; only regular files are opened"
        )


@contextmanager
def open_folder(root: Root, path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of a folder, and its path with links resolved (`.` for the root)."""
    with find(root.folder, path) as spot, explained(path, spot):
        root.refuse_hidden(spot.path)
        if not spot.name:
            yield spot.folder, spot.path or "."
            return
        fd = os.open(spot.name, FOLDER, dir_fd=spot.folder)
        try:
            yield fd, spot.path
        finally:
            os.close(fd)
