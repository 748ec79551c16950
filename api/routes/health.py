"""Whether the API, and what it leans on, works; which workers there are."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from api.changes import Changes
from api.house import House, OurHouse
from holdfast import __version__, readiness
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.program import QUEUE_AGENTS
from holdfast.errors import HoldfastError
from store.workers import WorkerRow

router = APIRouter(tags=["operations"])

_RECENT = timedelta(seconds=30)
OK = "ok"
OFFLINE = "offline"


class Metrics(Contract):
    """Counts of tasks, of all tenants. Cancelled and timed-out ones count as failed. The average is in milliseconds,
    from start to end, waits included; null before a task has ended."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    total_tasks: int
    successful_tasks: int
    failed_tasks: int
    average_execution_time: float | None


class Health(Contract):
    """`services` says `ok` (perhaps with a word about it, after a colon), or what is wrong. Degraded: tasks are taken,
    but not run until the rest is back. `metrics` is null while the store is down. `websocket_connections` counts those
    of the process that answers."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    uptime: float
    timestamp: datetime
    services: dict[str, str]
    database: Literal["connected", "disconnected"]
    metrics: Metrics | None
    websocket_connections: int


class Alive(Contract):
    status: Literal["alive"] = "alive"


class Ready(Contract):
    """`dependencies` says `ok`, or what is wrong."""

    status: Literal["ready", "not ready"]
    dependencies: dict[str, str]


class Worker(Contract):
    """A worker process: its queues, its sandbox adapters, and when it was last seen."""

    id: str
    queues: list[str]
    adapters: list[dict[str, Json]]
    providers: list[str]
    version: str
    started_at: datetime
    seen_at: datetime


class Links(Contract):
    """Where to go from here."""

    name: str = "holdfast"
    version: str = __version__
    links: dict[str, str] = {
        "docs": "/docs",
        "openapi": "/openapi.json",
        "tasks": "/tasks",
        "agents": "/agents",
        "skills": "/skills",
        "system": "/api/system",
        "errors": "/errors",
        "workers": "/workers",
        "sandboxes": "/sandboxes",
        "health": "/health",
    }


@router.get("/", operation_id="links")
async def root() -> Links:
    """What there is."""
    return Links()


@router.get("/health", operation_id="health", responses={503: {"model": Health}})
async def health(house: OurHouse, request: Request, response: Response) -> Health:
    """All services at a glance; no model is asked. 503 if tasks can neither be recorded nor be started."""
    needs, metrics = await asyncio.gather(_dependencies(house), tally(house))
    services = {"api": OK, **needs, **await working(house)}
    down = any(state != OK for state in needs.values())
    response.status_code = 503 if down else 200
    return Health(
        status="unhealthy" if down else "healthy" if all(map(_is_fine, services.values())) else "degraded",
        version=__version__,
        uptime=uptime(house),
        timestamp=datetime.now(UTC),
        services=services,
        database="connected" if needs["store"] == OK else "disconnected",
        metrics=metrics,
        websocket_connections=cast(Changes, request.app.state.changes).count,
    )


def uptime(house: House) -> float:
    """Seconds since the API's process opened its house."""
    return round((datetime.now(UTC) - house.opened_at).total_seconds(), 3)


async def tally(house: House) -> Metrics | None:
    """Counts from one index of the store, or None if it is down."""
    try:
        found = await house.records.tally()
    except HoldfastError:
        return None
    seconds = found.average_seconds
    return Metrics(
        total_tasks=found.total,
        successful_tasks=found.done,
        failed_tasks=found.failed,
        average_execution_time=None if seconds is None else round(seconds * 1000, 1),
    )


def _is_fine(state: str) -> bool:
    return state == OK or state.startswith(f"{OK}: ")


@router.get("/health/live", operation_id="live")
async def live() -> Alive:
    """The process answers. Nothing else is asked."""
    return Alive()


@router.get("/health/ready", operation_id="ready", responses={503: {"model": Ready}})
async def ready(house: OurHouse, response: Response) -> Ready:
    """Whether a task that is sent now would be recorded and started."""
    needs = await _dependencies(house)
    is_ready = all(state == OK for state in needs.values())
    response.status_code = 200 if is_ready else 503
    return Ready(status="ready" if is_ready else "not ready", dependencies=needs)


@router.get("/workers", operation_id="list_workers")
async def workers(house: OurHouse) -> list[Worker]:
    """Workers that were seen within the last 30 seconds."""
    return [Worker.model_validate(row, from_attributes=True) for row in await recent(house)]


async def _dependencies(house: House) -> dict[str, str]:
    temporal, store = await asyncio.gather(
        _state(house.temporal.check()), _state(house.workers.list(datetime.now(UTC)))
    )
    return {"temporal": temporal, "store": store}


async def _state(check: Awaitable[object]) -> str:
    try:
        await check
    except HoldfastError as exc:
        return str(exc)
    return OK


async def working(house: House) -> dict[str, str]:
    """What the workers that were seen just now can do."""
    try:
        rows = await recent(house)
    except HoldfastError:
        return dict.fromkeys(("worker", "agent", "sandbox", "llm"), "unknown: the store is down")
    if not rows:
        none = "none seen for 30 s; start one with `holdfast up`"
        return {"worker": none, **dict.fromkeys(("agent", "sandbox", "llm"), "no worker")}
    runs_agents = any(QUEUE_AGENTS in row.queues for row in rows)
    is_boxed = any(row.adapters for row in rows)
    return {
        "worker": OK,
        "agent": OK if runs_agents else f"no worker serves the queue {QUEUE_AGENTS!r}",
        "sandbox": OK if is_boxed else "no worker has a sandbox that isolates",
        "llm": _llm(readiness.offered(row.providers for row in rows)),
    }


def _llm(providers: Mapping[str, str]) -> str:
    """Which providers the workers reach, by what they say of themselves."""
    names = [name for name, missing in providers.items() if not missing and name != readiness.DEFAULT]
    if not names:
        lacks = "; ".join(f"{name} needs {missing}" for name, missing in providers.items() if missing)
        return f"no provider is set up: {lacks}"[:300] if lacks else "no worker asks models"
    if names == [OFFLINE]:
        return f"{OK}: {OFFLINE} only, no model is set up"
    return f"{OK}: {', '.join(name for name in names if name != OFFLINE)}"


async def recent(house: House) -> Sequence[WorkerRow]:
    """Workers that were seen within the last 30 seconds."""
    return await house.workers.list(datetime.now(UTC) - _RECENT)
