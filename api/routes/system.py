"""What this holdfast is made of now."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter

from api.house import House, OurHouse
from api.routes import health
from holdfast import __version__, readiness
from holdfast.contracts.base import Contract
from holdfast.errors import HoldfastError

router = APIRouter(prefix="/api", tags=["operations"])


class Load(Contract):
    """Tasks in work (PENDING or RUNNING) of all tenants, counted within the last second, and how many may be."""

    in_work: int
    max_tasks: int
    max_tenant_tasks: int


class System(Contract):
    """Names of agents, flows and skills as they are on disk; adapters and providers of workers that live now."""

    name: str = "holdfast"
    version: str
    uptime: float
    timestamp: datetime
    catalogue: str
    agents: list[str]
    flows: list[str]
    skills: list[str]
    problems: int
    workers: list[str]
    sandboxes: list[str]
    providers: list[str]
    services: dict[str, str]
    metrics: health.Metrics | None
    load: Load | None


@router.get("/system", operation_id="get_system")
async def system(house: OurHouse) -> System:
    """What there is: agents, flows, skills, workers and what they reach, counts of tasks."""
    catalogue, sha, problems = await asyncio.to_thread(house.library.current)
    workers = await health.recent(house)
    offered = readiness.offered(row.providers for row in workers)
    return System(
        version=__version__,
        uptime=health.uptime(house),
        timestamp=datetime.now(UTC),
        catalogue=sha,
        agents=sorted(agent.name for agent in catalogue.agents.values()),
        flows=sorted(flow.name for flow in catalogue.flows.values()),
        skills=sorted(catalogue.skills),
        problems=len(problems),
        workers=[row.id for row in workers],
        sandboxes=sorted({str(adapter["name"]) for row in workers for adapter in row.adapters}),
        providers=sorted(name for name, missing in offered.items() if not missing and name != readiness.DEFAULT),
        services=await health.working(house),
        metrics=await health.tally(house),
        load=await _load(house),
    )


async def _load(house: House) -> Load | None:
    """None while the store is down."""
    try:
        in_work = await house.capacity.in_work()
    except HoldfastError:
        return None
    settings = house.settings
    return Load(in_work=in_work, max_tasks=settings.max_tasks, max_tenant_tasks=settings.max_tenant_tasks)
