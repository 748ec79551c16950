"""How large a workspace may become. It is measured before a skill that writes is run; a call may overshoot it once."""

import os
import threading
import time
from pathlib import Path

from holdfast.errors import SkillRefused

_FRESH_SECONDS = 10.0
"""A measurement is good for so long, unless it was near the limit: then each call is measured."""
_NEAR = 0.9


class Quota:
    """The bound of each workspace, in bytes of files. Safe for many threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._measured: dict[Path, tuple[float, int]] = {}

    def check(self, workspace: Path) -> None:
        """
        Raises:
            SkillRefused: the workspace holds as much as it may. Nothing was written.
        """
        held = self._held(workspace)
        if held >= self._limit_bytes:
            raise SkillRefused(
                f"the workspace {str(workspace)!r} holds {held} bytes; {self._limit_bytes} are allowed "
                "(workspace_bytes): remove files from it, or raise the limit"
            )

    def _held(self, workspace: Path) -> int:
        with self._lock:
            at, held = self._measured.get(workspace, (0.0, 0))
            if time.monotonic() - at > _FRESH_SECONDS or held > _NEAR * self._limit_bytes:
                held = _size(workspace)
                self._measured[workspace] = time.monotonic(), held
            return held


def _size(folder: Path) -> int:
    """Bytes of all files below, links not followed. What vanishes meanwhile counts for nothing."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
