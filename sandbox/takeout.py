"""Take files out of a workspace that a hostile program owns, and may be changing right now.

Standard library only: `export.py` uses it for a workspace that the host can open; where it cannot, this very file is
run inside the box (`docker_box.py`), so that the rules are the same.
"""

import contextlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

MAX_FILES = 1000
_MAX_DEPTH = 32
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, a fifo would hang us before we can see that it is one.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Refused(Exception):
    """Names the path, what was found and what is allowed."""


def read(workspace: int, paths: Sequence[str], max_bytes: int) -> dict[str, bytes]:
    """Contents by path; `max_bytes` bounds their sum. `workspace` is a descriptor of the folder that paths start from.

    Every step of a path is opened relative to the one before and without following links, so no rename and no link
    made meanwhile leads outside.

    Raises:
        Refused: all or nothing.
    """
    if len(paths) > MAX_FILES:
        raise Refused(f"export of {len(paths)} files; at most {MAX_FILES} are allowed")
    contents: dict[str, bytes] = {}
    left = max_bytes
    for path in paths:
        contents[path] = _read(workspace, path, left)
        left -= len(contents[path])
    return contents


def _read(workspace: int, path: str, max_bytes: int) -> bytes:
    *folders, name = _steps(path)
    with ExitStack() as opened:
        try:
            at = workspace
            for folder in folders:
                at = os.open(folder, _FOLDER, dir_fd=at)
                opened.callback(os.close, at)
            file = os.open(name, _FILE, dir_fd=at)
        except OSError as exc:
            why = f"{exc.strerror}; a plain file is expected, reached without links"
            raise Refused(f"export of {shown(path)}: {why}") from None
        opened.callback(os.close, file)
        _check(file, os.fstat(workspace), path, max_bytes)
        return _content(file, path, max_bytes)


def _steps(path: str) -> list[str]:
    steps = path.split("/")
    if any(step in ("", ".", "..") for step in steps) or len(steps) > _MAX_DEPTH:
        raise Refused(f"export of {shown(path)}: a path relative to /ws is expected, without '..', '.' and '//'")
    if not path.isprintable():
        raise Refused(f"export of {shown(path)}: the name holds a line break or another unprintable character")
    return steps


def _check(file: int, workspace: os.stat_result, path: str, max_bytes: int) -> None:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"export of {shown(path)}: found {stat.filemode(found.st_mode)}; a plain file is expected")
    if found.st_nlink != 1:
        raise Refused(f"export of {shown(path)}: it has {found.st_nlink} names (hard links); one is allowed")
    if found.st_dev != workspace.st_dev:
        raise Refused(f"export of {shown(path)}: it is no file of the workspace, but of something mounted in it")
    if found.st_size > max_bytes:
        raise _too_large(path, found.st_size, max_bytes)


def _content(file: int, path: str, max_bytes: int) -> bytes:
    """Read it, and one byte more than allowed: it may have grown since it was looked at."""
    with open(file, "rb", closefd=False) as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise _too_large(path, len(content), max_bytes)
    return content


def _too_large(path: str, size: int, max_bytes: int) -> Refused:
    return Refused(f"export of {shown(path)}: found {size} bytes; {max_bytes} are left of what is allowed")


def shown(value: object) -> str:
    """As in `holdfast.errors`, which is not there in a box."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def answer(asked: str) -> Iterable[bytes]:
    """Inside a box: a first line of JSON, [path, size] pairs or why there are none; then the contents in that order."""
    job = json.loads(asked)
    workspace = os.open("/ws", _FOLDER)
    try:
        contents = read(workspace, job["paths"], job["max_bytes"])
    except Refused as exc:
        return [json.dumps({"refused": str(exc)}).encode("ascii") + b"\n"]
    sizes = json.dumps({"files": [[path, len(content)] for path, content in contents.items()]}).encode("ascii")
    return [sizes + b"\n", *contents.values()]


def main() -> None:
    with contextlib.closing(sys.stdin), open(1, "wb", closefd=False) as out:
        out.writelines(answer(sys.stdin.read()))


if __name__ == "__main__":
    main()
