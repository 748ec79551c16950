"""Where skills, agents and flows lie: the folders and files that count, of a project and of holdfast itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.agentforms import AgentFile
from holdfast.contracts.base import Contract, Origin
from holdfast.errors import SpecInvalid
from holdfast.flowfiles import FlowFile
from holdfast.skillfiles import is_skill_folder

PROJECT_FOLDERS = ("skills", ".agents/skills")
AGENT_FOLDERS = {"agents": True, "config/agents": False}
"""Where agents' files lie, and whether one that names no skills may use all of them. The second is agentrunner's."""
SUBAGENTS = "subagents"
"""One folder each, with an `agent.yaml`."""
AGENT_LISTS = ("config/agents.yaml", "config/agents.yml")
"""Files with several agents in a list."""
AGENT_DEFAULTS = ("config/agents.config.yaml", "config/agents.config.yml")
MASTER_PROMPT = "prompts/master-system.txt"
"""The system prompt of the agent `master`, unless its file has one."""
FLOW_FOLDERS = ("flows", "workflows", "app/workflows")
"""Only YAML files count there. The other two are where the older systems keep theirs."""

MAX_FOLDERS = 2000


class Problem(Contract):
    """What is wrong with a file. An `error` keeps it out of the catalogue, a `warning` does not."""

    level: Literal["error", "warning"] = "error"
    file: str
    line: int | None = None
    key: str | None = None
    message: str

    @classmethod
    def of(cls, exc: SpecInvalid, label: str, level: Literal["error", "warning"] = "error") -> "Problem":
        return cls(level=level, file=exc.file or label, line=exc.line, key=exc.key, message=str(exc))


def about(file: str) -> Literal["skills", "agents", "flows"]:
    """What a problem's `file` belongs to."""
    folder = file.rpartition("/")[0]
    if folder in (*FLOW_FOLDERS, "builtin/flows"):
        return "flows"
    is_skill = file.startswith(PROJECT_FOLDERS) or (file.startswith("builtin/") and folder != "builtin/agents")
    return "skills" if is_skill else "agents"


@dataclass(frozen=True)
class SkillFolder:
    folder: Path
    label: str
    origin: Origin


def skill_folders(project: Path, builtin: Path, problems: list[Problem]) -> Iterator[SkillFolder]:
    yield from _in(builtin, "builtin", "builtin", problems)
    for part in PROJECT_FOLDERS:
        yield from _in(project / part, part, "project", problems)


def _in(root: Path, label: str, origin: Origin, problems: list[Problem]) -> Iterator[SkillFolder]:
    folders = _subfolders(root)
    if len(folders) > MAX_FOLDERS:
        text = f"{label}: {len(folders)} folders; allowed are {MAX_FOLDERS}, the first ones by name are read"
        problems.append(Problem(file=label, message=text))
    for folder in folders[:MAX_FOLDERS]:
        if not folder.resolve().is_relative_to(root.resolve()):
            text = f"{label}/{folder.name}: a symbolic link out of {label}; put a copy here"
            problems.append(Problem(file=f"{label}/{folder.name}", message=text))
        elif is_skill_folder(folder):
            yield SkillFolder(folder, f"{label}/{folder.name}", origin)


def _subfolders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    except (FileNotFoundError, NotADirectoryError):
        return []


def agent_files(project: Path, builtin: Path, problems: list[Problem]) -> Iterator[AgentFile]:
    """Built-in ones first, so that a project's own can take their place."""
    for path in _yaml_files(builtin):
        yield AgentFile(path, f"builtin/agents/{path.name}", builtin, "builtin")
    for folder, says_all in AGENT_FOLDERS.items():
        for path, label in _own_files(project, folder, builtin, problems):
            yield AgentFile(path, label, project, "project", says_all)
    for own in _subfolders(project / SUBAGENTS)[:MAX_FOLDERS]:
        for path in _yaml_files(own):
            if path.stem == "agent":
                label = f"{SUBAGENTS}/{own.name}/{path.name}"
                yield AgentFile(path, label, project, "project", form="subagent")
    for name in AGENT_LISTS:
        if (project / name).is_file():
            yield AgentFile(project / name, name, project, "project", says_all=False, form="list")


def flow_files(project: Path, builtin: Path, problems: list[Problem]) -> Iterator[FlowFile]:
    """Built-in ones first, so that a project's own can take their place."""
    for path in _yaml_files(builtin):
        yield FlowFile(path, f"builtin/flows/{path.name}", builtin, "builtin")
    for folder in FLOW_FOLDERS:
        for path, label in _own_files(project, folder, builtin, problems):
            yield FlowFile(path, label, project)


def _own_files(project: Path, folder: str, builtin: Path, problems: list[Problem]) -> Iterator[tuple[Path, str]]:
    """A project's YAML files in a folder with their labels. The folder of holdfast itself is no project's."""
    is_builtin = (project / folder).resolve() == builtin.resolve()
    files = [] if is_builtin else _yaml_files(project / folder)
    if len(files) > MAX_FOLDERS:
        text = f"{folder}: {len(files)} files; allowed are {MAX_FOLDERS}, the first ones by name are read"
        problems.append(Problem(file=folder, message=text))
    for path in files[:MAX_FOLDERS]:
        yield path, f"{folder}/{path.name}"


def _yaml_files(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.suffix in (".yaml", ".yml") and path.name[0] not in "._")
    except (FileNotFoundError, NotADirectoryError):
        return []
