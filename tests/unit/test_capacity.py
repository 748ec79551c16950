"""How many tasks may be in work: what is counted, when, and what a caller is told."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from pydantic import ValidationError

from api import capacity
from api.capacity import Capacity
from holdfast.client.wire import Patience
from holdfast.contracts.task import TaskRequest
from holdfast.errors import TooManyTasks


class Rows:
    """The store's rows in work, by tenant, and how often they were counted."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self.looks = 0

    async def count(self, tenant: str | None) -> int:
        self.looks += 1
        await asyncio.sleep(0)
        return sum(self.of.values()) if tenant is None else self.of.get(tenant, 0)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock on."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


async def taken(room: Capacity, rows: Rows, tenant: str = "a") -> bool:
    try:
        async with room.place(tenant) as place:
            rows.of[tenant] = rows.of.get(tenant, 0) + 1
            place.is_used = True
    except TooManyTasks:
        return False
    return True


async def refused(room: Capacity, tenant: str = "a") -> TooManyTasks:
    with pytest.raises(TooManyTasks) as found:
        async with room.place(tenant):
            pass
    return found.value


async def test_a_burst_takes_exactly_what_there_is_room_for(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 10, 10)
    assert sum(await asyncio.gather(*(taken(room, rows) for _ in range(50)))) == 10
    assert rows.of == {"a": 10}


async def test_those_that_ask_at_once_share_one_count(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 100, 100)
    await asyncio.gather(*(taken(room, rows) for _ in range(50)))
    assert rows.looks == 2  # the tenant's and the house's


async def test_a_tenant_at_its_limit_leaves_room_for_others(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 10, 4)
    assert [await taken(room, rows, "a") for _ in range(6)] == [True] * 4 + [False] * 2
    assert await taken(room, rows, "b")
    assert (await refused(room, "a")).details["scope"] == "tenant"


async def test_a_full_house_refuses_every_tenant(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 3, 3)
    assert [await taken(room, rows, name) for name in "abcd"] == [True, True, True, False]
    assert (await refused(room, "e")).details["scope"] == "house"


async def test_what_ended_is_room_again_a_second_later(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 2, 2)
    assert [await taken(room, rows) for _ in range(3)] == [True, True, False]
    rows.of["a"] = 0
    assert not await taken(room, rows)
    later(1.1)
    assert await taken(room, rows)


async def test_a_place_that_is_not_used_is_given_back(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 1, 1)
    with pytest.raises(RuntimeError):
        async with room.place("a"):
            raise RuntimeError("the request was wrong")
    async with room.place("a"):
        pass
    assert await taken(room, rows)


async def test_a_place_that_is_held_counts(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 2, 2)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(room.place("a"))
        later(1.1)
        await refused(room)


async def test_the_refused_are_told_to_come_back_one_after_the_other(
    rows: Rows, later: Callable[[float], None]
) -> None:
    room = Capacity(rows.count, 20, 20)
    rows.of["a"] = 20
    assert not await taken(room, rows)
    later(2)
    rows.of["a"] = 16  # four ended in two seconds
    assert [await taken(room, rows) for _ in range(5)] == [True] * 4 + [False]
    assert [(await refused(room)).retry_after for _ in range(4)] == [1, 2, 2, 3]


async def test_nobody_is_sent_away_for_more_than_a_minute(rows: Rows, later: Callable[[float], None]) -> None:
    rows.of["a"] = 1
    room = Capacity(rows.count, 1, 1)
    told = [(await refused(room)).retry_after for _ in range(200)]
    assert told[0] == 1
    assert told[-1] == capacity.LONGEST_SECONDS


async def test_bounds_of_tenants_that_are_gone_are_forgotten(rows: Rows, later: Callable[[float], None]) -> None:
    room = Capacity(rows.count, 10, 10)
    for number in range(3000):
        await room._of(f"tenant-{number}").look()
        later(0.01)
    assert len(room._tenants) <= 1000


def test_a_client_waits_as_it_is_told_and_no_longer_than_it_may() -> None:
    heard: list[float] = []
    patience = Patience(10, lambda _, seconds: heard.append(seconds))
    assert patience.pause(TooManyTasks("full", 4)) == 4
    assert patience.pause(TooManyTasks("full", 30)) is None
    assert heard == [4]


def test_a_priority_is_a_number_or_a_word_of_the_older_systems() -> None:
    assert TaskRequest(type="program").priority == 3
    assert TaskRequest.model_validate({"type": "program", "priority": 1}).priority == 1
    words = {
        word: TaskRequest.model_validate({"type": "program", "priority": word}).priority
        for word in ("critical", "high", "normal", "low")
    }
    assert words == {"critical": 1, "high": 2, "normal": 3, "low": 4}


@pytest.mark.parametrize("wrong", [0, 6, 2.5, "urgent", None, True, [1]])
def test_another_priority_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        TaskRequest.model_validate({"type": "program", "priority": wrong})
