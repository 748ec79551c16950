"""The sandboxes of workers that live now, by what they say of themselves."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import ConfigDict

from api.house import OurHouse
from api.routes import health
from holdfast.contracts.base import Contract

router = APIRouter(tags=["operations"])


class Sandbox(Contract):
    """A sandbox adapter of one worker.

    `isolation` says what stands between a program and the machine; `capabilities` what a program was seen to be unable
    to do, when a real box was tried at start. `stands_in_for` names the adapter that was wanted, where this machine
    could not have it and this one, which keeps less out, took its place. `problem` says why the last start of a box
    failed; empty if `healthy`. `live` boxes have a program, `warm` ones are up and wait for one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    worker: str
    seen_at: datetime
    name: str
    version: str = ""
    isolation: str = ""
    stands_in_for: str = ""
    capabilities: list[str] = []
    healthy: bool = True
    problem: str = ""
    live: int = 0
    warm: int = 0
    max_sessions: int = 0


@router.get("/sandboxes", operation_id="list_sandboxes")
async def sandboxes(house: OurHouse) -> list[Sandbox]:
    """Sandbox adapters of the workers that were seen within the last 30 seconds."""
    rows = await health.recent(house)
    return [
        Sandbox.model_validate({**adapter, "worker": row.id, "seen_at": row.seen_at})
        for row in rows
        for adapter in row.adapters
    ]
