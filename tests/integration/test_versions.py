"""Versions of workers on a dev server: who takes which task, before and after one is promoted."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from holdfast.contracts.question import AnswerMessage, Question
from holdfast.errors import Conflict, NotFound
from holdfast.temporal import versions
from holdfast.temporal.versions import Version
from tests.support.outside import runs
from tests.support.stack import Stack, progress, until

ASKING = "a = skills.echo(i=1)\nq = skills.ask(text='still there?')\nresult = [a['i'], q, skills.echo(i=2)['i']]"
NAME = "holdfast"
Handle = WorkflowHandle[Any, Any]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "holdfast")
    try:
        stack.start_server()
        yield stack
    finally:
        stack.close()


async def parked(handle: Handle) -> Question:
    async def look() -> list[Question] | None:
        seen = await progress(handle)
        return seen.questions if seen.state == "WAITING" and not seen.box else None

    [question] = await until(look, 40)
    found: Question = question
    return found


async def finish(stack: Stack, handle: Handle, question: Question) -> None:
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="yes"))
    assert stack.value(await handle.result()) == [1, "yes", 2]


async def builds(client: Client, handle: Handle) -> set[str]:
    return {build for run in await runs(client, [handle.id.partition("/")[2]]) for build in run.builds}


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_tasks_keep_the_version_that_began_them_and_those_without_one_go_to_the_current(own: Stack) -> None:
    client = await own.client()
    plain = own.start_worker().wait_up()
    without = await own.start(client, ASKING)
    question = await parked(without)
    plain.process.terminate()
    await asyncio.to_thread(plain.process.wait, 30)

    own.start_worker(HOLDFAST_BUILD_ID="r1").wait_up()
    await versions.promote(client, NAME, "r1")
    await finish(own, without, question)
    assert await builds(client, without) == {"", "r1"}

    first = await own.start(client, ASKING)
    question = await parked(first)
    own.start_worker(HOLDFAST_BUILD_ID="r2").wait_up()
    await versions.promote(client, NAME, "r2")
    second = await own.start(client, "result = skills.echo(i=5)['i']")
    assert own.value(await second.result()) == 5
    assert await versions.versions(client, NAME) == [Version("r2", True, 0), Version("r1", False, 1)]
    await finish(own, first, question)
    assert (await builds(client, first), await builds(client, second)) == ({"r1"}, {"r2"})

    counts: list[int] = []
    await versions.drained(client, NAME, "r1", counts.append)
    assert counts[-1] == 0
    await versions.promote(client, NAME, "r1")
    assert [one.build_id for one in await versions.versions(client, NAME) if one.is_current] == ["r1"]
    with pytest.raises(Conflict, match="takes new tasks; promote another first"):
        await versions.drained(client, NAME, "r1", counts.append)
    with pytest.raises(NotFound, match=r"no version 'r9' of 'holdfast'; known: r2, r1"):
        await versions.drained(client, NAME, "r9", counts.append)
    with pytest.raises(Conflict, match=r"'r9' of 'holdfast' has no worker for agents,llm,sandbox,skills"):
        await versions.promote(client, NAME, "r9", seconds=0.5)
    assert await versions.versions(client, "other") == []
