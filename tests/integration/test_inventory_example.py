"""examples/inventory reviewed by the real engine: box, worker, server, and the built-in skills."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.builtin import ROOT, SHOP, Desk
from tests.support.review import run_program
from tests.support.stack import Stack, progress, until

REVIEW = ROOT / "examples" / "inventory.review.py"


def opened_shop(folder: Path) -> Desk:
    desk = Desk(folder)
    for place in SHOP.rglob("*"):
        if place.is_file() and "__pycache__" not in place.parts:
            desk.put(f"laden/{place.relative_to(SHOP)}", place.read_bytes())
    return desk


async def expected(tmp_path: Path) -> tuple[Any, str]:
    """What the program gives when nothing can happen to it."""
    desk = opened_shop(tmp_path / "calm")
    result, _ = await asyncio.to_thread(run_program, REVIEW, desk, {"path": "laden"})
    return result, (desk.folder / "report.md").read_text()


@pytest.mark.timeout(120)
async def test_the_review_gives_the_same_in_the_box(stack: Stack, client: Client, tmp_path: Path) -> None:
    result, report = await expected(tmp_path)
    work = opened_shop(stack.home / "workspaces" / "default" / "default")
    ended = await stack.run(client, REVIEW.read_text(), inputs={"path": "laden"})
    assert stack.value(ended) == result
    assert (work.folder / "report.md").read_text() == report
    assert 25 <= ended.calls <= 35


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_killed_worker_changes_nothing_in_the_report(tmp_path: Path) -> None:
    result, report = await expected(tmp_path)
    stack = Stack(tmp_path / "data ü")
    try:
        await asyncio.to_thread(stack.start_server)
        first = await asyncio.to_thread(lambda: stack.start_worker().wait_up())
        work = opened_shop(stack.home / "workspaces" / "default" / "default")
        handle = await stack.start(await stack.client(), REVIEW.read_text(), inputs={"path": "laden"})

        async def halfway() -> bool:
            return (await progress(handle)).calls_done >= 8

        await until(halfway)
        first.kill()
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        await asyncio.to_thread(lambda: stack.start_worker().wait_up())
        ended = await handle.result()
        assert stack.value(ended) == result
        assert (work.folder / "report.md").read_text() == report
        assert 25 <= ended.calls <= 35
    finally:
        stack.close()
