"""`flows check`: what is wrong with files of flows, without a server."""

from pathlib import Path

from cli import screen
from cli.skillcheck import told
from holdfast import catalogue, configcheck
from holdfast.catalogue import Catalogue, Problem
from holdfast.config import Settings
from holdfast.errors import NotFound
from holdfast.sources import Sources


def check(settings: Settings, files: list[Path], as_json: bool) -> None:
    """
    Raises:
        RunFailed: one has an error (exit code 1). NotFound: a file is not there.
    """
    loaded = catalogue.load(
        settings.project, catalogue.BUILTIN, settings.undeclared_effect, own_workflows=settings.own_workflows
    )
    if files:
        problems = [problem for file in files for problem in _one(settings, file, loaded.catalogue)]
        good = len(files) - sum(problem.level == "error" for problem in problems)
    else:
        places = tuple(f"{folder}/" for folder in catalogue.FLOW_FOLDERS)
        problems = [one for one in (*loaded.problems, *loaded.warnings) if one.file.startswith(places)]
        good = sum(flow.origin == "project" for flow in loaded.catalogue.flows.values())
    if as_json:
        screen.result([problem.model_dump() for problem in problems])
    else:
        told(good, problems)
    if any(problem.level == "error" for problem in problems):
        raise screen.RunFailed


def _one(settings: Settings, file: Path, known: Catalogue) -> list[Problem]:
    """A file outside of the project may name programs that lie beside it or below."""
    path = file.resolve()
    if not path.is_file():
        raise NotFound(f"no file {str(file)!r}; a flow is a YAML file, see docs/flows.md")
    root = settings.project if path.is_relative_to(settings.project.resolve()) else path.parent
    return configcheck.check_file(path, "flow", root, str(file), Sources(), known).problems
