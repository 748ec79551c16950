"""What a task ran and did: its program, its journal, its steps."""

import asyncio
from uuid import UUID

from fastapi import APIRouter

from api.house import House, OurHouse, OurTenant
from api.story import Story, export, first_version, steps, told
from api.view import Seen, current, questions
from holdfast.contracts.journal import JournalExport
from holdfast.contracts.program import FINAL, Version
from holdfast.contracts.task import Step

router = APIRouter(prefix="/tasks/{task_id}", tags=["tasks"])


@router.get("/program", operation_id="get_program")
async def program(task_id: UUID, house: OurHouse, tenant: OurTenant) -> Version:
    """The program's current text. Its first line has the number `first_line` in the text that was sent."""
    seen = await current(house, await house.records.get(tenant, str(task_id)))
    first = await asyncio.to_thread(first_version, house.blobs, seen.row)
    if seen.progress is None or seen.progress.source in ("", first.source):
        return first if seen.row.state not in FINAL or seen.row.version == 1 else (await told(house, seen.row)).program
    return Version(number=seen.progress.version, source=seen.progress.source)


@router.get("/journal", operation_id="get_journal")
async def journal(task_id: UUID, house: OurHouse, tenant: OurTenant) -> JournalExport:
    """All calls with their answers, in the documented format 1: fork, cassettes and replay read this."""
    _, story = await _story(house, tenant, task_id)
    return await asyncio.to_thread(export, story)


@router.get("/steps", operation_id="list_steps")
async def list_steps(task_id: UUID, house: OurHouse, tenant: OurTenant) -> list[Step]:
    """What people want to see, in the order of beginning: the program, its calls, its questions."""
    seen, story = await _story(house, tenant, task_id)
    return steps(story, seen, await questions(house, seen))


async def _story(house: House, tenant: str, task_id: UUID) -> tuple[Seen, Story]:
    seen = await current(house, await house.records.get(tenant, str(task_id)))
    return seen, await told(house, seen.row)
