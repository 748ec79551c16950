"""Text files of a project as they are read: within bounds, and remembered, so that a later change of one is seen."""

import stat
from collections.abc import Mapping
from pathlib import Path

from holdfast.errors import SpecInvalid
from holdfast.skillfiles import text_of
from holdfast.yamlfile import MAX_BYTES

Look = tuple[str, int, int, int]
"""What a file's directory entry says of it: path, time, size, inode. All 0 if it is not there."""


def look(path: Path) -> Look:
    try:
        now = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), now.st_mtime_ns, now.st_size, now.st_ino


class Sources:
    """The files read so far, each as it looked just before. `given` are texts that stand for files."""

    def __init__(self, given: Mapping[Path, str] | None = None) -> None:
        self.looks: dict[Path, Look] = {}
        self._given = given or {}

    def text(self, path: Path, root: Path, label: str, limit: int = MAX_BYTES) -> str:
        """A file's text.

        Raises:
            SpecInvalid: it is not there, leads out of `root`, is no regular file, larger than `limit`, or not UTF-8.
        """
        self.looks[path] = look(path)
        if path in self._given:
            return self._given[path]
        try:
            within = path.resolve(strict=True).is_relative_to(root.resolve())
            found = path.stat()
        except (OSError, RuntimeError, ValueError) as exc:
            raise SpecInvalid(f"{label}: cannot be read: {exc}", file=label) from None
        if not within:
            raise SpecInvalid(f"{label}: leads out of the project; put a copy into it", file=label)
        if not stat.S_ISREG(found.st_mode):
            raise SpecInvalid(f"{label}: not a regular file", file=label)
        if found.st_size > limit:
            raise SpecInvalid(f"{label}: {found.st_size} bytes; allowed are {limit}", file=label)
        return text_of(_bytes(path, label), label)

    def text_if_there(self, path: Path, root: Path, label: str, limit: int = MAX_BYTES) -> str:
        """A file's text, or nothing if there is no file; that it comes later is seen too.

        Raises:
            SpecInvalid: as `text`, for a file that is there.
        """
        self.looks[path] = look(path)
        return self.text(path, root, label, limit) if path.exists() else ""


def _bytes(path: Path, label: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise SpecInvalid(f"{label}: cannot be read: {exc.strerror}", file=label) from None
