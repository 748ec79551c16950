"""From folders to a snapshot: a project's skills, the built-in ones, and what is wrong with any of them.

A bad folder is a problem with a name and a line; everything else still loads.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Contract
from holdfast.errors import SpecInvalid
from holdfast.skillfiles import is_skill_folder, walk
from holdfast.snapshot import Catalogue, CatalogueSkill, Origin, SkillSummary
from holdfast.specs import ParsedSkill, UndeclaredEffect, parse_skill

__all__ = ["BUILTIN", "Catalogue", "CatalogueSkill", "Library", "Loaded", "Problem", "SkillSummary", "load"]

BUILTIN = Path(__file__).parent.parent / "skills" / "builtin"
"""Where the built-in skills lie, for those rooms too that may not import `skills`."""

PROJECT_FOLDERS = ("skills", ".agents/skills")
MAX_FOLDERS = 2000


class Problem(Contract):
    """What is wrong with a file. An `error` keeps its skill out of the catalogue, a `warning` does not."""

    level: Literal["error", "warning"] = "error"
    file: str
    line: int | None = None
    key: str | None = None
    message: str


@dataclass(frozen=True)
class Loaded:
    catalogue: Catalogue
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Found:
    folder: Path
    label: str
    origin: Origin


def load(project: Path, builtin: Path, undeclared: UndeclaredEffect = "guess") -> Loaded:
    """Read all skills: `<project>/skills/*`, `<project>/.agents/skills/*` and `<builtin>/*`."""
    loading = _Loading(undeclared)
    for found in _folders(project, builtin, loading.problems):
        loading.add(found)
    return loading.done()


class _Loading:
    """What has been read so far. Built-ins come first, so that a name of theirs is known when a project takes it."""

    def __init__(self, undeclared: UndeclaredEffect) -> None:
        self.undeclared = undeclared
        self.skills: dict[str, CatalogueSkill] = {}
        self.places: dict[str, str] = {}
        self.contents: set[bytes] = set()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, found: _Found) -> None:
        try:
            parsed = parse_skill(found.folder, self.undeclared, found.label)
            self._admit(parsed, found)
        except SpecInvalid as exc:
            self.problems.append(Problem(file=exc.file or found.label, line=exc.line, key=exc.key, message=str(exc)))

    def _admit(self, parsed: ParsedSkill, found: _Found) -> None:
        name = parsed.spec.name
        if name in self.skills:
            raise _taken(name, found, self.skills[name].origin, self.places[name])
        if parsed.spec.kind == "native" and found.origin == "project":
            allowed = "prompt, script, hybrid; native skills are part of holdfast"
            raise SpecInvalid(
                f"{found.label}: key 'kind': found 'native'; allowed: {allowed}", file=found.label, key="kind"
            )
        self.skills[name] = CatalogueSkill.of(parsed, found.origin)
        self.places[name] = found.label
        self.contents.update(parsed.files.values())
        self.warnings += [Problem(level="warning", file=found.label, message=text) for text in parsed.warnings]

    def done(self) -> Loaded:
        catalogue = Catalogue(dict(sorted(self.skills.items())), frozenset(self.contents))
        return Loaded(catalogue, self.problems, self.warnings)


def _taken(name: str, found: _Found, origin: Origin, place: str) -> SpecInvalid:
    whose = "a built-in skill" if origin == "builtin" else "another skill"
    return SpecInvalid(
        f"{found.label}: key 'name': {name!r} is the name of {whose}, {place}; rename the folder and its 'name'",
        file=found.label,
        key="name",
    )


def _folders(project: Path, builtin: Path, problems: list[Problem]) -> Iterator[_Found]:
    yield from _in(builtin, "builtin", "builtin", problems)
    for part in PROJECT_FOLDERS:
        yield from _in(project / part, part, "project", problems)


def _in(root: Path, label: str, origin: Origin, problems: list[Problem]) -> Iterator[_Found]:
    folders = _subfolders(root)
    if len(folders) > MAX_FOLDERS:
        text = f"{label}: {len(folders)} folders; allowed are {MAX_FOLDERS}, the first ones by name are read"
        problems.append(Problem(file=label, message=text))
    for folder in folders[:MAX_FOLDERS]:
        if not folder.resolve().is_relative_to(root.resolve()):
            text = f"{label}/{folder.name}: a symbolic link out of {label}; put a copy here"
            problems.append(Problem(file=f"{label}/{folder.name}", message=text))
        elif is_skill_folder(folder):
            yield _Found(folder, f"{label}/{folder.name}", origin)


def _subfolders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    except (FileNotFoundError, NotADirectoryError):
        return []


class Library:
    """The newest snapshot of a project's skills, read again only when a file has changed. Safe for many threads."""

    def __init__(self, project: Path, builtin: Path, blobs: BlobStore, undeclared: UndeclaredEffect = "guess") -> None:
        self.project, self.builtin, self.blobs, self.undeclared = project, builtin, blobs, undeclared
        self._lock = threading.Lock()
        self._stamp: frozenset[tuple[str, int, int, int]] | None = None
        self._sha = ""
        self._loaded = Loaded(Catalogue())

    def current(self) -> tuple[Catalogue, str, list[Problem]]:
        """The catalogue, its hash (stored in the blobs) and the folders that were left out. Costs a stat per file."""
        with self._lock:
            stamp = self._stamped()
            if stamp != self._stamp:
                loaded = load(self.project, self.builtin, self.undeclared)
                self._sha = loaded.catalogue.save(self.blobs)
                self._loaded = Loaded(Catalogue(loaded.catalogue.skills), loaded.problems, loaded.warnings)
                self._stamp = stamp
            return self._loaded.catalogue, self._sha, self._loaded.problems

    @property
    def warnings(self) -> list[Problem]:
        """What the newest reading found odd, but could use."""
        return self._loaded.warnings

    def _stamped(self) -> frozenset[tuple[str, int, int, int]]:
        found = _folders(self.project, self.builtin, [])
        return frozenset(_stat(path) for skill in found for path in walk(skill.folder))


def _stat(path: Path) -> tuple[str, int, int, int]:
    try:
        now = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), now.st_mtime_ns, now.st_size, now.st_ino
