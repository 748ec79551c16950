"""The rows of events, over SQLite and a real PostgreSQL: which go as new ones come, and which stay."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text

from holdfast.config import Settings
from holdfast.contracts.event import Event, Routed
from holdfast.errors import NotFound
from store import events as module
from store.database import Database
from store.events import EventRow, Events
from tests.integration.test_store import settings  # noqa: F401 (a fixture)

KEEP = timedelta(days=30)
OLD, YOUNG = KEEP + timedelta(hours=1), KEEP - timedelta(hours=1)


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:  # noqa: F811
    database = await Database.open(settings)
    yield database
    await database.close()


def event(event_id: str, tenant: str = "default") -> Event:
    return Event(id=event_id, tenant=tenant, topic="shop.order.paid", at=1.0, trace_id="0" * 32)


async def came(db: Database, ago: timedelta, *ids: str, tenant: str = "default", is_routed: bool = True) -> None:
    routed = Routed().model_dump(mode="json", exclude_defaults=True) if is_routed else None
    shared = {"tenant": tenant, "topic": "shop.order.paid", "routed": routed, "at": datetime.now(UTC) - ago}
    async with db.session() as session:
        await session.execute(insert(EventRow), [{**shared, "id": one} for one in ids])


async def ids(db: Database, tenant: str = "default") -> set[str]:
    return {row.id for row in (await Events(db).list(tenant, limit=1000)).rows}


async def test_old_events_go_as_a_new_one_comes_but_none_that_is_not_finished(db: Database) -> None:
    await came(db, OLD, "old", "old-2")
    await came(db, OLD, "theirs", tenant="acme")
    await came(db, 10 * KEEP, "waits", is_routed=False)
    await came(db, YOUNG, "young")
    await Events(db, KEEP).add(event("new"), "b" * 64)
    assert (await ids(db), await ids(db, "acme")) == ({"waits", "young", "new"}, set())
    with pytest.raises(NotFound):
        await Events(db).get("default", "old")


async def test_an_event_that_was_dropped_is_new_when_it_comes_again(db: Database) -> None:
    events = Events(db, KEEP)
    await came(db, OLD, "again")
    await came(db, YOUNG, "twice")
    assert [(await events.add(event(one), "b" * 64))[1] for one in ("again", "twice")] == [True, False]


async def test_old_events_go_now_and_then_and_a_bounded_number_at_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PRUNE_EVERY", 5)
    events = Events(db, KEEP)
    await events.add(event("new-0"), "b" * 64)
    await came(db, OLD, "older")
    for number in range(1, 5):
        await events.add(event(f"new-{number}"), "b" * 64)
    assert "older" in await ids(db)
    await events.add(event("new-5"), "b" * 64)
    assert "older" not in await ids(db)
    await came(db, OLD + KEEP, "first", "second")
    await came(db, OLD, "third")
    assert await db.run(module.oldest(datetime.now(UTC) - KEEP, most=2)) == 2
    assert await ids(db) & {"first", "second", "third"} == {"third"}


async def test_without_a_bound_all_stay(db: Database) -> None:
    await came(db, 100 * KEEP, "ancient")
    await Events(db).add(event("new"), "b" * 64)
    assert await ids(db) == {"ancient", "new"}


async def test_old_events_are_found_without_a_look_at_all_others(db: Database) -> None:
    for part in range(20):
        await came(db, YOUNG, *(f"young-{part}-{number}" for number in range(100)))
    await came(db, OLD, "old")
    drop = module.oldest(datetime(2026, 1, 2, 3, tzinfo=UTC))
    async with db.session() as session:
        dialect = (await session.connection()).dialect
        sql = drop.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        if not db.address.file:
            await session.execute(text("ANALYZE events"))
        explain = "EXPLAIN QUERY PLAN" if db.address.file else "EXPLAIN"
        plan = "\n".join(str(row) for row in (await session.execute(text(f"{explain} {sql}"))).all())
    assert "ix_events_at" in plan, plan
    assert "Seq Scan" not in plan and "SCAN events" not in plan, plan
