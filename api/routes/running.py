"""Agents as an operator asks for them."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from temporalio.service import RPCError, RPCStatusCode

from api.house import House, OurHouse, OurTenant
from api.routes.health import recent
from api.temporal import answering
from holdfast import readiness
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.base import Contract
from holdfast.contracts.session import SIGNAL_HIBERNATE, SessionRef
from holdfast.conversing import OF_AGENT
from holdfast.names import canonical_name

router = APIRouter(tags=["operations"])

_Name = Annotated[str, Path(max_length=190)]


class AgentHealth(Contract):
    """`reason` says what an agent lacks that is not `ready`."""

    agent_name: str
    status: readiness.Status
    healthy: bool
    reason: str
    timestamp: datetime


class AgentStats(Contract):
    """Tasks that people or events asked of the agent. CANCELLED and TIMED_OUT count as failed."""

    agent_name: str
    total_executions: int
    successful: int
    failed: int
    in_work: int
    average_seconds: float | None


class Restarted(Contract):
    """`restarted` is false where there was nothing to restart: `message` says why."""

    agent_name: str
    restarted: bool
    message: str


@router.get("/agents/{name}/health", operation_id="get_agent_health")
async def health(name: _Name, house: OurHouse) -> AgentHealth:
    """Whether the agent could run now: by what its workers say of the models that it asks."""
    agent = await _found(house, name)
    rows = await recent(house)
    status, reason = readiness.status(agent, readiness.offered(row.providers for row in rows))
    return AgentHealth(
        agent_name=agent.name, status=status, healthy=status == "ready", reason=reason, timestamp=datetime.now(UTC)
    )


@router.get("/agents/{name}/stats", operation_id="get_agent_stats")
async def stats(name: _Name, house: OurHouse, tenant: OurTenant) -> AgentStats:
    """How many tasks the agent was asked, and how they went."""
    agent = await _found(house, name)
    tally = await house.records.tally(tenant=tenant, kind=f"agent:{agent.name}")
    return AgentStats(
        agent_name=agent.name,
        total_executions=tally.total,
        successful=tally.done,
        failed=tally.failed,
        in_work=tally.total - tally.done - tally.failed,
        average_seconds=tally.average_seconds,
    )


@router.post("/agents/{name}/restart", status_code=202, operation_id="restart_agent")
async def restart(name: _Name, house: OurHouse, tenant: OurTenant) -> Restarted:
    """A continuous agent hibernates once its turn is over, and its next event wakes it with all that it knew, as its
    file is then. Agents of the other modes have no process: each task begins anew by itself."""
    agent = await _found(house, name)
    if agent.execution_mode != "continuous":
        text = (
            f"mode {agent.execution_mode}: nothing of it runs between its tasks; the next one takes its file as it is"
        )
        return Restarted(agent_name=agent.name, restarted=False, message=text)
    session = f"{OF_AGENT}{canonical_name(agent.name)}"
    if await _hibernates(house, tenant, session):
        return Restarted(agent_name=agent.name, restarted=True, message=f"session {session!r} hibernates")
    return Restarted(agent_name=agent.name, restarted=False, message=f"session {session!r} is not awake")


async def _hibernates(house: House, tenant: str, session: str) -> bool:
    client = await house.temporal.client()
    ref = SessionRef(tenant=tenant, session_id=session, trace_id="0" * 32)
    try:
        async with answering():
            await client.get_workflow_handle(ref.workflow_id).signal(SIGNAL_HIBERNATE)
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def _found(house: House, name: str) -> AgentSpec:
    catalogue, _, _ = await asyncio.to_thread(house.library.current)
    return catalogue.find_agent(name)
