"""The channel of token deltas, over SQLite and a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import update

from holdfast.config import Settings
from store.database import Database
from store.deltas import KEPT, DeltaRow, Deltas

TASK = ("default", "task-1")


@pytest.fixture(params=["sqlite", "postgresql"])
async def deltas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Deltas]:
    url = f"sqlite:///{tmp_path / 'holdfast.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        connection = await asyncpg.connect(url)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.close()
    settings = Settings.model_validate({"project": tmp_path, "home": tmp_path, "database_url": url})
    db = await Database.open(settings)
    yield Deltas(db)
    await db.close()


async def test_text_comes_in_its_order_and_only_what_is_new(deltas: Deltas):
    numbers = [await deltas.add(*TASK, "plan", text) for text in ("Hel", "lo\0", "!")]
    rows = await deltas.since(*TASK, 0)
    assert [(row.number, row.step, row.text) for row in rows] == list(
        zip(numbers, ["plan"] * 3, ["Hel", "lo\ufffd", "!"], strict=True)
    )
    assert [row.text for row in await deltas.since(*TASK, numbers[1])] == ["!"]
    assert (await deltas.last(*TASK), await deltas.last("default", "other")) == (numbers[-1], 0)


async def test_a_task_of_another_tenant_hears_nothing(deltas: Deltas):
    await deltas.add("acme", "task-1", "plan", "secret")
    assert list(await deltas.since(*TASK, 0)) == []
    await deltas.forget(*TASK)
    assert len(await deltas.since("acme", "task-1", 0)) == 1


async def test_forgotten_numbers_are_not_used_again(deltas: Deltas):
    last = await deltas.add(*TASK, "plan", "a")
    await deltas.forget(*TASK)
    assert await deltas.add(*TASK, "plan", "b") > last
    assert [row.text for row in await deltas.since(*TASK, last)] == ["b"]


async def test_old_rows_go_when_new_ones_come(deltas: Deltas):
    await deltas.add("default", "old", "plan", "long ago")
    async with deltas.db.session() as session:
        await session.execute(update(DeltaRow).values(created_at=datetime.now(UTC) - KEPT - timedelta(seconds=1)))
    await asyncio.gather(*(deltas.add(*TASK, "plan", str(n)) for n in range(100)))
    assert list(await deltas.since("default", "old", 0)) == []
    assert len(await deltas.since(*TASK, 0)) == 100
