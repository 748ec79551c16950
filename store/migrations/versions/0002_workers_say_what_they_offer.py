"""Workers say which sandbox adapters and providers they offer; children of a task are found by it.

Down drops only what each living worker writes again within seconds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("workers") as workers:
        workers.add_column(sa.Column("adapters", sa.JSON(), nullable=False, server_default="[]"))
        workers.add_column(sa.Column("providers", sa.JSON(), nullable=False, server_default="[]"))
        workers.create_index("ix_workers_seen_at", ["seen_at"])
    op.create_index("ix_tasks_parent_id", "tasks", ["tenant", "parent_id"])


def downgrade() -> None:
    op.drop_index("ix_tasks_parent_id", "tasks")
    with op.batch_alter_table("workers") as workers:
        workers.drop_index("ix_workers_seen_at")
        workers.drop_column("providers")
        workers.drop_column("adapters")
