"""The audit record: who decided what."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.house import OurHouse, OurTenant
from holdfast.contracts.audit import AuditEntry, AuditPage
from store.audit import Audit, AuditRow

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", operation_id="list_audit")
async def page(
    house: OurHouse,
    tenant: OurTenant,
    task_id: Annotated[
        str | None, Query(max_length=600, pattern=r"^[\x20-\x7e]+$", description="of this task, without those below it")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before")
    ] = None,
) -> AuditPage:
    """Rows of the record, the newest first. `holdfast audit verify` follows their hashes."""
    after = int(cursor) if cursor is not None else None
    rows = await Audit(house.records.db).page(tenant, task_id, after, limit + 1)
    more = str(rows[limit - 1].number) if len(rows) > limit else None
    return AuditPage(entries=[entry(row) for row in rows[:limit]], next_cursor=more)


def entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        number=row.number,
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        details=row.details,
        before=row.before,
        hash=row.hash,
    )
