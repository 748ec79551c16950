"""A project's own agents and tools in Python: which files are its code, and what is in them.

Its files are imported in a process of the project's own interpreter, never here; what that told is kept as long as the
code is the same. Whoever runs an agent gets the same files out of the snapshot.
"""

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Contract, Json
from holdfast.errors import SpecInvalid, shown
from holdfast.names import RESERVED, canonical_name, identifier, listed, own_run
from holdfast.places import Problem
from holdfast.skillfiles import MAX_FILE_BYTES, MAX_FILES, MAX_SKILL_BYTES, walk
from holdfast.skillschema import input_schema
from holdfast.specs import SkillSpec, UndeclaredEffect, guessed_effect

CODE_FOLDERS = ("agents", "tools", "app")
"""With the files in the project folder itself: what an agent or a tool may import or read of the project."""
AGENT_PLACES = ("agents", "app/agents")
TOOL_PLACES = ("tools", "app/tools")
REGISTERS = ("agents/__init__.py", "app/agents/__init__.py", "holdfast_project.py")
SCAN = Path(__file__).with_name("sdkscan.py")
SCAN_SECONDS = 20.0


class OwnClass(Contract):
    """A class of the project, as `sdkscan.py` tells of it. `source` is where it was found, named or registered."""

    kind: str = "agent"
    name: str = ""
    cls: str = ""
    file: str = ""
    source: str = ""
    description: str = ""
    tools: list[str] | None = None
    config: dict[str, Json] = {}
    schema_: Json = None
    secrets: list[str] = []
    effect: str | None = None
    timeout_seconds: float | None = None
    max_retries: int | None = None
    network: bool = False
    writes: bool = False


@dataclass(frozen=True)
class OwnCode:
    """`named` holds the classes that YAML files name, or what is wrong with them; `files` are all files of the code."""

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    found: list[OwnClass] = field(default_factory=list)
    named: Mapping[str, OwnClass | str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def code_files(project: Path) -> list[Path]:
    """Files of the project's Python code; none if it has no agent, no tool and nothing that registers one."""
    folders = [path for name in CODE_FOLDERS for path in walk(project / name)]
    top = sorted(path for path in project.glob("*.py") if not path.name.startswith("."))
    return [*top, *folders] if any(path.suffix == ".py" for path in (*top, *folders)) else []


def look_into(project: Path, class_paths: Iterable[str]) -> OwnCode:
    """What is in the project's code; `class_paths` are classes that agents' files name. Cheap if nothing changed."""
    wanted = _wanted(project, code_files(project))
    wanted["classes"] = sorted(set(class_paths))
    if not any(wanted.values()):
        return OwnCode()
    try:
        files = _read(project, code_files(project))
    except SpecInvalid as exc:
        return OwnCode(problems=[Problem(file=exc.file, message=str(exc))])
    digest = hashlib.sha256(b"\0".join(part for name in files for part in (name.encode(), files[name]))).hexdigest()
    found = _scanned(project, interpreter(project), json.dumps(wanted), digest)
    return OwnCode(files, found.found, found.named, found.problems)


def interpreter(project: Path) -> str:
    """The project's own Python, where it has one."""
    python = project / ".venv" / "bin" / "python"
    return str(python) if python.exists() else sys.executable


def _wanted(project: Path, files: list[Path]) -> dict[str, list[str]]:
    names = [path.relative_to(project).as_posix() for path in files if path.suffix == ".py"]
    return {
        "agents": [name for name in names if _is_in(name, AGENT_PLACES) and name.endswith("_agent.py")],
        "tools": [name for name in names if _may_hold_tools(project, name)],
        "registers": [name for name in REGISTERS if name in names],
    }


def _is_in(name: str, places: tuple[str, ...]) -> bool:
    return name.rpartition("/")[0] in places


def _may_hold_tools(project: Path, name: str) -> bool:
    """A file beside the tools that defines none may need what only the old system had: it is not imported."""
    if not (_is_in(name, TOOL_PLACES) or name.endswith("_tool.py")):
        return False
    try:
        tree = ast.parse((project / name).read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return True
    bases = [base for node in tree.body if isinstance(node, ast.ClassDef) for base in node.bases]
    return any((getattr(base, "id", "") or getattr(base, "attr", "")).endswith("Tool") for base in bases)


def _read(project: Path, files: list[Path]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in files:
        name = path.relative_to(project).as_posix()
        try:
            if not path.resolve(strict=True).is_relative_to(project.resolve()) or not path.is_file():
                raise SpecInvalid(f"{name}: leads out of the project, or is no file; put a copy here", file=name)
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                text = f"{name}: {size} bytes; allowed beside code are {MAX_FILE_BYTES}: keep data in another folder"
                raise SpecInvalid(text, file=name)
            found[name] = path.read_bytes()
        except OSError as exc:
            raise SpecInvalid(f"{name}: cannot be read: {exc.strerror}", file=name) from None
    if len(found) > MAX_FILES or sum(map(len, found.values())) > MAX_SKILL_BYTES:
        folders = f"the project folder and in {listed(CODE_FOLDERS)}"
        limit = f"{MAX_FILES} files and {MAX_SKILL_BYTES >> 20} MiB"
        raise SpecInvalid(f"more than {limit} in {folders}; keep data in another folder", file=".")
    return found


@dataclass(frozen=True)
class _Scanned:
    found: list[OwnClass]
    named: dict[str, OwnClass | str]
    problems: list[Problem]


@lru_cache(maxsize=32)
def _scanned(project: Path, python: str, wanted: str, _digest: str) -> _Scanned:
    """What the child tells. A child that dies or hangs tells nothing, and takes no agent of YAML with it."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    command = [python, str(SCAN), str(project)]
    options: dict[str, Any] = {"input": wanted.encode(), "capture_output": True, "cwd": project, "env": environment}
    try:
        done = subprocess.run(command, timeout=SCAN_SECONDS, check=False, start_new_session=True, **options)
    except subprocess.TimeoutExpired as exc:
        return _broken(exc.stdout, f"importing it took longer than {SCAN_SECONDS:g} s", wanted)
    except OSError as exc:
        return _broken(b"", f"the project's interpreter {python!r} cannot be started: {exc.strerror}", wanted)
    lines = done.stdout.splitlines()
    if not lines or b'"problems"' not in lines[-1]:
        return _broken(done.stdout, f"importing it ended the process (exit code {done.returncode})", wanted)
    return _told(json.loads(lines[-1]))


def _broken(out: bytes | None, why: str, wanted: str) -> _Scanned:
    lines = [json.loads(line) for line in (out or b"").splitlines() if line.startswith(b'{"at"')]
    file = lines[-1]["at"] if lines else "."
    text = f"{file}: {why}; no agent or tool in Python is known until it is mended"
    return _Scanned([], dict.fromkeys(json.loads(wanted)["classes"], text), [Problem(file=file, message=text)])


def _told(answer: dict[str, Any]) -> _Scanned:
    found = [_class(row) for row in answer["found"]]
    named = {text: row["error"] if "error" in row else _class(row) for text, row in answer["classes"].items()}
    return _Scanned(found, named, [_problem(row) for row in answer["problems"]])


def _class(row: dict[str, Any]) -> OwnClass:
    names = {"class": "cls", "schema": "schema_"}
    return OwnClass.model_validate({names.get(key, key): value for key, value in row.items() if value is not None})


def _problem(row: dict[str, Any]) -> Problem:
    place = row["file"] if row["line"] is None or ":" in row["file"] else f"{row['file']}:{row['line']}"
    return Problem(file=row["file"], line=row["line"], message=f"{place}: {row['message']}")


# what they are to the catalogue


def agent_of(found: OwnClass) -> AgentSpec:
    """The agent that a class is which no YAML file speaks of.

    Raises:
        SpecInvalid: its name is none.
    """
    if not canonical_name(found.name):
        raise SpecInvalid(f"{found.source}: {shown(found.name)} is no name of an agent", file=_file(found))
    return AgentSpec(
        name=found.name,
        description=found.description,
        strategy="class",
        class_path=f"{found.file}:{found.cls}",
        skills=None if found.tools is None else [canonical_name(name) for name in found.tools],
        extra={"config": found.config} if found.config else {},
    )


def run_of(agent: AgentSpec, found: OwnClass) -> SkillSpec:
    """The call that runs an agent, in the words of a skill: what its code is, and what it may give."""
    return SkillSpec(
        name=own_run(agent.name),
        description=agent.description,
        kind="own",
        handler=found.file,
        function=found.cls,
        effect_declared=True,
    )


def tool_of(found: OwnClass, undeclared: UndeclaredEffect) -> tuple[SkillSpec, list[str]]:
    """The skill that a tool is, and warnings.

    Raises:
        SpecInvalid: its name or its schema is none, or a value is not allowed.
    """
    name, place = canonical_name(found.name), found.source
    if not name or identifier(name) in RESERVED:
        text = f"{place}: {shown(found.name)} cannot be the name of a tool; reserved: {listed(sorted(RESERVED))}"
        raise SpecInvalid(text, file=_file(found))
    try:
        schema, odd = input_schema(found.schema_ or {"type": "object"})
        spec = SkillSpec.model_validate({**_keys(found), "name": name, "input_schema": schema})
    except ValidationError as exc:
        error = exc.errors()[0]
        key, value = ".".join(map(str, error["loc"])), shown(error["input"])
        raise SpecInvalid(f"{place}: {key}: found {value}; {error['msg']}", file=_file(found), key=key) from None
    except ValueError as exc:
        raise SpecInvalid(f"{place}: the schema of {found.cls}: {exc}", file=_file(found)) from None
    warnings = [f"{place}: the schema of {found.cls} {text}" for text in odd]
    if found.effect is None:
        effect = guessed_effect(spec, undeclared)
        spec = spec.model_copy(update={"effect": effect})
        warnings.append(f"{place}: {found.cls}.effect is not set; {effect!r} is assumed. Allowed: {_EFFECTS}")
    return spec, warnings


_EFFECTS = "pure, idempotent, keyed, once"


def _keys(found: OwnClass) -> dict[str, Json]:
    names = ("effect", "timeout_seconds", "max_retries")
    declared = {name: getattr(found, name) for name in names if getattr(found, name) is not None}
    return declared | {
        "description": found.description or f"The tool {found.cls} of the project",
        "kind": "class",
        "parameters": list((found.schema_ or {}).get("properties", {})),
        "secrets": found.secrets,
        "network": found.network,
        "writes": found.writes,
        "handler": found.file,
        "function": found.cls,
        "effect_declared": found.effect is not None,
    }


def _file(found: OwnClass) -> str:
    return found.source.partition(":")[0]
