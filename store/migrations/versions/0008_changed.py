"""Tasks by the time of their last change, for those who listen to changes. Down drops the index."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_tasks_changed", "tasks", ["updated_at"])


def downgrade() -> None:
    op.drop_index("ix_tasks_changed", "tasks")
