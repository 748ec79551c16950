"""Flows as they are declared, the registries of the older platform, and the JSON Schemas of what people write."""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field

from api.house import House, OurHouse
from holdfast import agentkeys, flowkeys, skillfileschema
from holdfast.contracts.base import Contract, Json, Origin
from holdfast.contracts.flow import Coordination, FlowSpec
from holdfast.mermaid import mermaid
from holdfast.snapshot import Catalogue

router = APIRouter(tags=["workflows"])

_SCHEMAS = {"agent": agentkeys.schema, "flow": flowkeys.schema, "skill": skillfileschema.schema}


class Flow(Contract):
    """A flow, briefly. `steps` are the names of its steps. A task of it has the type `workflow:<name>`."""

    name: str
    description: str
    coordination_type: Coordination
    max_iterations: int
    convergence_check: str
    enabled: bool
    steps: list[str]
    events: list[str]
    tags: list[str]
    origin: Origin


class Flows(Contract):
    workflows: list[Flow]
    total: int


class FlowPage(Contract):
    """A flow in full. `mermaid` draws it; `catalogue` is the snapshot that a task started now would pin."""

    spec: FlowSpec
    mermaid: str
    catalogue: str


class AdminAgent(Contract):
    """`tools` are the skills that it may use; null: all. `schema` is that of its answers; null: any."""

    name: str
    agent_type: str
    description: str
    enabled: bool
    tools: list[str] | None
    schema_: dict[str, Json] | None = Field(alias="schema")


class AdminTool(Contract):
    """`schema` is that of its arguments."""

    name: str
    description: str
    kind: str
    schema_: dict[str, Json] = Field(alias="schema")


class AdminFlow(Flow):
    """`schema` is that of its input; null: any."""

    schema_: dict[str, Json] | None = Field(alias="schema")


class AdminAgents(Contract):
    agents: list[AdminAgent]


class AdminTools(Contract):
    tools: list[AdminTool]


class AdminFlows(Contract):
    workflows: list[AdminFlow]


@router.get("/workflows", operation_id="list_workflows")
async def find(house: OurHouse) -> Flows:
    """All flows, by name; also those that are switched off."""
    catalogue, _ = await _current(house)
    rows = [Flow.model_validate(_row(flow)) for flow in catalogue.flows.values()]
    return Flows(workflows=rows, total=len(rows))


@router.get("/workflows/{name}", operation_id="get_workflow")
async def look(name: str, house: OurHouse) -> FlowPage:
    """A flow as its file was read. Unknown: 404, with the flows that there are."""
    catalogue, sha = await _current(house)
    flow = catalogue.find_flow(name)
    return FlowPage(spec=flow, mermaid=mermaid(flow), catalogue=sha)


@router.get("/admin/agents", operation_id="admin_agents", tags=["registries"])
async def agents(house: OurHouse) -> AdminAgents:
    """Agents in the words of the older platform; `GET /agents` tells more."""
    catalogue, _ = await _current(house)
    rows = [
        {**agent.model_dump(), "tools": agent.skills, "schema": agent.output_schema}
        for agent in catalogue.agents.values()
    ]
    return AdminAgents.model_validate({"agents": rows})


@router.get("/admin/tools", operation_id="admin_tools", tags=["registries"])
async def tools(house: OurHouse) -> AdminTools:
    """Skills in the words of the older platform; `GET /skills` tells more."""
    catalogue, _ = await _current(house)
    rows = [{**skill.spec.model_dump(), "schema": skill.spec.input_schema} for skill in catalogue.skills.values()]
    return AdminTools.model_validate({"tools": rows})


@router.get("/admin/workflows", operation_id="admin_workflows", tags=["registries"])
async def flows(house: OurHouse) -> AdminFlows:
    """Flows in the words of the older platform; `GET /workflows` tells more."""
    catalogue, _ = await _current(house)
    rows = [{**_row(flow), "schema": flow.input_schema} for flow in catalogue.flows.values()]
    return AdminFlows.model_validate({"workflows": rows})


@router.get("/schemas/{name}.json", operation_id="get_schema", response_model=dict[str, Any])
async def schema(name: Literal["agent", "flow", "skill"]) -> JSONResponse:
    """The JSON Schema of an agent's, a flow's or a skill's file: the first line of such a file can name it."""
    return JSONResponse(_SCHEMAS[name]())


async def _current(house: House) -> tuple[Catalogue, str]:
    catalogue, sha, _ = await asyncio.to_thread(house.library.current)
    return catalogue, sha


def _row(flow: FlowSpec) -> dict[str, Any]:
    steps = [step.name for step in flow.steps]
    return {**flow.model_dump(), "coordination_type": flow.coordination, "steps": steps}
