"""What Alembic runs for each command; `store/migrate.py` has opened the connection and its transaction."""

from typing import Any, Literal

from alembic import context
from sqlalchemy.types import TypeDecorator

from store.tables import Base


def plain(kind: str, item: Any, _autogen: Any) -> str | Literal[False]:
    """Write our own types as what they are in the database."""
    return f"sa.{item.impl!r}" if kind == "type" and isinstance(item, TypeDecorator) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=plain,
)
with context.begin_transaction():
    context.run_migrations()
