"""Built-in skills called directly: real code on real files, without a worker."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from holdfast.specs import ParsedSkill, parse_skill

ROOT = Path(__file__).parents[2]
BUILTIN = ROOT / "skills" / "builtin"
SHOP = ROOT / "examples" / "inventory"


@dataclass(frozen=True)
class Context:
    workspace: str
    project: str | None = None


@cache
def function(name: str) -> Callable[..., Any]:
    """`run` of a built-in skill, loaded by path as the worker does it."""
    spec = importlib.util.spec_from_file_location(f"builtin_{name.replace('-', '_')}", BUILTIN / name / "skill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: Callable[..., Any] = module.run
    return run


@cache
def parsed(name: str) -> ParsedSkill:
    return parse_skill(BUILTIN / name)


class Desk:
    """A workspace, and the skills that work in it. Each answer must be JSON and fit the skill's output schema."""

    def __init__(self, folder: Path, project: Path | None = None) -> None:
        self.folder = folder
        self.project = str(project) if project else None

    def __call__(self, skill: str, **arguments: Any) -> Any:
        from jsonschema import Draft202012Validator

        spec = parsed(skill).spec
        Draft202012Validator(spec.input_schema).validate(arguments)
        answer = function(skill)(**arguments, context=Context(str(self.folder), self.project))
        Draft202012Validator(spec.output_schema).validate(answer)
        return json.loads(json.dumps(answer, allow_nan=False))

    def put(self, path: str, content: str | bytes) -> Path:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        return place
