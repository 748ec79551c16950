"""`skills check`: what is wrong with folders of skills, without a server."""

from pathlib import Path

from cli import screen
from holdfast import catalogue
from holdfast.catalogue import Problem
from holdfast.config import Settings
from holdfast.errors import NotFound, SpecInvalid
from holdfast.specs import parse_skill


def check(settings: Settings, folders: list[Path], as_json: bool) -> None:
    """
    Raises:
        RunFailed: one has an error (exit code 1). NotFound: a folder is not there.
    """
    count, problems = _given(settings, folders) if folders else _all(settings)
    if as_json:
        screen.result([problem.model_dump() for problem in problems])
    else:
        told(count, problems)
    if any(problem.level == "error" for problem in problems):
        raise screen.RunFailed


def _all(settings: Settings) -> tuple[int, list[Problem]]:
    """All skills of the project, names that are taken included. Agents are looked at by `doctor`."""
    loaded = catalogue.load(settings.project, catalogue.BUILTIN, settings.undeclared_effect)
    found = [*loaded.problems, *loaded.warnings]
    own = sum(skill.origin == "project" for skill in loaded.catalogue.skills.values())
    return own, [problem for problem in found if problem.file.startswith(catalogue.PROJECT_FOLDERS)]


def _given(settings: Settings, folders: list[Path]) -> tuple[int, list[Problem]]:
    problems: list[Problem] = []
    for folder in folders:
        if not folder.is_dir():
            raise NotFound(f"no folder {str(folder)!r}; a skill is a folder with a SKILL.md or a skill.yaml")
        problems += _one(settings, folder)
    good = len(folders) - sum(problem.level == "error" for problem in problems)
    return good, problems


def _one(settings: Settings, folder: Path) -> list[Problem]:
    try:
        parsed = parse_skill(folder.resolve(), settings.undeclared_effect, str(folder))
    except SpecInvalid as exc:
        return [Problem(file=exc.file or str(folder), line=exc.line, key=exc.key, message=str(exc))]
    return [Problem(level="warning", file=str(folder), message=text) for text in parsed.warnings]


def told(good: int, problems: list[Problem]) -> None:
    """Each problem, and how many files are good."""
    for problem in problems:
        tell = screen.bad if problem.level == "error" else screen.warn
        tell(problem.level, problem.message)
    errors = sum(problem.level == "error" for problem in problems)
    doubts = len(problems) - errors
    screen.say(f"{good} good, {errors} with an error, {doubts} warning{'s' * (doubts != 1)}")
