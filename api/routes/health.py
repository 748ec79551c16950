"""Whether the API, and what it leans on, works; which workers there are."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter, Response

from api.house import House, OurHouse
from holdfast import __version__
from holdfast.contracts.base import Contract, Json
from holdfast.errors import HoldfastError
from store.workers import WorkerRow

router = APIRouter(tags=["operations"])

_RECENT = timedelta(seconds=30)
OK = "ok"


class Health(Contract):
    """`services` says `ok`, or what is wrong. Degraded: tasks are taken, but not run until the rest is back."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    uptime: float
    timestamp: datetime
    services: dict[str, str]


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
        "skills": "/skills",
        "errors": "/errors",
        "workers": "/workers",
        "health": "/health",
    }


@router.get("/", operation_id="links")
async def root() -> Links:
    """What there is."""
    return Links()


@router.get("/health", operation_id="health", responses={503: {"model": Health}})
async def health(house: OurHouse, response: Response) -> Health:
    """All services at a glance. 503 if tasks can be neither taken nor looked up, or not be started."""
    needs = await _dependencies(house)
    services = {"api": OK, **needs, **await _working(house)}
    down = any(state != OK for state in needs.values())
    response.status_code = 503 if down else 200
    degraded = any(state != OK for state in services.values())
    return Health(
        status="unhealthy" if down else "degraded" if degraded else "healthy",
        version=__version__,
        uptime=round((datetime.now(UTC) - house.opened_at).total_seconds(), 3),
        timestamp=datetime.now(UTC),
        services=services,
    )


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
    return [Worker.model_validate(row, from_attributes=True) for row in await _recent(house)]


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


async def _working(house: House) -> dict[str, str]:
    try:
        rows = await _recent(house)
    except HoldfastError:
        return {"worker": "unknown: the store is down", "sandbox": "unknown: the store is down"}
    if not rows:
        return {"worker": "none seen for 30 s; start one with `holdfast up`", "sandbox": "no worker"}
    boxed = any(row.adapters for row in rows)
    return {"worker": OK, "sandbox": OK if boxed else "no worker has a sandbox that isolates"}


async def _recent(house: House) -> Sequence[WorkerRow]:
    return await house.workers.list(datetime.now(UTC) - _RECENT)
