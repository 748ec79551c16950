"""The rows of conversations, over SQLite and a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.config import Settings
from holdfast.contracts.session import SessionState
from holdfast.errors import NotFound
from store.database import Database
from store.records import CursorInvalid, NewTask, Records
from store.sessions import Sessions
from tests.integration.test_store import settings  # noqa: F401 (a fixture)

START = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:  # noqa: F811
    database = await Database.open(settings)
    yield database
    await database.close()


@pytest.fixture
def sessions(db: Database) -> Sessions:
    return Sessions(db)


async def save(
    sessions: Sessions, session_id: str, state: SessionState = "active", seconds: int = 0, **fields: Any
) -> None:
    values = {"settings": {"agent": ""}, "memory": {"turns": 1}, "turns": 1, **fields}
    await sessions.save("default", session_id, state, seen_at=START + timedelta(seconds=seconds), **values)


async def test_a_row_keeps_its_first_title_and_user_and_takes_the_rest(sessions: Sessions) -> None:
    assert await sessions.make("default", "s", {"agent": "a"})
    assert not await sessions.make("default", "s", {"agent": "b"})
    await save(sessions, "s", title="first\n words " * 20, user_hash="a" * 64)
    await save(sessions, "s", "idle", 5, title="other", user_hash="b" * 64, turns=2, memory={"turns": 2})
    row = await sessions.get("default", "s")
    assert (row.state, row.turns, row.memory) == ("idle", 2, {"turns": 2})
    assert (row.title[:12], len(row.title), row.user_hash) == ("first words ", 80, "a" * 64)
    assert row.seen_at == START + timedelta(seconds=5)


async def test_a_closed_session_stays_closed_and_is_still_saved_at_its_end(sessions: Sessions) -> None:
    await save(sessions, "s")
    await sessions.mark("default", "s", "closed")
    await save(sessions, "s", "active", turns=7)
    await sessions.mark("default", "s", "idle")
    row = await sessions.get("default", "s")
    assert (row.state, row.turns) == ("closed", 1)
    await save(sessions, "s", "closed", turns=8)
    assert (await sessions.get("default", "s")).turns == 8


async def test_pages_go_from_the_latest_message_back_and_repeat_none(sessions: Sessions) -> None:
    for number in range(5):
        await save(sessions, f"s{number}", "idle" if number % 2 else "active", number // 2)
    seen, cursor = [], None
    while True:
        page = await sessions.list("default", limit=2, cursor=cursor)
        seen += [row.id for row in page.rows]
        if (cursor := page.next_cursor) is None:
            break
    assert (seen, page.total) == (["s4", "s3", "s2", "s1", "s0"], 5)
    assert [row.id for row in (await sessions.list("default", state="idle")).rows] == ["s3", "s1"]
    assert (await sessions.list("other")).total == 0
    for wrong in ("x", "W10", "WyJhIiwgImIiXQ"):
        with pytest.raises(CursorInvalid):
            await sessions.list("default", cursor=wrong)
    with pytest.raises(NotFound):
        await sessions.get("other", "s1")


async def test_those_beyond_the_limit_that_were_silent_for_longest_are_named(sessions: Sessions) -> None:
    for number in (3, 1, 2, 0):
        await save(sessions, f"s{number}", seconds=number)
    await save(sessions, "asleep", "idle", -10)
    assert await sessions.surplus("default", 4) == []
    assert await sessions.surplus("default", 2) == ["s0", "s1"]
    assert await sessions.surplus("other", 1) == []


async def test_turns_are_told_in_the_order_of_their_making_from_the_first_that_is_not_over(db: Database) -> None:
    records = Records(db)
    for number, session in enumerate(("s", "s", "other", "s", "s")):
        new = NewTask(
            tenant="default",
            id=f"t{number}",
            type="agent:a",
            trace_id="0" * 32,
            session_id=session,
            created_at=START + timedelta(seconds=number // 2),
        )
        await records.create(new)
    found, row = [], None
    while (row := await records.next_turn("default", "s", row)) is not None:
        found.append(row.id)
    assert found == ["t0", "t1", "t3", "t4"]
    assert await records.last_over("default", "s") is None
    await records.change("default", "t0", "DONE")
    await records.change("default", "t3", "DONE")
    last = await records.last_over("default", "s")
    assert last is not None and last.id == "t0"
    for task in ("t1", "t4"):
        await records.change("default", task, "ERROR")
    last = await records.last_over("default", "s")
    assert last is not None and last.id == "t4"
