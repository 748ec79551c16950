"""Tasks say which model calls they made and what those took; the counts of /health read one narrow index.

Down drops what tasks took of models. The rows of `usage` keep the sums.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ("llm", "llm_calls", "input_tokens", "output_tokens", "cost", "model")


def upgrade() -> None:
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("llm", sa.JSON(), nullable=False, server_default="[]"))
        tasks.add_column(sa.Column("llm_calls", sa.Integer(), nullable=False, server_default="0"))
        tasks.add_column(sa.Column("input_tokens", sa.BigInteger(), nullable=False, server_default="0"))
        tasks.add_column(sa.Column("output_tokens", sa.BigInteger(), nullable=False, server_default="0"))
        tasks.add_column(sa.Column("cost", sa.BigInteger()))
        tasks.add_column(sa.Column("model", sa.Text()))
    op.create_index("ix_tasks_ends", "tasks", ["state", "started_at", "finished_at"])


def downgrade() -> None:
    op.drop_index("ix_tasks_ends", "tasks")
    with op.batch_alter_table("tasks") as tasks:
        for column in _COLUMNS:
            tasks.drop_column(column)
