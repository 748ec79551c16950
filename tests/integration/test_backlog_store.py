"""The rows of backlogs, over SQLite and a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from holdfast.config import Settings
from holdfast.contracts.backlog import MAX_OPEN
from holdfast.errors import Conflict, NotFound
from store import backlog as backlogs
from store.backlog import Backlog
from store.database import Database
from tests.integration.test_store import settings  # noqa: F401 (a fixture)

HERE = ("default", "s")


@pytest.fixture
async def backlog(settings: Settings) -> AsyncIterator[Backlog]:  # noqa: F811
    database = await Database.open(settings)
    yield Backlog(database)
    await database.close()


async def test_items_are_taken_in_the_order_of_adding_and_a_repeat_gets_the_same(backlog: Backlog) -> None:
    for name in "cab":
        await backlog.add(*HERE, name, f"do {name}")
    again = await backlog.add(*HERE, "c", "something else")
    assert (again.text, await backlog.count(*HERE, "open")) == ("do c", 3)
    taken = [await backlog.take(*HERE, by) for by in ("one", "two", "one", "three", "four")]
    assert [row and (row.id, row.taken_by, row.state) for row in taken] == [
        ("c", "one", "taken"),
        ("a", "two", "taken"),
        ("c", "one", "taken"),
        ("b", "three", "taken"),
        None,
    ]


async def test_of_many_that_take_at_once_no_two_get_one_item(backlog: Backlog) -> None:
    for number in range(10):
        await backlog.add(*HERE, f"i{number}", "do it")
    # Each asks twice at once, as a lost worker and the one that stands in for it.
    rows = await asyncio.gather(*(backlog.take(*HERE, f"by {number // 2}") for number in range(24)))
    got = [(row.taken_by, row.id) for row in rows if row]
    assert (len(got), len(set(got)), len({item for _, item in got})) == (20, 10, 10)


async def test_the_first_word_on_an_item_holds(backlog: Backlog) -> None:
    await backlog.add(*HERE, "a", "do it")
    done = await backlog.close(*HERE, "a", "done", "well")
    again = await backlog.close(*HERE, "a", "done", "twice")
    assert (done.state, again.note, again.updated_at) == ("done", "well", done.updated_at)
    with pytest.raises(Conflict, match="item 'a' is done already, and cannot become failed"):
        await backlog.close(*HERE, "a", "failed", "no")
    assert await backlog.take(*HERE, "one") is None


async def test_an_item_of_another_session_or_tenant_is_none(backlog: Backlog) -> None:
    await backlog.add(*HERE, "a", "do it")
    for elsewhere in (("other", "s"), ("default", "t")):
        assert (await backlog.take(*elsewhere, "one"), await backlog.list(*elsewhere)) == (None, [])
        with pytest.raises(NotFound, match="no item 'a' in the backlog of session"):
            await backlog.close(*elsewhere, "a", "done", "")


async def test_what_is_to_be_done_is_listed_first(backlog: Backlog) -> None:
    for name in "abc":
        await backlog.add(*HERE, name, f"do {name}")
    await backlog.close(*HERE, "a", "failed", "no")
    await backlog.take(*HERE, "one")
    assert [(row.id, row.state) for row in await backlog.list(*HERE)] == [
        ("b", "taken"),
        ("c", "open"),
        ("a", "failed"),
    ]
    assert [row.id for row in await backlog.list(*HERE, "open")] == ["c"]


async def test_a_full_backlog_takes_no_more(backlog: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_OPEN >= 100
    monkeypatch.setattr(backlogs, "MAX_OPEN", 2)
    await backlog.add(*HERE, "a", "do it")
    await backlog.add(*HERE, "b", "do it")
    with pytest.raises(Conflict, match="has 2 open items"):
        await backlog.add(*HERE, "c", "do it")
    assert (await backlog.add(*HERE, "b", "do it")).id == "b"
    await backlog.close(*HERE, "a", "done", "")
    assert (await backlog.add(*HERE, "c", "do it")).id == "c"
