"""Agents as they are configured, what is wrong with a file before it is one, and all files read again now."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.house import House, OurHouse
from api.reconcile import Reconciled
from api.routes.agents import Mode, safe
from holdfast import configcheck
from holdfast.catalogue import Problem
from holdfast.configcheck import Checked, Kind
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.task import Body

router = APIRouter(tags=["configuration"])

_EXAMPLE: JsonDict = {"config": "name: my-assistant\nsystem_prompt: You are a helpful AI assistant.\n"}


class Config(AgentSpec):
    """An agent's effective configuration, what it inherits included; secrets are `***`. `llm_config` is the model that
    is asked first; null: the worker's default."""

    llm_config: ModelSettings | None


class Configs(Contract):
    configs: list[Config]
    total: int


class ConfigFile(Body):
    """What a file in `agents/` or `flows/` would hold: its text, or its keys as JSON. Without `kind`, what has `steps`
    is a flow."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    config: Annotated[str, Field(max_length=256 * 1024)] | dict[str, Json]
    kind: Kind | None = None


class Upload(ConfigFile):
    """`replace`: a file of that name that is there is written over."""

    replace: bool = False


class Validation(Contract):
    """`name` is null if there is an error."""

    valid: bool
    kind: Kind
    name: str | None
    errors: list[Problem]
    warnings: list[Problem]


class Uploaded(Validation):
    """`file` is where it stands in the project."""

    file: str


class Reloaded(Contract):
    """Names of what there is now. `catalogue` is the snapshot that a task started now would pin; `schedules` says what
    was changed of those that the files declare."""

    catalogue: str
    agents: list[str]
    flows: list[str]
    skills: list[str]
    schedules: Reconciled
    errors: list[Problem]
    warnings: list[Problem]
    timestamp: datetime


@router.get("/configs", operation_id="list_configs")
async def find(house: OurHouse) -> Configs:
    """The configuration of every agent, by name."""
    return await _configs(house)


@router.get("/configs/enabled", operation_id="list_enabled_configs")
async def enabled(house: OurHouse) -> Configs:
    """Of those that take tasks."""
    return await _configs(house, enabled=True)


@router.get("/configs/type/{agent_type}", operation_id="list_configs_by_type")
async def by_type(agent_type: Annotated[str, Path(max_length=200)], house: OurHouse) -> Configs:
    """Of those with this `agent_type`."""
    return await _configs(house, agent_type=agent_type)


@router.get("/configs/mode/{mode}", operation_id="list_configs_by_mode")
async def by_mode(mode: Mode, house: OurHouse) -> Configs:
    """Of those with this `execution_mode`."""
    return await _configs(house, execution_mode=mode)


@router.get("/configs/{name}", operation_id="get_config")
async def look(name: Annotated[str, Path(max_length=190)], house: OurHouse) -> Config:
    """The configuration of one agent. Unknown: 404, with the agents that there are."""
    catalogue, _, _ = await asyncio.to_thread(house.library.current)
    return _config(catalogue.find_agent(name))


@router.post("/configs/validate", operation_id="validate_config")
async def validate(body: ConfigFile, house: OurHouse) -> Validation:
    """Whether this would be read, and what is wrong with it. Nothing is kept."""
    return _validation(await asyncio.to_thread(_checked, house, body))


@router.post("/configs/upload", operation_id="upload_config", status_code=201)
async def upload(body: Upload, house: OurHouse) -> Uploaded:
    """Write it into the project's `agents/` or `flows/`, under its name: tasks find it at once.

    An error in it: 422, and nothing is written. A file that is there already: 409, unless `replace` is true.
    """
    checked = await asyncio.to_thread(_checked, house, body)
    file = await asyncio.to_thread(configcheck.write, checked, _text(body), house.library, body.replace)
    return Uploaded(**dict(_validation(checked)), file=file)


@router.post("/reload", operation_id="reload")
async def reload(house: OurHouse) -> Reloaded:
    """Look at every file now. It is never needed: a change is seen within 2 s anyway."""
    catalogue, sha, problems = await asyncio.to_thread(house.library.current)
    return Reloaded(
        catalogue=sha,
        agents=sorted(agent.name for agent in catalogue.agents.values()),
        flows=sorted(flow.name for flow in catalogue.flows.values()),
        skills=sorted(catalogue.skills),
        schedules=await house.schedules.reconcile(),
        errors=problems,
        warnings=house.library.warnings,
        timestamp=datetime.now(UTC),
    )


async def _configs(house: House, **wanted: object) -> Configs:
    catalogue, _, _ = await asyncio.to_thread(house.library.current)
    fitting = [
        _config(agent)
        for agent in catalogue.agents.values()
        if all(getattr(agent, name) == value for name, value in wanted.items())
    ]
    return Configs(configs=fitting, total=len(fitting))


def _config(agent: AgentSpec) -> Config:
    known: dict[str, Any] = safe(agent)
    return Config.model_validate({**known, "llm_config": known["models"][0] if known["models"] else None})


def _checked(house: House, body: ConfigFile) -> Checked:
    catalogue, _, _ = house.library.current()
    return configcheck.check_text(_text(body), body.kind, house.settings.project, catalogue)


def _text(body: ConfigFile) -> str:
    """JSON is YAML too."""
    return body.config if isinstance(body.config, str) else json.dumps(body.config, indent=2, ensure_ascii=False)


def _validation(checked: Checked) -> Validation:
    errors = [problem for problem in checked.problems if problem.level == "error"]
    return Validation(
        valid=checked.spec is not None,
        kind=checked.kind,
        name=checked.spec.name if checked.spec else None,
        errors=errors,
        warnings=[problem for problem in checked.problems if problem.level == "warning"],
    )
