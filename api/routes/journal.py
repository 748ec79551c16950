"""What a task ran and did: its program, its journal, its steps."""

import asyncio

from fastapi import APIRouter

from api.house import House, OurHouse, OurTaskId, OurTenant
from api.progress import is_agents
from api.story import Story, export, first_version, steps, told
from api.view import Seen, current, questions
from holdfast.contracts.journal import JournalExport
from holdfast.contracts.program import FINAL, Version
from holdfast.contracts.task import Step
from holdfast.errors import HoldfastError, NoTemporal, NotFound

router = APIRouter(prefix="/tasks/{task_id}", tags=["tasks"])


@router.get("/program", operation_id="get_program")
async def program(task_id: OurTaskId, house: OurHouse, tenant: OurTenant) -> Version:
    """The program's current text. Its first line has the number `first_line` in the text that was sent."""
    seen = await current(house, await house.records.get(tenant, task_id))
    found = await _program(house, seen)
    if found is None:
        raise _none(seen)
    return found


async def _program(house: House, seen: Seen) -> Version | None:
    row, now = seen.row, seen.progress
    kept = await asyncio.to_thread(first_version, house.blobs, row)
    if now is not None and now.source and (kept is None or now.source != kept.source):
        return Version(number=now.version, source=now.source)
    is_older = kept is not None and row.state in FINAL and kept.number != row.version
    return (await told(house, seen)).program if is_older else kept


def _none(seen: Seen) -> HoldfastError:
    row = seen.row
    if not is_agents(row):
        return NotFound(f"task {row.id!r} of type {row.type!r} has no program: it is one call of a skill")
    if row.state in FINAL:
        return NotFound(f"task {row.id!r} has no program: it ended without one; see its steps")
    if seen.progress is None:
        return NoTemporal(f"whether task {row.id!r} has a program is not known now: {seen.note or 'try again'}")
    doing = seen.progress.phase or seen.state
    return NotFound(f"task {row.id!r} has no program yet ({doing}); ask again when its steps show one")


@router.get("/journal", operation_id="get_journal")
async def journal(task_id: OurTaskId, house: OurHouse, tenant: OurTenant) -> JournalExport:
    """All calls with their answers, in the documented format 1: fork, cassettes and replay read this."""
    _, story = await _story(house, tenant, task_id)
    return await asyncio.to_thread(export, story)


@router.get("/steps", operation_id="list_steps")
async def list_steps(task_id: OurTaskId, house: OurHouse, tenant: OurTenant) -> list[Step]:
    """What people want to see, in the order of beginning: the program, its calls, its questions."""
    seen, story = await _story(house, tenant, task_id)
    return steps(story, seen, await questions(house, seen))


async def _story(house: House, tenant: str, task_id: str) -> tuple[Seen, Story]:
    seen = await current(house, await house.records.get(tenant, task_id))
    return seen, await told(house, seen)
