"""`schema`: contracts and files as JSON Schemas: for other languages, for editors, for diffs between versions."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from cli import screen
from holdfast import agentkeys, contracts, flowkeys, skillfileschema
from holdfast.contracts.base import ActivityRef, Contract
from holdfast.errors import NotFound


def schema(name: str | None) -> None:
    """All schemas as one object, name -> schema, in the order of names; or one of them."""
    found = schemas()
    if name is None:
        screen.result(found)
    elif name in found:
        screen.result(found[name])
    else:
        raise NotFound(f"no contract named {name!r}; known: {', '.join(found)}")


def schemas() -> dict[str, Any]:
    """Contracts by class name, and the files that people write: `AgentFile`, `FlowFile`, `SkillFile`."""
    found = {model.__name__: model.model_json_schema() for model in _models()}
    found |= {"AgentFile": agentkeys.schema(), "FlowFile": flowkeys.schema(), "SkillFile": skillfileschema.schema()}
    return dict(sorted(found.items()))


def _models() -> Iterator[type[BaseModel]]:
    for module in pkgutil.iter_modules(contracts.__path__):
        named = vars(importlib.import_module(f"{contracts.__name__}.{module.name}"))
        yield from (value for name, value in named.items() if not name.startswith("_") and _is_public(value))


def _is_public(value: object) -> bool:
    if not (isinstance(value, type) and issubclass(value, BaseModel)):
        return False
    return value not in (BaseModel, Contract) and not issubclass(value, ActivityRef)
