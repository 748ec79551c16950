"""Tasks that other tasks started: which step they do, and ids that are paths. Down drops what names the step."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_IDS = {"tasks": ("id", "parent_id"), "usage": ("task_id",), "deltas": ("task_id",)}
_NEW: dict[str, sa.types.TypeEngine[Any]] = {"step": sa.String(64), "iteration": sa.Integer(), "position": sa.Integer()}


def upgrade() -> None:
    _longer(64, 600)
    with op.batch_alter_table("tasks") as tasks:
        for name, kind in _NEW.items():
            tasks.add_column(sa.Column(name, kind))
        tasks.add_column(sa.Column("workflow_state", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.execute("DELETE FROM tasks WHERE parent_id IS NOT NULL")
    with op.batch_alter_table("tasks") as tasks:
        for name in ("workflow_state", *reversed(_NEW)):
            tasks.drop_column(name)


def _longer(before: int, now: int) -> None:
    """Down leaves them long: what is there must still fit."""
    for table, columns in _IDS.items():
        # SQLite makes the table anew: what counts by itself there must be said again.
        kept = {"sqlite_autoincrement": True} if table == "deltas" else {}
        with op.batch_alter_table(table, table_kwargs=kept) as altered:
            for column in columns:
                altered.alter_column(
                    column,
                    type_=sa.String(now),
                    existing_type=sa.String(before),
                    existing_nullable=column == "parent_id",
                )
