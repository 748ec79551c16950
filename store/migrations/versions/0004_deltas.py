"""Deltas: what a model says while it says it. Rows live for minutes, so down drops nothing that lasts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deltas",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("task_id", sa.String(64), nullable=False),
        sa.Column("step", sa.String(100), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_deltas"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deltas_task_id", "deltas", ["tenant", "task_id", "number"])
    op.create_index("ix_deltas_created_at", "deltas", ["created_at"])


def downgrade() -> None:
    op.drop_table("deltas")
