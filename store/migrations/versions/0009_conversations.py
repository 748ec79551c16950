"""Sessions, their backlogs, the audit, events, and what tasks know of these. Down drops all of it."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.tables import AnyText, Utc

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_NEW: dict[str, sa.types.TypeEngine[Any]] = {"callback_url": sa.Text(), "cause": _JSON}
_TABLES = ("sessions", "backlog", "audit", "events")


def upgrade() -> None:
    with op.batch_alter_table("tasks") as tasks:
        for name, kind in _NEW.items():
            tasks.add_column(sa.Column(name, kind))
    _sessions()
    _backlog()
    _audit()
    _events()


def downgrade() -> None:
    for name in _TABLES:
        op.drop_table(name)
    with op.batch_alter_table("tasks") as tasks:
        for name in reversed(_NEW):
            tasks.drop_column(name)


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("agent", AnyText(), nullable=False),
        sa.Column("title", AnyText(), nullable=False),
        sa.Column("user_hash", sa.String(64)),
        sa.Column("settings", _JSON),
        sa.Column("memory", _JSON),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=False),
    )
    op.create_index("ix_sessions_newest", "sessions", ["tenant", "seen_at", "id"])
    op.create_index("ix_sessions_state", "sessions", ["tenant", "state", "seen_at", "id"])


def _backlog() -> None:
    op.create_table(
        "backlog",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("session_id", sa.String(200), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("text", AnyText(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("note", AnyText(), nullable=False),
        sa.Column("taken_by", sa.String(700)),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
    )
    op.create_index("ix_backlog_order", "backlog", ["tenant", "session_id", "state", "created_at", "id"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(700), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("actor", sa.String(64)),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("subject", sa.String(600), nullable=False),
        sa.Column("details", _JSON),
        sa.Column("before", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("ix_audit_subject", "audit", ["tenant", "subject", "number"])
    op.create_index("ix_audit_key", "audit", ["tenant", "key"], unique=True)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("source", AnyText(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("body_ref", sa.String(64)),
        sa.Column("routed", _JSON),
        sa.Column("at", Utc(), nullable=False),
    )
    op.create_index("ix_events_newest", "events", ["tenant", "at", "id"])
    op.create_index("ix_events_at", "events", ["at"])
