"""The store: one suite over SQLite and a real PostgreSQL, and what goes wrong with each."""

import asyncio
import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from holdfast.config import VARIABLES, Settings
from holdfast.contracts.program import TaskState
from holdfast.errors import Conflict, NotFound, SettingsInvalid, StoreUnavailable
from store import revisions
from store.address import Address
from store.database import Database
from store.migrate import current, downgrade, upgrade
from store.records import Changes, CursorInvalid, IdempotencyMismatch, NewTask, Records
from store.tables import Base, TaskRow
from store.usage import NewUsage, Usage
from store.workers import Workers, WorkerSeen
from tests.support.boxes import opened

ROOT = Path(__file__).parents[2]
REVISIONS = [path.name[:4] for path in sorted((ROOT / "store" / "migrations" / "versions").glob("0*.py"))]
HEAD = REVISIONS[-1]
TRACE = "0123456789abcdef" * 2
START = datetime(2026, 11, 1, 12, tzinfo=UTC)


def settings_for(folder: Path, url: str = "", **values: object) -> Settings:
    url = url or f"sqlite:///{folder / 'holdfast.db'}"
    return Settings.model_validate({"project": folder, "home": folder, "database_url": url, **values})


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty database."""
    if request.param == "sqlite":
        return settings_for(tmp_path)
    url: str = request.getfixturevalue("postgres_url")
    asyncio.run(_on_postgres(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    return settings_for(tmp_path, url)


async def _on_postgres(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    db = await Database.open(settings)
    yield db
    await db.close()


@pytest.fixture
def records(db: Database) -> Records:
    return Records(db)


def new(number: int = 0, **values: object) -> NewTask:
    facts = {"tenant": "default", "id": f"task-{number:03}", "type": "program", "trace_id": TRACE}
    return NewTask(**{**facts, "created_at": START + timedelta(seconds=number), **values})  # type: ignore[arg-type]


def spent(**values: object) -> NewUsage:
    facts = {"tenant": "default", "task_id": "task-1", "trace_id": TRACE, "provider": "anthropic", "model": "m"}
    return NewUsage(**{**facts, "input_tokens": 100, "output_tokens": 20, **values})  # type: ignore[arg-type]


def worker(name: str = "host:1:0", **values: object) -> WorkerSeen:
    facts = {"id": name, "queues": ["agents", "skills"], "version": "0.0.1", "started_at": START}
    return WorkerSeen(**{**facts, **values})  # type: ignore[arg-type]


# Records


async def test_task_comes_back_as_it_was_written(records: Records):
    asked = {"ä": [1, 2.5, None, True], "b": {"zero": "\0", "lone": "\ud800", "big": 2**70}, "a": 1}
    await records.create(new(user_hash="f" * 64, session_id="s", parent_id="p", input=asked, source_ref="e" * 64))
    row = await records.get("default", "task-000")
    assert row.input == asked and list(row.input) == ["ä", "b", "a"]
    assert (row.state, row.user_hash, row.session_id, row.parent_id) == ("PENDING", "f" * 64, "s", "p")
    assert (row.output, row.failure, row.journal, row.stdout, row.version, row.calls) == (None, None, [], "", 1, 0)
    assert (row.trace_id, row.created_at, row.started_at, row.finished_at) == (TRACE, START, None, None)


async def test_times_keep_their_instant_and_their_microseconds(records: Records):
    moment = datetime.fromisoformat("2026-11-01T23:59:59.123456+05:30")
    await records.create(new(created_at=moment))
    row = await records.get("default", "task-000")
    assert row.created_at == moment and row.created_at.utcoffset() == timedelta(0)


async def test_time_without_a_zone_is_refused(records: Records):
    with pytest.raises(Exception, match="has no zone"):
        await records.create(new(created_at=datetime(2026, 11, 1)))  # noqa: DTZ001


async def test_same_request_twice_makes_one_task(records: Records):
    first, made = await records.create(new(request_hash="a" * 64, input=1))
    again, made_again = await records.create(new(request_hash="a" * 64, input=1))
    assert (made, made_again) == (True, False)
    assert again.created_at == first.created_at
    assert (await records.list("default")).total == 1


async def test_same_key_with_another_request_is_a_422_and_changes_nothing(records: Records):
    await records.create(new(request_hash="a" * 64, input=1))
    with pytest.raises(IdempotencyMismatch) as caught:
        await records.create(new(request_hash="b" * 64, input=2))
    assert caught.value.status == 422 and isinstance(caught.value, Conflict)
    assert (await records.get("default", "task-000")).input == 1


async def test_of_many_that_create_one_task_at_once_one_makes_it(records: Records):
    answers = await asyncio.gather(*(records.create(new(request_hash="a" * 64)) for _ in range(20)))
    assert sum(made for _row, made in answers) == 1


async def test_task_of_another_tenant_is_not_found(records: Records):
    await records.create(new(tenant="acme"))
    with pytest.raises(NotFound, match="'task-000'"):
        await records.get("default", "task-000")
    with pytest.raises(NotFound):
        await records.change("default", "task-000", "DONE")
    assert (await records.list("default")).total == 0
    assert (await records.create(new()))[1], "the same id of another tenant is another task"


async def test_pages_go_from_newest_to_oldest_and_show_each_task_once(records: Records):
    for number in range(7):
        await records.create(new(number, created_at=START + timedelta(seconds=number // 2)))
    seen, cursor, sizes = [], None, []
    while True:
        page = await records.list("default", limit=3, cursor=cursor)
        assert page.total == 7
        seen += [row.id for row in page.rows]
        sizes.append(len(page.rows))
        if (cursor := page.next_cursor) is None:
            break
        await records.create(new(100 + len(seen), tenant="acme"))
    assert seen == [f"task-{number:03}" for number in reversed(range(7))]
    assert sizes == [3, 3, 1]


async def test_task_made_while_paging_moves_no_other(records: Records):
    for number in range(4):
        await records.create(new(number))
    first = await records.list("default", limit=2)
    await records.create(new(9))
    second = await records.list("default", limit=2, cursor=first.next_cursor)
    assert [row.id for row in second.rows] == ["task-001", "task-000"]
    assert second.next_cursor is None


def _cursor_of(*place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


BAD_CURSORS = ["nonsense", "%%%", "ä", "W10", "WzEsMl0", "eyJhIjoxfQ", "WyIyMDI2IiwiYSJd"]
UNFIT_IDS = ["a\0", "\ud800", 7, None]


@pytest.mark.parametrize("cursor", [*BAD_CURSORS, *(_cursor_of("2026-11-01T12:00:00+00:00", one) for one in UNFIT_IDS)])
async def test_bad_cursor_is_a_400_that_says_what_to_do(records: Records, cursor: str):
    with pytest.raises(CursorInvalid, match="leave it out") as caught:
        await records.list("default", cursor=cursor)
    assert caught.value.status == 400


async def test_list_filters_by_state_type_user_session_and_parent(records: Records):
    await records.create(new(1, type="agent:writer", user_hash="a" * 64, session_id="s"))
    await records.create(new(2, type="Agent:writer", user_hash="b" * 64, parent_id="task-001"))
    await records.create(new(3, type="agent%", user_hash="b" * 64))
    await records.change("default", "task-003", "RUNNING")

    async def ids(**filters: Any) -> list[str]:
        page = await records.list("default", **filters)
        assert page.total == len(page.rows)
        return [row.id for row in page.rows]

    assert await ids(type_prefix="agent:") == ["task-001"]
    assert await ids(type_prefix="agent%") == ["task-003"]
    assert await ids(user_hash="b" * 64) == ["task-003"]
    assert await ids(user_hash="b" * 64, parent_id="task-001") == ["task-002"]
    assert await ids(state="RUNNING") == ["task-003"]
    assert await ids(state=["RUNNING", "PENDING"]) == ["task-003", "task-001"]
    assert await ids(state=["DONE"]) == []
    assert await ids(session_id="s") == ["task-001"]
    assert await ids(parent_id="task-001") == ["task-002"]
    assert await ids(state="RUNNING", type_prefix="agent:") == []


async def test_changed_tells_how_tasks_of_people_stand_since_then(records: Records):
    old = await records.create(new(1))
    await records.create(new(2, parent_id="task-001"))
    await records.change("default", "task-001", "RUNNING")
    running = await records.get("default", "task-001")
    await records.create(new(3, created_at=running.updated_at + timedelta(seconds=1)))
    told = await records.changed(running.updated_at - timedelta(microseconds=1))
    assert [(one.tenant, one.id, one.state) for one in told] == [
        ("default", "task-001", "RUNNING"),
        ("default", "task-003", "PENDING"),
    ]
    assert told[0].created_at == old[0].created_at
    assert [one.id for one in await records.changed(running.updated_at)] == ["task-003"]


async def test_unbegun_are_those_that_keep_what_starts_them_the_oldest_first(records: Records):
    for number in range(6):
        await records.create(new(number, begins=None if number == 1 else {"type": "program"}))
    await records.begun("default", "task-002")
    await records.change("default", "task-003", "RUNNING")
    found = await records.unbegun(START, START + timedelta(seconds=4), 10)
    assert [(row.id, row.begins) for row in found] == [
        ("task-000", {"type": "program"}),
        ("task-004", {"type": "program"}),
    ]
    assert [row.id for row in await records.unbegun(START, START + timedelta(minutes=1), 1)] == ["task-000"]
    assert (await records.get("default", "task-003")).begins is None


async def test_change_writes_state_fields_and_times(records: Records):
    await records.create(new())
    running = (await records.change("default", "task-000", "RUNNING", version=2)).row
    assert running.started_at is not None and running.finished_at is None
    await records.change("default", "task-000", "WAITING", suspensions=1)
    await records.change("default", "task-000", "RUNNING")
    done = await records.change("default", "task-000", "DONE", output={"a": [1]}, calls=30, journal=["c" * 64])
    row = await records.get("default", "task-000")
    assert done.outcome == "written"
    assert (row.state, row.output, row.calls, row.journal) == ("DONE", {"a": [1]}, 30, ["c" * 64])
    assert (row.version, row.suspensions, row.started_at) == (2, 1, running.started_at)
    assert row.finished_at is not None and row.finished_at == row.updated_at > row.created_at


@pytest.mark.parametrize("final", ["DONE", "ERROR", "CANCELLED", "TIMED_OUT"])
async def test_final_state_is_written_once(records: Records, final: TaskState):
    await records.create(new())
    await records.change("default", "task-000", final, calls=1)
    before = await records.get("default", "task-000")
    later: list[TaskState] = [final, "ERROR" if final == "DONE" else "DONE", "RUNNING"]
    outcomes = [(await records.change("default", "task-000", state, calls=9)).outcome for state in later]
    after = await records.get("default", "task-000")
    assert outcomes == ["repeated", "refused", "refused"]
    assert (after.state, after.calls, after.updated_at) == (final, 1, before.updated_at)


@pytest.mark.parametrize("state", ["RUNNING", "WAITING"])
async def test_task_that_began_never_is_pending_again(records: Records, state: TaskState):
    await records.create(new())
    await records.change("default", "task-000", state)
    with pytest.raises(Conflict, match=f"is {state} and cannot become PENDING; allowed: CANCELLED, DONE"):
        await records.change("default", "task-000", "PENDING")


async def test_of_different_ends_at_once_one_wins_and_all_are_told(records: Records):
    await records.create(new())
    ends: list[TaskState] = ["DONE", "ERROR", "CANCELLED", "TIMED_OUT"] * 3
    changes = await asyncio.gather(*(records.change("default", "task-000", end) for end in ends))
    winner = (await records.get("default", "task-000")).state
    assert [change.outcome for change in changes].count("written") == 1
    assert {change.row.state for change in changes} == {winner}
    assert [change.outcome for change in changes].count("refused") == 9


async def test_output_of_a_hostile_box_loses_no_task(records: Records):
    await records.create(new())
    await records.change("default", "task-000", "DONE", stdout="a\0b\udcffc", output={"x": "\0"})
    row = await records.get("default", "task-000")
    assert (row.stdout, row.output) == ("a\ufffdb?c", {"x": "\0"})


async def test_nan_is_refused_and_nothing_is_written(records: Records):
    with pytest.raises(Exception, match="not JSON compliant"):
        await records.create(new(input=float("nan")))
    assert (await records.list("default")).total == 0


async def test_error_in_a_session_rolls_all_of_it_back(db: Database):
    await Records(db).create(new())
    with pytest.raises(ZeroDivisionError):
        async with db.session() as session:
            await session.execute(text("UPDATE tasks SET calls = 7"))
            _ = 1 / 0
    assert (await Records(db).get("default", "task-000")).calls == 0


async def test_fifty_writers_at_once_lose_nothing(records: Records):
    await asyncio.gather(*(records.create(new(number)) for number in range(50)))
    await asyncio.gather(*(records.change("default", f"task-{number:03}", "DONE") for number in range(50)))
    assert (await records.list("default", state="DONE")).total == 50


WRITER = """
import asyncio, sys
from pathlib import Path
from holdfast.config import Settings
from store.database import Database
from store.records import NewTask, Records

async def main(folder, url, name):
    db = await Database.open(Settings(project=Path(folder), home=Path(folder), database_url=url))
    for number in range(20):
        await Records(db).create(NewTask(tenant="default", id=f"{name}-{number}", type="program", trace_id="0" * 32))
    await db.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_start_at_once_on_an_empty_database_all_write(settings: Settings):
    def start(name: str) -> subprocess.Popen[bytes]:
        arguments = [str(settings.home), settings.database_url, name]
        return subprocess.Popen([sys.executable, "-c", WRITER, *arguments], cwd=ROOT, stderr=subprocess.PIPE)

    processes = [start(f"process-{number}") for number in range(3)]
    errors = [(await asyncio.to_thread(process.communicate))[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, errors
    db = await Database.open(settings)
    assert (await Records(db).list("default")).total == 60
    await db.close()


async def test_what_a_task_took_of_models_comes_back_exactly(records: Records):
    await records.create(new())
    row = await records.get("default", "task-000")
    assert (row.llm, row.llm_calls, row.input_tokens, row.cost, row.model) == ([], 0, 0, None, None)
    call = {"step": "plan", "started_at": 1.5, "usage": [{"provider": "p", "model": "m", "cost": "0.000000037"}]}
    took: Changes = {
        "llm": [call],
        "llm_calls": 2,
        "input_tokens": 2**40,
        "cost": Decimal("0.000000037"),
        "model": "p:m",
    }
    await records.change("default", "task-000", "DONE", **took)
    row = await records.get("default", "task-000")
    assert (row.llm, row.cost, row.input_tokens) == ([call], Decimal("0.000000037"), 2**40)


async def test_tally_counts_all_tenants_and_times_only_what_ran(records: Records):
    assert vars(await records.tally()) == {"total": 0, "done": 0, "failed": 0, "average_seconds": None}
    ways: list[list[TaskState]] = [["RUNNING", "DONE"], ["RUNNING", "ERROR"], ["CANCELLED"], ["RUNNING"], []]
    for number, ends in enumerate(ways):
        await records.create(new(number, tenant=f"t{number}"))
        for state in ends:
            await records.change(f"t{number}", f"task-{number:03}", state)
    await _took(records, 0, 4.0)
    await _took(records, 1, 2.0)
    await _took(records, 2, 0.0)
    tally = await records.tally()
    assert (tally.total, tally.done, tally.failed) == (5, 1, 2)
    assert tally.average_seconds == pytest.approx(2.0, abs=0.001)


async def _took(records: Records, number: int, seconds: float) -> None:
    async with records.db.session() as session:
        row = await session.get_one(TaskRow, (f"t{number}", f"task-{number:03}"))
        row.started_at, row.finished_at = START, START + timedelta(seconds=seconds)


# Usage and workers


async def test_sums_never_count_an_unknown_cost_as_nothing(db: Database):
    usage = Usage(db)
    for cost in (Decimal("0.1"), Decimal("0.2"), Decimal("0.000000037"), None):
        await usage.add(spent(cost=cost, user_hash="a" * 64, cached_tokens=5))
    await usage.add(spent(cost=None, task_id="task-2"))
    await usage.add(spent(cost=Decimal(9), tenant="acme"))
    whole = await usage.of_tenant("default")
    assert (whole.calls, whole.tasks, whole.cost, whole.unknown) == (5, 2, Decimal("0.300000037"), 2)
    assert (whole.input_tokens, whole.output_tokens, whole.cached_tokens) == (500, 100, 20)
    assert (await usage.of_user("default", "a" * 64)).cost == Decimal("0.300000037")
    unknown = await usage.of_task("default", "task-2")
    assert (unknown.calls, unknown.cost, unknown.unknown) == (1, None, 1)
    nothing = await usage.of_task("default", "task-3")
    assert (nothing.calls, nothing.input_tokens, nothing.cost, nothing.unknown) == (0, 0, None, 0)


async def test_usage_of_a_retried_activity_counts_once(db: Database):
    usage = Usage(db)
    added = [await usage.add(spent(id="task-1/call-1", cost=Decimal(1))) for _ in range(3)]
    assert added == [True, False, False]
    assert (await usage.of_task("default", "task-1")).cost == 1


async def test_sums_can_begin_at_a_time(db: Database):
    usage = Usage(db)
    for day in range(3):
        await usage.add(spent(created_at=START + timedelta(days=day), cost=Decimal(1)))
    assert (await usage.of_tenant("default", START + timedelta(days=1))).calls == 2


async def test_worker_has_one_row_that_says_what_it_last_said(db: Database):
    workers = Workers(db)
    await workers.seen(worker(), START)
    adapters = [{"name": "local", "isolation": "bubblewrap"}]
    await workers.seen(worker(adapters=adapters, providers=["offline"]), START + timedelta(seconds=5))
    await workers.seen(worker("host:2:0", started_at=START - timedelta(1)), START + timedelta(seconds=9))
    rows = await workers.list(START)
    assert [row.id for row in rows] == ["host:2:0", "host:1:0"]
    assert (rows[1].queues, rows[1].adapters, rows[1].providers) == (["agents", "skills"], adapters, ["offline"])
    assert rows[1].seen_at == START + timedelta(seconds=5)
    assert [row.id for row in await workers.list(START + timedelta(seconds=6))] == ["host:2:0"]


async def test_a_worker_that_was_not_seen_for_a_day_is_forgotten(db: Database):
    workers, now = Workers(db), datetime.now(UTC)
    for hours in (0, 23, 25, 1000):
        await workers.seen(worker(f"host:{hours}:0"), now - timedelta(hours=hours))
    assert await workers.forget() == 2
    assert {row.id for row in await workers.list(START - timedelta(days=1000))} == {"host:0:0", "host:23:0"}


# Migrations


async def _filled(settings: Settings) -> None:
    db = await Database.open(settings)
    await Records(db).create(new(1, input={"a": "ü"}))
    await Records(db).change("default", "task-001", "DONE", output=[1], journal=["d" * 64])
    await Usage(db).add(spent(id="u", cost=Decimal("0.5")))
    await Workers(db).seen(worker(adapters=[{"name": "local"}]), START)
    await db.close()


async def _rows(settings: Settings, columns: dict[str, str]) -> dict[str, list[tuple[object, ...]]]:
    db = await Database.open(settings)
    try:
        async with db.reading() as session:
            return {
                table: [tuple(map(str, row)) for row in await session.execute(text(f"SELECT {wanted} FROM {table}"))]
                for table, wanted in columns.items()
            }
    finally:
        await db.close()


def test_down_and_up_again_keeps_all_rows(settings: Settings):
    columns = {"tasks": "*", "usage": "*", "workers": "id, queues, version, started_at, seen_at"}
    asyncio.run(_filled(settings))
    before = asyncio.run(_rows(settings, columns))
    down = downgrade(settings, "0001")
    assert (down.before, down.after, current(settings)) == (HEAD, "0001", "0001")
    up = upgrade(settings)
    assert (up.before, up.after, current(settings)) == ("0001", HEAD, HEAD)
    assert asyncio.run(_rows(settings, columns)) == before
    assert {table: len(rows) for table, rows in before.items()} == {"tasks": 1, "usage": 1, "workers": 1}


def test_migrations_make_what_the_code_expects(settings: Settings):
    upgrade(settings)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    assert asyncio.run(revisions.connected(Address.of(settings), differences)) == []


def test_down_to_base_first_saves_what_it_drops(settings: Settings):
    asyncio.run(_filled(settings))
    change = downgrade(settings, "base")
    assert change.backup is not None and current(settings) is None
    if settings.database_url.startswith("sqlite"):
        assert change.backup == settings.home / f"holdfast.db.bak-{HEAD}"
        with closing(sqlite3.connect(change.backup)) as saved:
            assert saved.execute("SELECT id, state FROM tasks").fetchall() == [("task-001", "DONE")]
    else:
        lines = [json.loads(line) for line in change.backup.read_text("utf-8").splitlines()]
        assert [line["row"]["id"] for line in lines if line["table"] == "tasks"] == ["task-001"]
        assert {line["table"] for line in lines} == {"tasks", "usage", "workers", "alembic_version"}
    assert upgrade(settings).backup is None


def test_steps_and_names_of_revisions(settings: Settings):
    assert upgrade(settings, "+1").after == "0001"
    assert upgrade(settings, "0001").before == upgrade(settings, "0001").after == "0001"
    assert upgrade(settings, "head").after == HEAD
    assert downgrade(settings, "head").backup is None
    assert downgrade(settings, "-1").after == REVISIONS[-2]
    with pytest.raises(NotFound, match=rf"no revision '0099'; known: base, head, {', '.join(REVISIONS)}"):
        upgrade(settings, "0099")


async def test_start_migrates_an_older_database_with_its_rows(settings: Settings):
    await _filled(settings)
    await asyncio.to_thread(downgrade, settings, "0001")
    db = await Database.open(settings)
    assert (await Records(db).get("default", "task-001")).output == [1]
    await db.close()
    if settings.database_url.startswith("sqlite"):
        assert (settings.home / "holdfast.db.bak-0001").is_file()


async def test_of_many_that_upgrade_at_once_one_does_it(settings: Settings):
    await _filled(settings)
    await asyncio.to_thread(downgrade, settings, "0001")
    changes = await asyncio.gather(*(asyncio.to_thread(upgrade, settings) for _ in range(5)))
    assert sorted(change.before or "" for change in changes) == ["0001", HEAD, HEAD, HEAD, HEAD]
    assert [path.name for path in settings.home.glob("*.bak-0001*")] == ["holdfast.db.bak-0001"] * (
        settings.database_url.startswith("sqlite")
    )


async def test_start_with_nothing_to_migrate_makes_no_backup(settings: Settings):
    for _ in range(2):
        await (await Database.open(settings)).close()
    assert list(settings.home.glob("*.bak*")) == []


async def test_database_of_a_newer_holdfast_is_left_alone(settings: Settings):
    db = await Database.open(settings)
    async with db.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '0042'"))
    await db.close()
    with pytest.raises(
        StoreUnavailable, match=rf"revision '0042', made by a newer holdfast; this one knows up to '{HEAD}'"
    ):
        await Database.open(settings)


async def test_database_of_somebody_else_is_left_alone(settings: Settings):
    async def occupy() -> None:
        await revisions.connected(
            Address.of(settings), lambda connection: connection.exec_driver_sql("CREATE TABLE tasks (id INTEGER)")
        )

    await occupy()
    with pytest.raises(StoreUnavailable, match="table 'tasks' that holdfast did not make"):
        await Database.open(settings)


def test_failed_migration_leaves_everything_as_it_was(settings: Settings):
    upgrade(settings, "0001")

    async def collide() -> None:
        await revisions.connected(
            Address.of(settings),
            lambda connection: connection.exec_driver_sql("CREATE INDEX ix_tasks_parent_id ON tasks (id)"),
        )

    asyncio.run(collide())
    with pytest.raises(Exception, match="already exists"):
        upgrade(settings)
    assert current(settings) == "0001"
    columns = asyncio.run(revisions.connected(Address.of(settings), _worker_columns))
    assert "adapters" not in columns


def _worker_columns(connection: Connection) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns("workers")}


def test_revision_writes_what_differs(tmp_path: Path, settings: Settings):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "store", copy / "store", ignore=shutil.ignore_patterns("__pycache__"))
    tables = copy / "store" / "tables.py"
    changed = tables.read_text().replace(
        "    version: Mapped[str]", "    mood: Mapped[datetime | None]\n    version: Mapped[str]"
    )
    tables.write_text(changed)
    script = (
        "import sys; from pathlib import Path; from holdfast.config import Settings; from store.migrate import *\n"
        "s = Settings(project=Path('.').resolve(), home=Path('.').resolve(), database_url=sys.argv[1])\n"
        "upgrade(s); print(revision(s, 'Workers have a mood')); print(upgrade(s).after)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, settings.database_url],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(copy), str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    following = f"{int(HEAD) + 1:04}"
    path, after = [line for line in done.stdout.splitlines() if line.startswith("/") or line == following]
    assert Path(path).parent == copy / "store" / "migrations" / "versions" and after == following
    assert "sa.Column('mood', sa.DateTime(timezone=True), nullable=True)" in Path(path).read_text()


# What goes wrong


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of a SQLite file, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_locked_database_is_named_and_works_again_later(tmp_path: Path):
    db = await Database.open(settings_for(tmp_path), busy=timedelta(milliseconds=100))
    with locked(tmp_path / "holdfast.db"):
        with pytest.raises(
            StoreUnavailable, match=rf"{tmp_path}/holdfast.db is locked: another process.*fuser"
        ) as caught:
            await Records(db).create(new())
        assert (await Records(db).list("default")).total == 0, "readers wait for no writer"
    assert caught.value.retryable
    assert (await Records(db).create(new()))[1]
    await db.close()


async def test_write_waits_for_a_lock_that_is_soon_gone(tmp_path: Path):
    db = await Database.open(settings_for(tmp_path))
    with locked(tmp_path / "holdfast.db"):
        writing = asyncio.create_task(Records(db).create(new()))
        await Records(db).list("default")
        assert not writing.done()
    assert (await writing)[1]
    await db.close()


async def test_full_disk_is_told_and_loses_no_row(tmp_path: Path):
    db = await Database.open(settings_for(tmp_path))
    await Records(db).create(new(1))
    async with db.session() as session:
        await session.execute(text("PRAGMA max_page_count = 40"))
    with pytest.raises(StoreUnavailable, match="the disk is full; free some space"):
        await Records(db).create(new(2, input="x" * 1_000_000))
    assert [row.id for row in (await Records(db).list("default")).rows] == ["task-001"]
    await db.close()


async def test_missing_folder_is_made(tmp_path: Path):
    folder = tmp_path / "a folder" / "größe %41?x=1"
    db = await Database.open(settings_for(folder))
    assert (await Records(db).create(new()))[1]
    await db.close()
    assert (folder / "holdfast.db").is_file()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody may enter, but only its owner may write to."""
    if os.geteuid() == 0:
        opened(tmp_path)
    return tmp_path


async def test_read_only_folder_is_named(open_folder: Path):
    await (await Database.open(settings_for(open_folder / "warm"))).close()
    closed = open_folder / "closed"
    closed.mkdir(mode=0o555)
    with unprivileged(), pytest.raises(StoreUnavailable, match=r"closed/holdfast.db .*this user.*Permission denied"):
        await Database.open(settings_for(closed))
    with unprivileged(), pytest.raises(StoreUnavailable, match=r"Permission denied"):
        await Database.open(settings_for(closed / "deeper"))


async def test_read_only_file_is_named(open_folder: Path):
    await (await Database.open(settings_for(open_folder))).close()
    for path in open_folder.iterdir():
        path.chmod(0o444)
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(StoreUnavailable, match="is read-only; give this user write access"):
        await Database.open(settings_for(open_folder))
    open_folder.chmod(0o755)


@pytest.mark.parametrize("content", [b"this is no database" * 300, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, content: bytes):
    path = tmp_path / "holdfast.db"
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=r"holdfast.db is (not a SQLite database|damaged); restore a backup"):
        await Database.open(settings_for(tmp_path))
    assert path.read_bytes() == content


async def test_damage_in_the_middle_of_a_file_is_named(tmp_path: Path):
    db = await Database.open(settings_for(tmp_path))
    for number in range(20):
        await Records(db).create(new(number, input="x" * 5000))
    await db.close()
    path = tmp_path / "holdfast.db"
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = b"\xa5" * (len(content) - half)
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="is damaged; restore a backup"):
        # Which pages the schema has, only SQLite knows: it is found when the file is opened, or when rows are read.
        db = await Database.open(settings_for(tmp_path))
        try:
            await Records(db).list("default")
        finally:
            await db.close()


async def test_unreachable_postgres_is_named_without_its_password(tmp_path: Path):
    url = "postgresql://anna:geheim@127.0.0.1:9/holdfast"
    with pytest.raises(
        StoreUnavailable, match=r"postgresql://anna:\*\*\*@127.0.0.1:9/holdfast cannot be reached"
    ) as caught:
        await Database.open(settings_for(tmp_path, url))
    assert "geheim" not in str(caught.value)


async def test_missing_postgres_database_is_named(tmp_path: Path, postgres_url: str):
    with pytest.raises(StoreUnavailable, match=r"/nowhere has no such database; create it with `createdb`"):
        await Database.open(settings_for(tmp_path, postgres_url.removesuffix("postgres") + "nowhere"))


async def test_lost_connections_to_postgres_are_replaced(tmp_path: Path, postgres_url: str):
    await _on_postgres(postgres_url, "CREATE DATABASE cut")
    db = await Database.open(settings_for(tmp_path, postgres_url.removesuffix("postgres") + "cut"))
    await Records(db).create(new())
    await _on_postgres(postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'")
    assert (await Records(db).get("default", "task-000")).state == "PENDING"
    await db.close()


async def test_connection_cut_in_the_middle_is_told_and_rolled_back(tmp_path: Path, postgres_url: str):
    await _on_postgres(postgres_url, "CREATE DATABASE cut2")
    db = await Database.open(settings_for(tmp_path, postgres_url.removesuffix("postgres") + "cut2"))
    await Records(db).create(new())
    with pytest.raises(StoreUnavailable, match=r"lost the connection|shutting down"):
        async with db.session() as session:
            await session.execute(text("UPDATE tasks SET calls = 7"))
            await _on_postgres(
                postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut2'"
            )
            await session.execute(text("UPDATE tasks SET calls = 8"))
    assert (await Records(db).get("default", "task-000")).calls == 0
    await db.close()


async def test_pool_of_postgres_has_the_size_that_is_set(tmp_path: Path, postgres_url: str):
    await _on_postgres(postgres_url, "CREATE DATABASE pool")
    url = postgres_url.removesuffix("postgres") + "pool?application_name=pool-test&sslmode=disable"
    db = await Database.open(settings_for(tmp_path, url, db_pool_size=3, db_max_overflow=1))
    await asyncio.gather(*(Records(db).create(new(number)) for number in range(40)))
    async with db.reading() as session:
        used = await session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pool-test'"))
    assert used is not None and 1 < used <= 4
    await db.close()


OPENER = """
import asyncio, sys
from pathlib import Path
from holdfast import log
from holdfast.config import Settings
from store.database import Database

async def main(folder, **values):
    await (await Database.open(Settings.load(folder, **values))).close()

log.configure("test")
asyncio.run(main(Path(sys.argv[1])))
print("set", file=sys.stderr)
asyncio.run(main(Path(sys.argv[1]), db_pool_size=7))
"""


def test_pool_size_is_ignored_with_a_note_on_sqlite(tmp_path: Path):
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", OPENER, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    default, given = done.stderr.split("set\n")
    assert "store.pool_ignored" not in default
    assert '"message":"store.pool_ignored","metadata":{"settings":["db_pool_size"]' in given


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://root:geheim@localhost/x", "is of kind 'mysql'"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///", "names no file"),
        ("holdfast.db", "is not a URL"),
        ("postgresql://anna:geheim@host:port/x", "is not a URL"),
        ("postgresql://anna:geheim@host/x?foo=1", "has the option 'foo'. Allowed: host, port, ssl"),
        ("postgresql://anna:geheim@host/x?connect_timeout=soon", "a number of seconds"),
    ],
)
async def test_wrong_url_says_what_is_allowed_and_no_password(tmp_path: Path, url: str, told: str):
    with pytest.raises(SettingsInvalid) as caught:
        await Database.open(settings_for(tmp_path, url))
    assert told in str(caught.value) and "geheim" not in str(caught.value)
