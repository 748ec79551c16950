"""The audit record under many writers: one chain a tenant, in both databases."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.config import Settings
from holdfast.ids import new_task_id
from store.audit import Audit, NewEntry
from store.database import Database


@pytest.fixture(params=["sqlite", "postgresql"])
async def databases(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Database]]:
    """Three processes' worth of connections to one empty database."""
    url = f"sqlite:///{tmp_path / 'holdfast.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    settings = Settings.model_validate({"project": tmp_path, "home": tmp_path, "database_url": url})
    opened = [await Database.open(settings) for _ in range(3)]
    yield opened
    for one in opened:
        await one.close()


async def test_writers_at_once_make_one_chain_and_repeat_nothing(databases: list[Database]) -> None:
    def decided(number: int) -> NewEntry:
        return NewEntry(key=f"k{number}", action="question.answered", subject="t", details={"n": number, "x": 0.5})

    # One PostgreSQL serves all tests of a session.
    acme, other = new_task_id(), new_task_id()
    writers = [Audit(one) for one in databases]
    await asyncio.gather(
        *(writers[n % 3].add(acme, [decided(n % 30), decided(100 + n)]) for n in range(60)),
        *(writers[n % 3].add(other, [decided(n)]) for n in range(10)),
    )
    assert await writers[0].verify(acme) == (90, None)
    assert await writers[1].verify(other) == (10, None)
    assert {acme, other} <= {*await writers[2].tenants()}
