"""Programs that are cancelled where nothing runs yet, or nothing more: their record is final all the same."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError

from store.database import Database
from store.records import Records
from tests.support.stack import Stack


@pytest.mark.slow
async def test_a_program_that_is_cancelled_before_its_first_record_has_a_final_one(tmp_path: Path) -> None:
    """Nobody can write to the store."""
    stack = Stack(tmp_path / "home")
    try:
        await asyncio.to_thread(stack.start_server)
        await asyncio.to_thread(stack.start_worker("agents", "skills").wait_up)
        client = await stack.client()
        with stack.locked_store():
            handle = await stack.start(client, "result = 1")
            await asyncio.sleep(1.5)
            await handle.cancel()
            await asyncio.sleep(1)
        try:
            await asyncio.wait_for(handle.result(), 60)
        except WorkflowFailureError as exc:
            assert type(exc.cause).__name__ == "CancelledError"
        database = await Database.open(stack.settings)
        try:
            row = await Records(database).get("default", handle.id.partition("/")[2])
        finally:
            await database.close()
        assert row.state == "CANCELLED"
    finally:
        stack.close()
