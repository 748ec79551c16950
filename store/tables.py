"""The tables as Python sees them. `migrations/` is what makes them; a test keeps both the same."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Index, Integer, MetaData, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

_NANO = 1_000_000_000

Json = JSON(none_as_null=True)
"""Not JSONB: that one reorders keys and refuses `\\u0000`, and a task's output comes back as it was."""


class Utc(TypeDecorator[datetime]):
    """A time with its zone. SQLite keeps none, so there it is stored as UTC and read as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"time {value.isoformat()} has no zone; pass one with tzinfo=UTC")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AnyText(TypeDecorator[str]):
    """Text from a box, which may hold anything: NUL (PostgreSQL has none) and lone surrogates become U+FFFD and `?`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Usd(TypeDecorator[Decimal]):
    """Dollars, kept as whole billionths, so that a sum is exact whatever the order."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else round(value * _NANO)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) / _NANO


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, TypeEngine[Any]]] = {
        datetime: Utc(),
        Decimal: Usd(),
        list[str]: JSON(),
        list[dict[str, Any]]: JSON(),
        dict[str, Any]: Json,
    }


class TaskRow(Base):
    """One task. Its identity is (tenant, id), as in its workflow's id. Large values stand in blobs (`_ref`).

    A task that another one started has that one's id as `parent_id`, and the step of it that it does: its name, its
    round (`iteration`, from 1) and its place in the graph (`position`, from 0). `workflow_state` is how its own steps
    stood at its end: `{"flow": FlowState | null, "steps": [StepRun]}`, outputs of steps that have records left out.

    `cost` is USD; null means that it is not known, also if only a part of it is not. `model` is `provider:model`.
    `callback_url` is told its end; `cause` is what made it begin, if no person did: a `contracts.begin.Cause`.
    `begins` is the `contracts.begin.Begin` of a task that an API took, until it is known to have begun.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_newest", "tenant", "created_at", "id"),
        Index("ix_tasks_state", "tenant", "state", "created_at", "id"),
        Index("ix_tasks_user_hash", "tenant", "user_hash", "created_at", "id"),
        Index("ix_tasks_type", "tenant", "type", "created_at", "id"),
        Index("ix_tasks_session_id", "tenant", "session_id", "created_at", "id"),
        Index("ix_tasks_parent_id", "tenant", "parent_id", "created_at", "id"),
        Index("ix_tasks_changed", "updated_at"),
        Index("ix_tasks_ends", "state", "started_at", "finished_at"),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(600), primary_key=True)
    type: Mapped[str] = mapped_column(AnyText)
    name: Mapped[str] = mapped_column(AnyText, default="")
    state: Mapped[str] = mapped_column(String(10))
    user_hash: Mapped[str | None] = mapped_column(String(64))
    trace_id: Mapped[str] = mapped_column(String(32))
    session_id: Mapped[str | None] = mapped_column(String(200))
    parent_id: Mapped[str | None] = mapped_column(String(600))
    step: Mapped[str | None] = mapped_column(String(64))
    iteration: Mapped[int | None]
    position: Mapped[int | None]
    workflow_state: Mapped[dict[str, Any] | None]
    catalogue: Mapped[str | None] = mapped_column(String(64))
    request_hash: Mapped[str | None] = mapped_column(String(64))
    source_ref: Mapped[str | None] = mapped_column(String(64))
    input: Mapped[Any] = mapped_column(Json, nullable=True)
    input_ref: Mapped[str | None] = mapped_column(String(64))
    output: Mapped[Any] = mapped_column(Json, nullable=True)
    output_ref: Mapped[str | None] = mapped_column(String(64))
    files_ref: Mapped[str | None] = mapped_column(String(64))
    failure: Mapped[dict[str, Any] | None]
    journal: Mapped[list[str]] = mapped_column(default=list)
    stdout: Mapped[str] = mapped_column(AnyText, default="")
    version: Mapped[int] = mapped_column(default=1)
    calls: Mapped[int] = mapped_column(default=0)
    repairs: Mapped[int] = mapped_column(default=0)
    suspensions: Mapped[int] = mapped_column(default=0)
    generations: Mapped[int] = mapped_column(default=0)
    llm: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    llm_calls: Mapped[int] = mapped_column(default=0)
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cost: Mapped[Decimal | None]
    model: Mapped[str | None] = mapped_column(AnyText)
    budget: Mapped[dict[str, Any] | None]
    callback_url: Mapped[str | None] = mapped_column(Text)
    cause: Mapped[dict[str, Any] | None]
    begins: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class UsageRow(Base):
    """One call of a model, and what it took. `cost` is USD; null means that the price is not known, never 0.

    No foreign key to the task: money that was spent is written down even if the task's row is not there.
    """

    __tablename__ = "usage"
    __table_args__ = (
        Index("ix_usage_task_id", "tenant", "task_id"),
        Index("ix_usage_user_hash", "tenant", "user_hash", "created_at"),
        Index("ix_usage_created_at", "tenant", "created_at"),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    user_hash: Mapped[str | None] = mapped_column(String(64))
    task_id: Mapped[str] = mapped_column(String(600))
    trace_id: Mapped[str] = mapped_column(String(32))
    call_id: Mapped[str | None] = mapped_column(String(64))
    provider: Mapped[str] = mapped_column(String(100))
    model: Mapped[str] = mapped_column(String(200))
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[Decimal | None]
    created_at: Mapped[datetime]


class WorkerRow(Base):
    """One worker process, serving all tenants: what it offers, and when it was seen. `id` is `host:pid:start`."""

    __tablename__ = "workers"
    __table_args__ = (Index("ix_workers_seen_at", "seen_at"),)

    id: Mapped[str] = mapped_column(String(300), primary_key=True)
    queues: Mapped[list[str]]
    adapters: Mapped[list[dict[str, Any]]]
    providers: Mapped[list[str]]
    version: Mapped[str] = mapped_column(String(50))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class SessionRow(Base):
    """One conversation: what lists show of it, and what it wakes with. `settings` and `memory` are those of
    `contracts.session`; `state` is `active`, `idle` or `closed`. `seen_at` is the time of the latest message."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_newest", "tenant", "seen_at", "id"),
        Index("ix_sessions_state", "tenant", "state", "seen_at", "id"),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    state: Mapped[str] = mapped_column(String(10))
    agent: Mapped[str] = mapped_column(AnyText, default="")
    title: Mapped[str] = mapped_column(AnyText, default="")
    user_hash: Mapped[str | None] = mapped_column(String(64))
    settings: Mapped[dict[str, Any] | None]
    memory: Mapped[dict[str, Any] | None]
    turns: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class BacklogRow(Base):
    """A piece of follow-up work of a session. `state` is `open`, `taken`, `done` or `failed`; `note` says what came of
    it. `id` is made from the call that added it, and `taken_by` names the call or the task that took it, so that a
    repeated call adds nothing, and gets what it got."""

    __tablename__ = "backlog"
    __table_args__ = (Index("ix_backlog_order", "tenant", "session_id", "state", "created_at", "id"),)

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    text: Mapped[str] = mapped_column(AnyText)
    state: Mapped[str] = mapped_column(String(10))
    note: Mapped[str] = mapped_column(AnyText, default="")
    taken_by: Mapped[str | None] = mapped_column(String(700))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class AuditRow(Base):
    """Who decided what, for ever: rows are added, and never changed. `hash` is the sha256 of the canonical row with
    `before`, the hash of the row that precedes it in the tenant; `number` grows by one from 1."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_subject", "tenant", "subject", "number"),
        Index("ix_audit_key", "tenant", "key", unique=True),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(700))
    at: Mapped[datetime]
    actor: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(50))
    subject: Mapped[str] = mapped_column(String(600))
    details: Mapped[dict[str, Any] | None]
    before: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class EventRow(Base):
    """An event that came in or was published: for lists, and to know one that comes twice. `routed` is the
    `contracts.event.Routed` of what it started; null until that is known."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_newest", "tenant", "at", "id"), Index("ix_events_at", "at"))

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    topic: Mapped[str] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(AnyText, default="")
    depth: Mapped[int] = mapped_column(default=0)
    body_ref: Mapped[str | None] = mapped_column(String(64))
    routed: Mapped[dict[str, Any] | None]
    at: Mapped[datetime]


class DeltaRow(Base):
    """A piece of what a model says, kept for minutes. Numbers grow and are never used again."""

    __tablename__ = "deltas"
    __table_args__ = (
        Index("ix_deltas_task_id", "tenant", "task_id", "number"),
        Index("ix_deltas_created_at", "created_at"),
        {"sqlite_autoincrement": True},
    )

    # SQLite counts by itself only in a column of exactly this type.
    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    task_id: Mapped[str] = mapped_column(String(600))
    step: Mapped[str] = mapped_column(String(100))
    text: Mapped[str] = mapped_column(AnyText)
    created_at: Mapped[datetime]
