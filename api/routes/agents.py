"""Agents as they are declared, and whether a worker that was seen just now can run them."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api.house import House, OurHouse
from holdfast import readiness
from holdfast.contracts.agent import AgentLimits, AgentSpec, Planning, Retry, Strategy
from holdfast.contracts.base import Contract, Json, Origin
from holdfast.contracts.budget import Budget
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.timing import Scheduled

router = APIRouter(tags=["agents"])

_SECRET = re.compile(r"auth|token|secret|password|api_?key", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/@\s]+@")
_RECENT = timedelta(seconds=30)
Mode = Literal["autonomous", "collaborative", "continuous", "scheduled"]


class Agent(Contract):
    """An agent, briefly. `reason` says what it lacks when its status is not `ready`. `skills` null: all there are.

    `model` is `provider:model` of the first that is asked; null: the worker's default. Agents are no processes here,
    so there is no heartbeat and no restart to tell of: these two are always null.
    """

    name: str
    description: str
    agent_type: str
    execution_mode: Mode
    strategy: Strategy
    status: readiness.Status
    reason: str
    enabled: bool
    capabilities: list[str]
    skills: list[str] | None
    event_subscriptions: list[str]
    model: str | None
    origin: Origin
    last_heartbeat: datetime | None = None
    restart_count: int | None = None


class Agents(Contract):
    agents: list[Agent]
    total: int


class AgentPage(Agent):
    """An agent in full. `catalogue` is the snapshot that a task started now would pin."""

    aliases: list[str]
    planning: Planning
    phrase: bool
    models: list[ModelSettings]
    system_prompt: str
    subagents: list[str] | None
    class_path: str
    limits: AgentLimits
    retry: Retry
    budget: Budget
    output_schema: dict[str, Json] | None
    schedule: Scheduled | None
    extra: dict[str, Json]
    catalogue: str


@router.get("/agents", operation_id="list_agents")
@router.get("/api/agents", operation_id="list_agents_alias")
async def find(
    house: OurHouse,
    status: readiness.Status | None = None,
    agent_type: str | None = None,
    execution_mode: Mode | None = None,
    tags: Annotated[list[str] | None, Query(description="repeat it for several: an agent has all of them")] = None,
) -> Agents:
    """All agents by name, or those that fit every filter."""
    catalogue, _, _ = await asyncio.to_thread(house.library.current)
    providers = await _providers(house)
    wanted = {tag.lower() for tag in tags or []}
    rows = [
        row
        for row in (_row(agent, providers) for agent in catalogue.agents.values())
        if status in (None, row.status)
        and agent_type in (None, row.agent_type)
        and execution_mode in (None, row.execution_mode)
        and wanted <= {tag.lower() for tag in row.capabilities}
    ]
    return Agents(agents=rows, total=len(rows))


@router.get("/agents/{name}", operation_id="get_agent")
async def look(name: str, house: OurHouse) -> AgentPage:
    """An agent as its file was read. `-` and `_` in its name are the same, and so are capitals."""
    catalogue, sha, _ = await asyncio.to_thread(house.library.current)
    agent = catalogue.find_agent(name)
    row = _row(agent, await _providers(house))
    return AgentPage.model_validate({**safe(agent), **row.model_dump(), "catalogue": sha})


def safe(agent: AgentSpec) -> dict[str, Any]:
    """An agent as JSON without secrets: those of older systems' keys, and of addresses that hold a password."""
    found = agent.model_dump(mode="json")
    models = [{key: _without_password(value) for key, value in model.items()} for model in found["models"]]
    return {**found, "extra": masked(agent.extra), "schedule": masked(found["schedule"]), "models": models}


def _without_password(value: Json) -> Json:
    return _PASSWORD.sub("://***@", value) if isinstance(value, str) else value


def masked(value: Json) -> Json:
    """JSON with `***` for what stands under a key that says that it is secret: older systems keep such in agents."""
    match value:
        case dict():
            return {key: "***" if item and _SECRET.search(key) else masked(item) for key, item in value.items()}
        case list():
            return [masked(item) for item in value]
        case str():
            return _without_password(value)
        case _:
            return value


async def _providers(house: House) -> dict[str, str]:
    rows = await house.workers.list(datetime.now(UTC) - _RECENT)
    return readiness.offered(row.providers for row in rows)


def _row(agent: AgentSpec, providers: dict[str, str]) -> Agent:
    status, reason = readiness.status(agent, providers)
    return Agent.model_validate(
        {
            **agent.model_dump(),
            "status": status,
            "reason": reason,
            "capabilities": agent.tags,
            "model": _model(agent.models),
        }
    )


def _model(models: list[ModelSettings]) -> str | None:
    if not models or (models[0].provider is None and models[0].model is None):
        return None
    return f"{models[0].provider or 'default'}:{models[0].model or 'default'}"
