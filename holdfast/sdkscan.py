"""The child that looks what a project's own Python holds: imports its files, and tells of agents and tools as JSON.

    python sdkscan.py <root>     {"agents": […], "tools": […], "registers": […], "classes": […]} on stdin

It answers with a line {at: file} for each file that it is about to import, and a last one: {found, classes, problems}.

Standard library only, Python >= 3.9: it is run by the project's own interpreter. What the code prints goes to stderr.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

TOOL_KEYS = ("effect", "timeout_seconds", "max_retries", "network", "writes")


class Scan:
    """What was found so far. `problems` are {file, line, message}."""

    def __init__(self, root: str, sdk: Any, tell: Callable[[dict[str, Any]], None]) -> None:
        self.root, self.sdk, self.tell = root, sdk, tell
        self.found: list[dict[str, Any]] = []
        self.classes: dict[str, dict[str, Any]] = {}
        self.problems: list[dict[str, Any]] = []

    def end(self) -> None:
        self.tell({"found": self.found, "classes": self.classes, "problems": self.problems})

    # files

    def module(self, file: str) -> ModuleType | None:
        self.tell({"at": file})
        try:
            found: ModuleType = self.sdk.load_file(self.root, file)
        except (Exception, SystemExit, KeyboardInterrupt) as exc:  # noqa: BLE001 - whatever it raises is what is told
            traceback.print_exc()
            self.problem(file, f"cannot be imported: {_said(exc)}", _line(exc, str(Path(self.root, file))))
            return None
        return found

    def agent(self, file: str) -> None:
        """`<type>_agent.py`: the one class in it that is an agent."""
        module = self.module(file)
        if module is None:
            return
        own = _own(module, self.sdk.Agent)
        kind = Path(file).stem.rpartition("_agent")[0]
        wanted = f"{kind.replace('_', '')}agent"
        several = [cls for cls in own if cls.__name__.lower() == wanted] or own
        if len(several) != 1:
            names = ", ".join(cls.__name__ for cls in own) or "none"
            text = "exactly one class based on holdfast.Agent, or one that is named after the file"
            self.problem(file, f"found {names}; allowed: {text}")
            return
        self.add_agent(several[0], kind, file, by_own_type=True)

    def tools(self, file: str) -> None:
        """Every class in a file that is a tool."""
        module = self.module(file)
        for cls in _own(module, self.sdk.AnyTool) if module else []:
            self.add_tool(cls, "", file)

    def registered(self) -> None:
        for one in self.sdk.registry.all:
            if one.cls.__module__ not in sys.modules:
                continue  # Its file failed later on, which is told.
            if issubclass(one.cls, self.sdk.Agent):
                more = {"config": one.config, "tools": one.tools, "description": one.description}
                self.add_agent(one.cls, one.name, self.relative(one.place), more)
            else:
                self.add_tool(one.cls, one.name, self.relative(one.place))

    def named(self, text: str) -> None:
        """A class that a YAML file names: `module:Class`, `package.module.Class`."""
        name, _, cls_name = text.partition(":") if ":" in text else text.rpartition(".")
        file = self.file_of(name)
        if file is None:
            self.classes[text] = {"error": f"the project has no module {name!r}"}
            return
        before = len(self.problems)
        module = self.module(file)
        if module is None:
            self.classes[text] = {"error": self.problems[before]["message"]}
            return
        cls = getattr(module, cls_name, None)
        if not (isinstance(cls, type) and issubclass(cls, self.sdk.Agent)):
            self.classes[text] = {"error": f"{file} has no class {cls_name!r} that is based on holdfast.Agent"}
            return
        row = self.agent_row(cls, "", file, by_own_type=True)
        self.classes[text] = row or {"error": self.problems[-1]["message"]}

    def file_of(self, module: str) -> str | None:
        path = module.replace(".", "/")
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if module and Path(self.root, file).is_file():
                return file
        return None

    # classes

    def add_agent(
        self, cls: Any, name: str, source: str, more: dict[str, Any] | None = None, *, by_own_type: bool = False
    ) -> None:
        row = self.agent_row(cls, name, source, more, by_own_type=by_own_type)
        if row is not None:
            self.found.append(row)

    def agent_row(
        self, cls: Any, name: str, source: str, more: dict[str, Any] | None = None, *, by_own_type: bool = False
    ) -> dict[str, Any] | None:
        """`by_own_type`: the name that its constructor gives goes before that of the file."""
        agent = self.instance(cls, self.sdk.Agent, source)
        if agent is None:
            return None
        more = more or {}
        own = str(getattr(agent, "agent_type", "") or "") if by_own_type else ""
        tools = more.get("tools")
        return {
            **self.row("agent", cls, own or name, source),
            "description": more.get("description") or _doc(cls),
            "tools": getattr(agent.tools, "names", None) if tools is None else list(tools),
            "config": more.get("config") or {},
        }

    def add_tool(self, cls: Any, name: str, source: str) -> None:
        tool = self.instance(cls, self.sdk.AnyTool, source)
        if tool is None:
            return
        try:
            schema = tool.get_schema()
            json.dumps(schema)
        except Exception as exc:  # noqa: BLE001 - whatever it raises is what is told
            traceback.print_exc()
            self.problem(source, f"the schema of {cls.__name__} cannot be had: {_said(exc)}")
            return
        own = getattr(tool, "tool_name", "") or getattr(tool, "name", "") or name
        row = {
            **self.row("tool", cls, str(name or own or Path(source).stem), source),
            "description": str(getattr(tool, "description", "") or _doc(cls)),
            "schema": schema,
            "secrets": list(tool.secrets),
        }
        self.found.append(row | {key: getattr(tool, key, None) for key in TOOL_KEYS})

    def instance(self, cls: Any, base: Any, source: str) -> Any:
        """The instance of a class that can be run at all, else None, and it is told why."""
        if cls.execute is base.execute:
            self.problem(source, f"class {cls.__name__} has no execute()", _class_line(cls))
            return None
        try:
            return self.sdk.registry.get(cls)
        except Exception as exc:  # noqa: BLE001 - whatever it raises is what is told
            traceback.print_exc()
            line = _line(exc, inspect.getsourcefile(cls) or "")
            self.problem(source, f"{cls.__name__}() raised {_said(exc)}; it is made without arguments", line)
            return None

    def row(self, kind: str, cls: Any, name: str, source: str) -> dict[str, Any]:
        file = self.relative(inspect.getsourcefile(cls) or "")
        return {"kind": kind, "name": name, "class": cls.__name__, "file": file, "source": source}

    # words

    def relative(self, place: str) -> str:
        return place[len(self.root) :].lstrip("/") if place.startswith(self.root) else place

    def problem(self, file: str, message: str, line: int | None = None) -> None:
        self.problems.append({"file": file, "line": line, "message": message.replace(self.root + "/", "")[:2000]})


def _own(module: ModuleType, base: type) -> list[type]:
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, base) and one.__module__ == module.__name__
    ]


def _said(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"


def _line(exc: BaseException, file: str) -> int | None:
    if isinstance(exc, SyntaxError) and exc.filename == file:
        return exc.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None


def _class_line(cls: type) -> int | None:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return None


def _doc(cls: type) -> str:
    text = vars(cls).get("__doc__") or ""
    return inspect.cleandoc(text).split("\n\n")[0].replace("\n", " ")


def load_sdk() -> Any:
    """`sdk.py` beside this file, as the `holdfast` of the project's code."""
    spec = importlib.util.spec_from_file_location("holdfast.sdk", Path(__file__).with_name("sdk.py"))
    assert spec is not None and spec.loader is not None
    sdk = importlib.util.module_from_spec(spec)
    sys.modules["holdfast.sdk"] = sdk
    spec.loader.exec_module(sdk)
    sdk.introduce()
    return sdk


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(row: dict[str, Any]) -> None:
        out.write(json.dumps(row) + "\n")
        out.flush()

    root = os.path.realpath(sys.argv[1])
    sys.path[0] = root  # In place of this file's own folder.
    scan = Scan(root, load_sdk(), tell)
    wanted = json.load(sys.stdin)
    for text in wanted["classes"]:
        scan.named(text)
    for file in wanted["registers"]:
        scan.module(file)
    for file in wanted["agents"]:
        scan.agent(file)
    for file in wanted["tools"]:
        scan.tools(file)
    scan.registered()
    scan.end()
    os._exit(0)


if __name__ == "__main__":
    main()
