"""Workers say which sandbox adapters and providers they offer; tasks are found by session and by parent.

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
    for column in ("session_id", "parent_id"):
        op.create_index(f"ix_tasks_{column}", "tasks", ["tenant", column, "created_at", "id"])


def downgrade() -> None:
    for column in ("session_id", "parent_id"):
        op.drop_index(f"ix_tasks_{column}", "tasks")
    with op.batch_alter_table("workers") as workers:
        workers.drop_index("ix_workers_seen_at")
        workers.drop_column("providers")
        workers.drop_column("adapters")
