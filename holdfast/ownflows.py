"""A project's own Temporal workflows, `workflows/*.py`: loaded by the worker, and looked into by a child before.

Their modules are `project_workflows.<file>`: `workflows` itself is ours. They may import each other relatively.

    python -m holdfast.ownflows <project> <file>…     what is in these files, as JSON
"""

import asyncio
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from holdfast.contracts.base import Contract
from holdfast.contracts.flow import FlowSpec, StepSpec
from holdfast.errors import SpecInvalid
from holdfast.names import canonical_name
from holdfast.places import Problem

FOLDER = "workflows"
PACKAGE = "project_workflows"
SCAN_SECONDS = 20.0

OwnWorkflows = bool | list[str]
"""The setting `own_workflows`: all files in the folder, or those whose names are listed."""


class OwnWorkflow(Contract):
    """A workflow's type, and where it is."""

    name: str
    file: str
    description: str = ""


@dataclass(frozen=True)
class OwnFlows:
    found: list[OwnWorkflow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def flow_files_of(project: Path, wanted: OwnWorkflows) -> list[Path]:
    """The files that the setting means, those too that are not there."""
    if isinstance(wanted, list):
        return [project / FOLDER / f"{name.removesuffix('.py')}.py" for name in wanted]
    return sorted(path for path in (project / FOLDER).glob("*.py") if path.name[0] not in "._") if wanted else []


def code_of(project: Path, wanted: OwnWorkflows) -> list[Path]:
    """All files whose change may change these workflows."""
    return sorted((project / FOLDER).rglob("*.py")) if wanted else []


def look_into(project: Path, wanted: OwnWorkflows) -> OwnFlows:
    """What the files hold, by a child that imports them as the worker will. Cheap if nothing changed."""
    files = [path.name for path in flow_files_of(project, wanted)]
    if not files:
        return OwnFlows()
    texts = [path.read_bytes() for path in code_of(project, wanted)]
    return _looked(project, tuple(files), hashlib.sha256(b"\0".join(texts)).hexdigest())


@lru_cache(maxsize=32)
def _looked(project: Path, files: tuple[str, ...], _digest: str) -> OwnFlows:
    command = [sys.executable, "-m", "holdfast.ownflows", str(project), *files]
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN", "_SECRET"))}
    kept |= {"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=SCAN_SECONDS, check=False, env=kept)
    except subprocess.TimeoutExpired:
        return OwnFlows(problems=[_problem(FOLDER, f"importing it took longer than {SCAN_SECONDS:g} s")])
    lines = done.stdout.splitlines()
    if not lines or not lines[-1].startswith(b'{"found"'):
        return OwnFlows(problems=[_problem(FOLDER, f"importing it ended the process (exit code {done.returncode})")])
    told = json.loads(lines[-1])
    found = [OwnWorkflow.model_validate(row) for row in told["found"]]
    return OwnFlows(found, [Problem.model_validate(row) for row in told["problems"]])


def as_flow(found: OwnWorkflow) -> FlowSpec:
    """The flow that it is to those who start it. What its steps are, only its code knows."""
    run = StepSpec(name="run", kind="flow", who=found.name)
    return FlowSpec(name=found.name, description=found.description, own_workflow=found.name, steps=[run])


def add_own_flows(project: Path, wanted: OwnWorkflows, flows: dict[str, FlowSpec], problems: list[Problem]) -> None:
    """Workflows as flows of the catalogue. One that has the name of a declared flow is left out, and that is told."""
    own = look_into(project, wanted)
    problems += own.problems
    for found in own.found:
        name = canonical_name(found.name)
        before = flows.get(name)
        if before is not None and before.origin == "project":
            text = f"{found.name!r} is the name of another flow, {before.name!r}; rename one of them"
            problems.append(_problem(found.file, text))
        else:
            flows[name] = as_flow(found)


# in the worker and in the child


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the package of the project's workflows, also within Temporal's sandbox, which has modules of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != PACKAGE:
            return None
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(self.folder)]
        return spec


def load_workflows(project: Path, wanted: OwnWorkflows) -> tuple[list[type], list[Problem]]:
    """Workflow classes to be registered, and what keeps files out. A broken file does not keep the others out.

    Temporal's sandbox wants an event loop to run.
    """
    files = flow_files_of(project, wanted)
    if files and not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder(project / FOLDER))
    classes: list[type] = []
    problems: list[Problem] = []
    for path in files:
        try:
            classes += _classes(path)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the project's code ends here: whatever it raises is told
            traceback.print_exc()
            problems.append(_problem(f"{FOLDER}/{path.name}", f"{type(exc).__name__}: {exc}", _line(exc, path)))
    return classes, problems


def _classes(path: Path) -> list[type]:
    from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner  # The API has no use for a worker's code.

    from holdfast.temporal.sandbox import restrictions

    if not path.is_file():
        raise SpecInvalid("named in own_workflows, and not there", file=f"{FOLDER}/{path.name}")
    module = importlib.import_module(f"{PACKAGE}.{path.stem}")
    found = [one for one in vars(module).values() if isinstance(one, type) and _definition(one) is not None]
    own = [one for one in found if one.__module__ == module.__name__]
    for one in own:
        _check(one, f"{FOLDER}/{path.name}")
    runner = SandboxedWorkflowRunner(restrictions=restrictions())
    for one in own:
        runner.prepare_workflow(_definition(one))
    return own


def _check(cls: type, file: str) -> None:
    parameters = list(inspect.signature(_definition(cls).run_fn).parameters)[1:]
    if len(parameters) != 1:
        text = f"{cls.__name__}: its run takes ({', '.join(parameters)}); allowed is one argument, the task's input"
        raise SpecInvalid(text, file=file)


def _definition(cls: type) -> Any:
    return vars(cls).get("__temporal_workflow_definition")


def _line(exc: BaseException, path: Path) -> int | None:
    if isinstance(exc, SyntaxError):
        return exc.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _problem(file: str, text: str, line: int | None = None) -> Problem:
    place = f"{file}:{line}" if line else file
    return Problem(file=file, line=line, message=f"{place}: {text}")


async def _loaded(project: Path, names: list[str]) -> tuple[list[type], list[Problem]]:
    return load_workflows(project, names)


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    project, names = Path(sys.argv[1]), sys.argv[2:]
    classes, problems = asyncio.run(_loaded(project, names))
    found = [
        {
            "name": _definition(cls).name or cls.__name__,
            "file": f"{FOLDER}/{cls.__module__.rpartition('.')[2]}.py",
            "description": inspect.cleandoc(vars(cls).get("__doc__") or "").split("\n\n")[0],
        }
        for cls in classes
    ]
    out.write(json.dumps({"found": found, "problems": [one.model_dump() for one in problems]}) + "\n")
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
