"""Tasks that were recorded and did not begin, because the API that took them died or Temporal was away: they begin.

Each API looks for them, when it starts and every few seconds. All of it may be repeated, and be done by several at
once: a workflow starts once, and a session takes a task once.
"""

import asyncio
from collections.abc import Collection, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from api.house import House
from api.intake import not_started, started
from api.meanwhile import meanwhile
from api.progress import handle_of, stopped
from holdfast.contracts.begin import Begin
from holdfast.errors import Conflict, HoldfastError
from holdfast.log import get_logger
from store.records import TaskRow

START_GRACE = timedelta(minutes=10)
"""So long a recorded task may be unknown to Temporal: it is begun by us, or by its caller, who repeats the request."""
_YOUNGEST = timedelta(seconds=15)
"""Another API may have it in hand. What one does for a request, before it knows that Temporal is away, takes 10 s."""
_OLDEST = START_GRACE - timedelta(minutes=1)
"""Nothing is begun that somebody may close at this moment, because he looked at it and the grace was over."""
_LOOK_SECONDS = 5.0
_MOST = 100

log = get_logger(__name__)


def watching(house: House) -> AbstractAsyncContextManager[None]:
    """As long as it lasts, they begin."""
    return meanwhile(_watch(house))


async def _watch(house: House) -> None:
    note = ""
    while True:
        before = note
        try:
            note = await _round(house)
        except Exception as exc:  # noqa: BLE001 - without this loop nothing begins any more, and nobody would hear of it
            note = repr(exc)
        if note and note != before:
            log.warning("tasks.not_begun", reason=note)
        await asyncio.sleep(_LOOK_SECONDS)


async def _round(house: House) -> str:
    """Begin those that there are; why one of them could not, or an empty text."""
    now = datetime.now(UTC)
    try:
        rows = await house.records.unbegun(now - _OLDEST, now - _YOUNGEST, _MOST)
        if not rows:
            return ""
        client = await house.temporal.client()
    except HoldfastError as exc:
        return str(exc)
    notes = await asyncio.gather(*(_in_order(house, client, turns) for turns in _by_session(rows)))
    return next(filter(None, notes), "")


def _by_session(rows: Iterable[TaskRow]) -> Collection[list[TaskRow]]:
    """The turns of a session together, any other task alone."""
    found: dict[tuple[str, str], list[TaskRow]] = {}
    for row in rows:
        found.setdefault((row.tenant, row.session_id or f"/{row.id}"), []).append(row)
    return found.values()


async def _in_order(house: House, client: Client, rows: list[TaskRow]) -> str:
    """Until one cannot begin, or a request is starting it."""
    for row in rows:
        if row.id in house.starting:
            break
        if note := await _tried(house, client, row):
            return note
    return ""


async def _tried(house: House, client: Client, row: TaskRow) -> str:
    try:
        async with house.capacity.turn():
            await _begun(house, client, row)
    except (RPCError, Conflict) as exc:
        await not_started(house, row, str(exc))
    # ValueError: a newer holdfast recorded it.
    except (HoldfastError, TemporalError, ValueError) as exc:
        return f"task {row.id}: {exc}"
    return ""


async def _begun(house: House, client: Client, found: TaskRow) -> None:
    """Begin one, unless it began, or was cancelled, since it was found."""
    row = await house.records.get(found.tenant, found.id)
    if row.state != "PENDING" or row.begins is None or datetime.now(UTC) - row.created_at > _OLDEST:
        return
    await started(house, client, Begin.model_validate(row.begins), row)
    await house.records.begun(row.tenant, row.id)
    log.info("task.begun_later", task_id=row.id, trace_id=row.trace_id)
    if (await house.records.get(row.tenant, row.id)).state == "CANCELLED":
        # While it began, and no workflow was found to be told. A session was told of it.
        await stopped(await handle_of(house, row))
