"""From a path to a name in an open folder: the rules of the workspace, and of the project folder below it.

Paths are relative to such a root and stay inside. Every folder on the way is opened by its parent's descriptor with
O_NOFOLLOW, so a folder that is swapped for a link while we look cannot lead elsewhere.
"""

import difflib
import errno
import fnmatch
import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from holdfast.errors import SkillInputError, shown

MAX_DEPTH = 64
"""Folders below the workspace that a path, or a walk, may go down."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40
_MENDABLE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EEXIST}

_OPEN_NAMES = ("*.example", "*.sample", "*.template")
_SENSITIVE = (
    *(".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*credentials*", "*secret*", ".pgpass", ".netrc"),
    *(".npmrc", ".pypirc", ".htpasswd", ".git-credentials", ".git", ".ssh", ".gnupg", ".aws", ".kube", ".docker"),
    ".holdfast*",
)
_IS_OPEN, _IS_SENSITIVE = (
    re.compile("|".join(map(fnmatch.translate, names))).match for names in (_OPEN_NAMES, _SENSITIVE)
)
TOOL_FOLDERS = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"}
)
"""Folders that tools fill: not entered unless they are named, and closed below a project."""


class PathRefused(SkillInputError):
    """The path leads out of the workspace, or to a file that the rules keep closed."""


class FileUnfit(SkillInputError):
    """The file is not there, not of the kind that is needed, or too big."""


class NotThere(FileUnfit):
    """Nothing has this path."""


@dataclass(frozen=True)
class Root:
    """Where paths are looked up. Below a project's, hidden files and those with closed names are left out."""

    folder: str
    is_project: bool = False

    def hides(self, name: str) -> bool:
        """Whether a name is left out here, and all that is below it."""
        return self.is_project and is_hidden(name)

    def refuse_hidden(self, path: str) -> None:
        """Raises PathRefused if a name on the way is left out here."""
        if any(map(self.hides, path.split("/"))):
            raise PathRefused(
                f"[blocked_by: project] {shown(path)} is hidden, filled by tools or named like keys; of the project "
                "folder skills read the other files only"
            )


@dataclass(frozen=True)
class Spot:
    """A name in an open folder. `name` is empty for the folder itself."""

    folder: int
    name: str
    path: str


def is_sensitive(path: str) -> bool:
    """Whether any name on the way is one that keys and passwords are usually kept under (L-39)."""
    return any(_is_sensitive_name(name.casefold()) for name in path.split("/"))


def _is_sensitive_name(name: str) -> bool:
    return _IS_OPEN(name) is None and _IS_SENSITIVE(name) is not None


def is_hidden(name: str) -> bool:
    """Whether the name of a file or folder keeps it closed below a project."""
    folded = name.casefold()
    return folded.startswith(".") or folded in TOOL_FOLDERS or _is_sensitive_name(folded)


def refuse_sensitive(path: str) -> None:
    """Raises PathRefused if the rules keep this path closed."""
    if is_sensitive(path):
        raise PathRefused(
            f"[blocked_by: rules] {shown(path)} has a name that keys or passwords are kept under, or belongs to git or "
            "holdfast; it is neither read nor written. security_scan reports what such a file holds, masked"
        )


@contextmanager
def find(root: str, path: str, *, make_folders: bool = False) -> Iterator[Spot]:
    start = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with ExitStack() as open_folders:
        open_folders.callback(os.close, start)
        with explained(path):
            spot = _Descent(start, path, open_folders, make_folders).spot()
        yield spot


class _Descent:
    """Walks a path from the workspace down. `..` goes back to a folder that is still open, wherever it was moved."""

    def __init__(self, root: int, path: str, open_folders: ExitStack, make_folders: bool) -> None:
        self._open_folders = open_folders
        self._asked = path
        self._make = make_folders
        self._folders = [root]
        self._names: list[str] = []
        self._rest = deque(self._parts(path))
        self._links = 0

    def spot(self) -> Spot:
        while self._rest:
            name = self._rest.popleft()
            if name == "..":
                self._up()
            elif self._is_link(name):
                self._follow(name)
            elif self._rest:
                self._down(name)
            else:
                return Spot(self._folders[-1], name, "/".join([*self._names, name]))
        return Spot(self._folders[-1], "", "/".join(self._names))

    def _parts(self, path: str) -> list[str]:
        if path.startswith("/"):
            raise self._refused("is absolute, or leads to an absolute path")
        if "\0" in path:
            raise self._refused("holds a NUL character")
        return [part for part in path.split("/") if part not in ("", ".")]

    def _up(self) -> None:
        if not self._names:
            raise self._refused("leads out of the workspace")
        self._names.pop()
        self._folders.pop()

    def _down(self, name: str) -> None:
        if self._make:
            self._made(name)
        self._folders.append(self._kept(os.open(name, FOLDER, dir_fd=self._folders[-1])))
        self._names.append(name)
        if len(self._folders) > MAX_DEPTH:
            raise self._refused(f"goes more than {MAX_DEPTH} folders deep")

    def _made(self, name: str) -> None:
        refuse_sensitive(name)
        try:
            os.mkdir(name, dir_fd=self._folders[-1])
        except FileExistsError:
            return

    def _is_link(self, name: str) -> bool:
        try:
            return stat.S_ISLNK(os.stat(name, dir_fd=self._folders[-1], follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def _follow(self, name: str) -> None:
        self._links += 1
        if self._links > _MAX_LINKS:
            raise self._refused("is a loop of links")
        self._rest.extendleft(reversed(self._parts(os.readlink(name, dir_fd=self._folders[-1]))))

    def _kept(self, fd: int) -> int:
        self._open_folders.callback(os.close, fd)
        return fd

    def _refused(self, why: str) -> PathRefused:
        return PathRefused(
            f"[blocked_by: workspace] {shown(self._asked)} {why}; paths are relative to the workspace and stay inside"
        )


@contextmanager
def explained(path: str, spot: Spot | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise PathRefused(f"[blocked_by: workspace] {shown(path)} became a link while it was opened") from exc
        if exc.errno not in _MENDABLE:
            raise
        error = NotThere if exc.errno == errno.ENOENT else FileUnfit
        raise error(f"{shown(path)}: {exc.strerror}{_near(spot)}") from exc


def _near(spot: Spot | None) -> str:
    if spot is None:
        return ""
    close = difflib.get_close_matches(spot.name, sorted(os.listdir(spot.folder)), 1)
    return (
        f"; did you mean {shown('/'.join([*spot.path.split('/')[:-1], close[0]]))}?"
        if close and close[0] != spot.name
        else ""
    )
