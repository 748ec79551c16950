"""`holdfast audit`: the record of who decided what, read from the store itself: no API is asked whether it is whole."""

import asyncio
from collections.abc import Sequence

from cli import screen
from holdfast.config import Settings
from store.audit import Audit, AuditRow, Broken
from store.database import Database


def entries(settings: Settings, tenant: str, task: str | None, limit: int, as_json: bool) -> None:
    rows = asyncio.run(_page(settings, tenant, task, limit))
    if as_json:
        screen.result([_told(row) for row in rows])
    elif rows:
        screen.rows([("NUMBER", "AT", "ACTION", "WHAT", "BY", "TASK"), *map(_line, rows)])
    else:
        screen.say("nothing was decided yet")


def verify(settings: Settings, tenant: str | None, as_json: bool) -> None:
    """
    Raises:
        RunFailed: a row does not follow from the one before it.
    """
    found = asyncio.run(_verified(settings, tenant))
    if as_json:
        told = {one: {"rows": rows, "broken": broken and broken._asdict()} for one, (rows, broken) in found.items()}
        screen.result(told)
    else:
        for one, (rows, broken) in found.items():
            screen.result(f"{one}: {rows} rows follow from one another" + (f"; then {_said(broken)}" if broken else ""))
    if wrong := [one for one, (_, broken) in found.items() if broken]:
        raise screen.RunFailed(f"the record of {', '.join(wrong)} was changed")


async def _page(settings: Settings, tenant: str, task: str | None, limit: int) -> Sequence[AuditRow]:
    database = await Database.open(settings)
    try:
        return await Audit(database).page(tenant, task, limit=limit)
    finally:
        await database.close()


async def _verified(settings: Settings, tenant: str | None) -> dict[str, tuple[int, Broken | None]]:
    database = await Database.open(settings)
    try:
        audit = Audit(database)
        tenants = [tenant] if tenant else await audit.tenants()
        return {one: await audit.verify(one) for one in tenants}
    finally:
        await database.close()


def _said(broken: Broken) -> str:
    return f"row {broken.number}: {broken.why}"


def _line(row: AuditRow) -> tuple[str, ...]:
    details = row.details or {}
    what = str(details.get("skill") or details.get("kind") or "")
    at = row.at.strftime("%Y-%m-%d %H:%M:%S")
    return str(row.number), at, row.action, what, (row.actor or "-")[:12], row.subject


def _told(row: AuditRow) -> dict[str, object]:
    names = ("number", "action", "subject", "actor", "details", "before", "hash")
    return {"at": row.at.isoformat(), **{name: getattr(row, name) for name in names}}
