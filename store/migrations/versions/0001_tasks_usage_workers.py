"""The first tables: tasks, usage, workers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _tasks()
    _usage()
    _workers()


def downgrade() -> None:
    op.drop_table("workers")
    op.drop_table("usage")
    op.drop_table("tasks")


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("user_hash", sa.String(64)),
        sa.Column("trace_id", sa.String(32), nullable=False),
        sa.Column("session_id", sa.String(200)),
        sa.Column("parent_id", sa.String(64)),
        sa.Column("catalogue", sa.String(64)),
        sa.Column("request_hash", sa.String(64)),
        sa.Column("source_ref", sa.String(64)),
        sa.Column("input", sa.JSON()),
        sa.Column("input_ref", sa.String(64)),
        sa.Column("output", sa.JSON()),
        sa.Column("output_ref", sa.String(64)),
        sa.Column("failure", sa.JSON()),
        sa.Column("journal", sa.JSON(), nullable=False),
        sa.Column("stdout", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("repairs", sa.Integer(), nullable=False),
        sa.Column("suspensions", sa.Integer(), nullable=False),
        sa.Column("generations", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_tasks"),
    )
    op.create_index("ix_tasks_newest", "tasks", ["tenant", "created_at", "id"])
    for column in ("state", "user_hash", "type"):
        op.create_index(f"ix_tasks_{column}", "tasks", ["tenant", column, "created_at", "id"])


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("user_hash", sa.String(64)),
        sa.Column("task_id", sa.String(64), nullable=False),
        sa.Column("trace_id", sa.String(32), nullable=False),
        sa.Column("call_id", sa.String(64)),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_usage"),
    )
    op.create_index("ix_usage_task_id", "usage", ["tenant", "task_id"])
    op.create_index("ix_usage_user_hash", "usage", ["tenant", "user_hash", "created_at"])
    op.create_index("ix_usage_created_at", "usage", ["tenant", "created_at"])


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(300), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
