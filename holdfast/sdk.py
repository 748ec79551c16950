"""What a project's own agents and tools are written with: `from holdfast import Agent, Tool, BaseTool, register`.

The project's interpreter loads this file, and it may know nothing of holdfast: standard library only, Python >= 3.9.
Nothing here reaches a model or a skill by itself: whoever runs the code connects it, in a test that may be anybody.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

NAMES = ("Agent", "BaseTool", "Tool", "ToolError", "register")
"""What `holdfast` gives of this file."""

JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


class ToolError(Exception):
    """A tool or skill did not answer. `type` is the name of the error behind it, such as `SkillTimeout`."""

    def __init__(self, message: str, type: str = "ToolError", *, retryable: bool = False) -> None:  # noqa: A002
        super().__init__(message)
        self.type, self.retryable = type, retryable


class Connection:
    """How code that runs here reaches the world: `llm(prompt, system=…)` and `call(name, arguments)`."""

    llm: Callable[..., str] | None = None
    call: Callable[[str, dict[str, Any]], Any] | None = None


def connect(llm: Callable[..., str] | None, call: Callable[[str, dict[str, Any]], Any] | None) -> None:
    """What agents reach from here on. In a test of an agent: functions of the test."""
    Connection.llm, Connection.call = staticmethod(llm) if llm else None, staticmethod(call) if call else None


class Text(str):
    """The model's text; `await` gives the same, for agents whose `execute` is async."""

    __slots__ = ()

    def __await__(self) -> Iterator[Any]:
        yield from ()
        return self  # type: ignore[return-value]


class Agent:
    """An agent in Python: `execute(input_data, user_id_hash=None)` gives its output.

    That is a mapping with `output` and `usage`, or any JSON, of which a key `usage` is split off. `tools`: names of the
    skills that it may call, all if it names none. `config` is that of its entry in YAML. One instance serves task after
    task of a tenant: keep nothing of a task in it, or set `create_new = True`.
    """

    create_new = False
    agent_type: str = ""
    config: dict[str, Any]
    tools: Tools

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Agent:
        self = super().__new__(cls)
        self.tools, self.config = Tools(None), {}
        return self

    def __init__(self, agent_type: str = "", tools: Any = None) -> None:
        self.agent_type, self.tools = agent_type or self.agent_type, Tools(tools)

    def execute(self, input_data: dict[str, Any], user_id_hash: str | None = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no execute()")

    def call_llm(self, prompt: str, system: str = "") -> Text:
        """The model's text. It is recorded: an agent that runs again after a crash gets the same one, unpaid."""
        if Connection.llm is None:
            raise RuntimeError("no model is connected: agents run in holdfast; in a test call holdfast.sdk.connect")
        return Text(Connection.llm(prompt, system=system))

    _call_llm = call_llm

    def call_tool(self, name: str, **arguments: Any) -> Any:
        """The answer of a tool or skill, recorded like the model's.

        Raises:
            ToolError: it failed, there is none of that name, or this agent may not use it.
        """
        return called(name, arguments)

    call_skill = call_tool


class Tools(Mapping[str, "ToolProxy"]):
    """An agent's tools by name. A name that it did not list is tried all the same: the answer says if it may not."""

    def __init__(self, tools: Any) -> None:
        given = tools.values() if isinstance(tools, Mapping) else tools
        self.names = None if given is None else [_name_of(tool) for tool in given]

    def __getitem__(self, name: str) -> ToolProxy:
        return ToolProxy(name)

    def __contains__(self, name: object) -> bool:
        return name in (self.names or [])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names or [])

    def __len__(self) -> int:
        return len(self.names or [])


class ToolProxy:
    """A tool as agents see it: the call leaves the process, and is recorded."""

    def __init__(self, tool_name: str) -> None:
        self.tool_name = self.name = tool_name

    def execute(self, **arguments: Any) -> dict[str, Any]:
        """{success, result, error, metadata}; it raises nothing."""
        try:
            result = called(self.tool_name, arguments)
        except ToolError as exc:
            return {"success": False, "result": None, "error": str(exc), "metadata": {"error_type": exc.type}}
        return {"success": True, "result": result, "error": None, "metadata": {}}


class AnyTool:
    """What the catalogue wants to know of a tool: the same keys as in a skill.yaml, as attributes of the class."""

    effect: str | None = None
    timeout_seconds: float | None = None
    max_retries: int | None = None
    network: bool = False
    writes: bool = False
    secrets: typing.Sequence[str] = ()
    description: str = ""

    def get_schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments; by default from `parameters`, else from the hints of `execute`."""
        found = getattr(self, "parameters", None)
        return found if isinstance(found, dict) else schema_of(self.execute)

    def execute(self, *_args: Any, **_arguments: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no execute()")

    def validate_params(self, **_arguments: Any) -> None:
        """Arguments are checked against the schema before `execute` is called; here is nothing left to do."""


class Tool(AnyTool):
    """A tool: `get_schema()`, and `execute(**arguments)` -> {success, result, error, metadata}, or just the result."""

    def __init__(self, tool_name: str = "", description: str = "") -> None:
        self.tool_name, self.description = tool_name, description or self.description


class BaseTool(AnyTool):
    """A tool with `name`, `description`, `parameters` (JSON Schema) and `execute(**arguments)`."""

    name: str = ""
    parameters: Any = None


def called(name: str, arguments: dict[str, Any]) -> Any:
    """What a tool answers.

    Raises:
        ToolError: it does not.
    """
    if Connection.call is None:
        raise RuntimeError("no tools are connected: agents run in holdfast; in a test call holdfast.sdk.connect")
    return Connection.call(name, arguments)


def _name_of(tool: Any) -> str:
    return tool if isinstance(tool, str) else str(getattr(tool, "tool_name", "") or getattr(tool, "name", ""))


# the registry


class Registered(typing.NamedTuple):
    """A class under a name, and the place of the `register` that put it there."""

    name: str
    cls: type
    config: dict[str, Any]
    tools: list[str] | None
    description: str
    place: str


class Registry:
    """Classes by name, and one instance of each."""

    def __init__(self) -> None:
        self.all: list[Registered] = []
        self._instances: dict[Any, Any] = {}

    def register(
        self,
        name: str,
        cls: type,
        config: dict[str, Any] | None = None,
        tools: list[str] | None = None,
        description: str = "",
    ) -> None:
        """
        Raises:
            TypeError: the class is neither an agent nor a tool.
            ValueError: the name is taken by another class.
        """
        if not (isinstance(cls, type) and issubclass(cls, (Agent, AnyTool))):
            raise TypeError(f"register({name!r}): found {cls!r}; allowed is a class based on Agent, Tool or BaseTool")
        frame = inspect.stack()[1]
        place = f"{frame.filename}:{frame.lineno}"
        before = next((one for one in self.all if one.name == name), None)
        if before is not None and before.cls is not cls:
            raise ValueError(
                f"register({name!r}) in {place}: the name belongs to {before.cls.__name__}, registered in "
                f"{before.place}; give one of them another name"
            )
        self.all.append(Registered(name, cls, config or {}, tools, description, place))

    def get(self, cls: type, create_new: bool = False) -> Any:
        """The one instance of a class; with `create_new`, or if the class says so, another one."""
        if create_new or getattr(cls, "create_new", False):
            return cls()
        if cls not in self._instances:
            self._instances[cls] = cls()
        return self._instances[cls]


registry = Registry()
register = registry.register


# loading


def introduce() -> None:
    """Let `from holdfast import Agent` find this file where there is no holdfast, or another version of it."""
    try:
        package = importlib.import_module("holdfast")
    except ImportError:
        package = types.ModuleType("holdfast")
        package.__path__ = []
        sys.modules["holdfast"] = package
    sys.modules["holdfast.sdk"] = sys.modules[__name__]
    for name in NAMES:
        setattr(package, name, globals()[name])


def load_file(root: str, file: str) -> types.ModuleType:
    """The module of a file of the project: `app/agents/x_agent.py` is `app.agents.x_agent`, whatever else has such a
    name on the path. `root` is in front of the path."""
    parts = [part for part in Path(file).with_suffix("").parts if part != "__init__"]
    for depth in range(1, len(parts)):
        _own_package(Path(root), parts[:depth])
    return importlib.import_module(".".join(parts))


def _own_package(root: Path, parts: list[str]) -> None:
    name, folder = ".".join(parts), root.joinpath(*parts)
    if name not in sys.modules and not (folder / "__init__.py").exists():
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The JSON Schema of a function's parameters, from its hints and defaults."""
    hints = typing.get_type_hints(function)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        properties[name] = _schema(hints.get(name, Any))
        if parameter.default is parameter.empty:
            required.append(name)
        elif parameter.default is not None:
            properties[name]["default"] = parameter.default
    return {"type": "object", "properties": properties, "required": required}


def _schema(hint: Any) -> dict[str, Any]:
    if hint in JSON_TYPES:
        return {"type": JSON_TYPES[hint]}
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin in (list, tuple, set):
        return {"type": "array", **({"items": _schema(inner[0])} if inner else {})}
    if origin is dict:
        return {"type": "object"}
    kinds = [_schema(one).get("type") for one in inner if one is not type(None)]
    if inner and all(isinstance(kind, str) for kind in kinds):
        return {"type": [*dict.fromkeys(kinds), *(["null"] if type(None) in inner else [])]}
    return {}
