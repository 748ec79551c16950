"""Listing workspace and project: what is there, in an order that never changes, and patterns that choose from it."""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from typing import Literal

from holdfast.errors import SkillInputError, shown
from skills.paths import FOLDER, MAX_DEPTH, TOOL_FOLDERS, Root, find
from skills.workspace import InWorkspace, open_folder, roots_with

MAX_ENTRIES = 100_000
"""Entries that one walk looks at in a root, in any number of folders."""

_MAX_CHOICES = 64
_CHOICE = re.compile(r"\{([^{}]*)\}")

EntryKind = Literal["file", "folder", "closed", "link", "special", "name"]


@dataclass(frozen=True, order=True)
class Entry:
    """`closed` folders (git, caches, environments) are not entered; `name` is one that is not UTF-8."""

    path: str
    kind: EntryKind
    size_bytes: int = 0

    @property
    def why_skipped(self) -> str | None:
        """Why nothing below or in this entry is looked at; None for files and folders."""
        return _WHY.get(self.kind)


_WHY: dict[str, str] = {
    "closed": "not entered: holds tools' files; name it as `path` to look inside",
    "link": "a symbolic link; open it by its path",
    "special": "a device, pipe or socket",
    "name": "its name is not UTF-8",
}


@dataclass(frozen=True)
class Listing:
    """What stands below a folder, sorted by path. Paths start at the root; `is_cut` above MAX_ENTRIES."""

    start: str
    entries: list[Entry]
    is_cut: bool

    def matching(self, pattern: str) -> list[Entry]:
        """Those whose path, as seen from the folder, fits a glob."""
        wanted = Pattern(pattern)
        seen_from = 0 if self.start == "." else len(self.start) + 1
        return [entry for entry in self.entries if wanted.matches(entry.path[seen_from:])]

    def over(self, lower: "Listing") -> "Listing":
        """Both as one: what is here hides what has the same path below, and all below a path that is no folder here."""
        if lower.start != self.start:
            return self
        taken = {entry.path: entry.kind for entry in self.entries}
        more = [entry for entry in lower.entries if entry.path not in taken and not _is_below_a_file(entry, taken)]
        return Listing(self.start, sorted([*self.entries, *more]), self.is_cut or lower.is_cut)


def _is_below_a_file(entry: Entry, taken: dict[str, EntryKind]) -> bool:
    ends = (place for place, letter in enumerate(entry.path) if letter == "/")
    return any(taken.get(entry.path[:end], "folder") != "folder" for end in ends)


def walk(context: InWorkspace, path: str = ".") -> Listing:
    """What stands below a folder of the workspace, the project, or both; for the path of a file, that file alone."""
    return reduce(Listing.over, [_walked(root, path) for root in roots_with(context, path)])


def _walked(root: Root, path: str) -> Listing:
    with find(root.folder, path) as spot:
        root.refuse_hidden(spot.path)
        parent = spot.path.rpartition("/")[0]
        only = _entry(spot.folder, spot.name, f"{parent}/" if parent else "") if spot.name else None
    if only is not None and only.kind == "file":
        return Listing(parent or ".", [only], is_cut=False)
    with open_folder(root, path) as (fd, start):
        prefix = "" if start == "." else f"{start}/"
        found = list(islice(_below(root, fd, prefix, MAX_DEPTH), MAX_ENTRIES + 1))
    return Listing(start, sorted(found[:MAX_ENTRIES]), len(found) > MAX_ENTRIES)


def _below(root: Root, fd: int, prefix: str, depth: int) -> Iterator[Entry]:
    with os.scandir(fd) as found:
        seen = (entry.name for entry in found)
        names = sorted(name for name in seen if not name.startswith(".holdfast") and not root.hides(name))
    for name in names:
        entry = _entry(fd, name, prefix)
        if entry is None:
            continue
        yield entry
        if entry.kind == "folder" and depth:
            yield from _inside(root, fd, name, f"{entry.path}/", depth - 1)


def _inside(root: Root, fd: int, name: str, prefix: str, depth: int) -> Iterator[Entry]:
    try:
        inner = os.open(name, FOLDER, dir_fd=fd)
    except OSError:
        return
    try:
        yield from _below(root, inner, prefix, depth)
    finally:
        os.close(inner)


def _entry(fd: int, name: str, prefix: str) -> Entry | None:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    try:
        name.encode()
    except UnicodeEncodeError:
        return Entry(prefix + os.fsencode(name).decode("utf-8", "backslashreplace"), "name")
    size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    return Entry(prefix + name, _kind(name, found.st_mode), size)


def _kind(name: str, mode: int) -> EntryKind:
    if stat.S_ISDIR(mode):
        return "closed" if name in TOOL_FOLDERS else "folder"
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "special"


class Pattern:
    """A glob over whole paths: `*` and `?` stay within a name, `**` crosses folders, `{a,b}` is a choice.

    Matching takes time in proportion to path times pattern, whatever the pattern.
    """

    def __init__(self, pattern: str) -> None:
        if pattern.startswith("/") or len(pattern) > 200:
            raise SkillInputError(
                f"pattern {shown(pattern)} is absolute or longer than 200 characters; a glob like '**/*.py' is expected"
            )
        self._choices = [choice.removeprefix("./").split("/") for choice in _choices(pattern)]

    def matches(self, path: str) -> bool:
        names = path.split("/")
        return any(_matches(names, choice) for choice in self._choices)


def _choices(pattern: str) -> list[str]:
    done: list[str] = []
    waiting = [pattern]
    while waiting and len(done) + len(waiting) <= _MAX_CHOICES:
        text = waiting.pop()
        found = _CHOICE.search(text)
        if found is None:
            done.append(text)
            continue
        waiting += [text[: found.start()] + choice + text[found.end() :] for choice in found[1].split(",")]
    if waiting:
        raise SkillInputError(f"pattern {shown(pattern)} has more than {_MAX_CHOICES} choices")
    return done


def _matches(names: list[str], pattern: list[str]) -> bool:
    """Keeps the set of pattern positions that are still possible, so `**` never backtracks."""
    places = _skipped_stars({0}, pattern)
    for name in names:
        places = _skipped_stars(set(_advanced(places, name, pattern)), pattern)
    return len(pattern) in places


def _advanced(places: set[int], name: str, pattern: list[str]) -> Iterator[int]:
    for place in places:
        if place == len(pattern):
            continue
        if pattern[place] == "**":
            yield place
        elif fnmatch.fnmatchcase(name, pattern[place]):
            yield place + 1


def _skipped_stars(places: set[int], pattern: list[str]) -> set[int]:
    reached = set(places)
    for place in range(len(pattern)):
        if place in reached and pattern[place] == "**":
            reached.add(place + 1)
    return reached
