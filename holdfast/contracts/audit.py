"""The audit record: who decided what, in rows that are added and never changed."""

from datetime import datetime

from holdfast.contracts.base import ActivityRef, Contract, Json, Nothing, Sha256
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.question import Question


class AuditNote(Contract):
    """Input of `audit.write`: questions of a task that were closed, or escalated. Writing one again changes nothing."""

    task: TaskRef
    questions: list[Question]


class AuditEntry(Contract):
    """One row, as people see it. `actor` is the hash of who decided; null: nobody did, as when a deadline passed.
    `hash` is the sha256 of the canonical row with `before`, the hash of the row before it in the tenant."""

    number: int
    at: datetime
    actor: str | None
    action: str
    subject: str
    details: Json
    before: str
    hash: Sha256


class AuditPage(Contract):
    entries: list[AuditEntry]
    next_cursor: str | None = None


AUDIT_WRITE: ActivityRef[AuditNote, Nothing] = ActivityRef(name="audit.write", takes=AuditNote, gives=Nothing)
