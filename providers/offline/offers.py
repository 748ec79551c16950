"""What each skill could do for a task: its arguments, and what is missing for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.contracts.base import Json
from holdfast.snapshot import CatalogueSkill
from providers.offline.arguments import Filled, fill
from providers.offline.match import Hits
from providers.offline.places import is_file
from providers.offline.recipes import recipe
from providers.offline.task import Place, Said, split
from providers.offline.words import STOP, WEAK

LISTS, READS, FINDS, WRITES = "list-files", "read-file", "find-in-files", "write-file"
_CHECKS = ("style", "complexity", "bugs", "security")


@dataclass(frozen=True)
class Task:
    """A task that was read, with the skills that may be used for it. `answers` are what a person was asked for."""

    said: Said
    skills: Mapping[str, CatalogueSkill]
    hits: Hits
    places: tuple[Place, ...]
    answers: tuple[str, ...] = ()

    def is_strong(self, word: str, skill: str) -> bool:
        hit = self.hits.get(word, {}).get(skill)
        return hit is not None and hit.strong

    def has_any(self, *words: str) -> bool:
        return not set(words).isdisjoint(self.said.words)


def offer(task: Task, skill: CatalogueSkill) -> Filled:
    """What it would be called with. A skill that the report has a section for takes the files that are named."""
    if recipe(skill) is None:
        return _by_schema(task, skill)
    match skill.name:
        case "find-in-files":
            return _finding(task)
        case "code-analysis":
            return _needing_files(task, LISTS in task.skills or bool(task.places), _checks(task))
        case "data-profile":
            return _needing_files(task, LISTS in task.skills or bool(task.places))
        case "read-file":
            asked = task.has_any("read") and bool(task.places)
            return _needing_files(task, asked or any(map(is_file, task.places)))
        case "list-files":
            whole = [place for place in task.places if place.pattern == "**"]
            return _needing_files(task, not whole or not all(map(is_file, whole)))
        case _:
            return Filled()


def _by_schema(task: Task, skill: CatalogueSkill) -> Filled:
    filled = fill(skill, task.said, task.answers)
    if filled.text_parameter and READS not in task.skills:
        filled.missing.append(filled.text_parameter)
    return filled


def _needing_files(task: Task, has_them: bool, arguments: dict[str, Json] | None = None) -> Filled:
    return Filled(arguments or {}, [] if has_them else ["path"])


def _checks(task: Task) -> dict[str, Json]:
    """The checks that the task names, less those that another skill is for by its name."""
    others = {word for name in task.skills if name != "code-analysis" for word in split(name)}
    checks: list[Json] = [each for each in _CHECKS if each in task.said.words and each not in others]
    return {"checks": checks} if checks else {}


def _finding(task: Task) -> Filled:
    pattern, words = _pattern(task)
    pattern = pattern or next(iter(task.answers), "")
    options: dict[str, Json] = {"pattern": pattern}
    if task.has_any("regex", "regexp", "regular"):
        options["regex"] = True
    if task.has_any("insensitive", "insensitively", "ignore", "ignoring"):
        options["ignore_case"] = True
    return Filled(options, [] if pattern else ["pattern"], words=words, quotes=int(bool(task.said.quoted)))


def _pattern(task: Task) -> tuple[str, set[str]]:
    """What is quoted; or what stands after `find` or `for`, if files are named, and no skill has these words."""
    if task.said.quoted:
        return task.said.quoted[0], task.said.after(task.said.quoted[0])
    words = set(split(task.said.sought)) - STOP
    is_known = any(task.is_strong(word, name) for word in words for name in task.skills if name != FINDS)
    is_about_files = task.said.has_path or task.has_any("files", "file", "code", "workspace")
    if not words or words & WEAK or is_known or not is_about_files:
        return "", set()
    return task.said.sought, words
