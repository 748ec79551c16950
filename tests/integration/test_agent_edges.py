"""Tasks in plain words at their edges: deadlines, cancellation, a store that is down, replies that nothing could keep."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from store.database import Database
from store.records import Records
from store.tables import TaskRow
from tests.integration.test_agent_tasks import ended
from tests.support.agents import Handle, begin, models, task_spec
from tests.support.authors import PLAN, REPAIR, plans, says
from tests.support.stack import Stack, progress, until
from tests.support.stub_llm import Fault, StubLlm


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    one = Stack(tmp_path_factory.mktemp("edges"))
    try:
        one.start_server()
        one.start_worker().wait_up()
        yield one
    finally:
        one.close()


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm() as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("step", [PLAN, REPAIR])
async def test_a_model_that_hangs_until_the_deadline_leaves_a_task_that_is_timed_out(
    stack: Stack, client: Client, stub: StubLlm, step: str
) -> None:
    says(stub, step, "too late", fault=Fault(hang_s=30))
    plans(stub, "raise ValueError('broken')")
    result = await ended(await begin(client, task_spec(stack, "wait", models(stub), limits={"task_seconds": 5.0})))
    assert result.error is not None
    assert result.state == "TIMED_OUT", result.error
    assert "limits.task_seconds" in result.error.message


async def test_the_answer_to_the_last_question_that_a_plan_may_ask_counts(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule(".", '{"ask": "Which one?"}', times=5)
    stub.rule(".", '{"answer": "that one"}')
    handle = await begin(client, task_spec(stack, "choose", models(stub)))
    for number in range(1, 6):
        await until(lambda one=f"plan.{number}": _is_open(handle, one))
        await handle.signal("answer_question", {"question_id": f"plan.{number}", "value": "this"})
    assert stack.value(await handle.result()) == "that one"


async def test_a_system_prompt_that_is_gone_ends_the_task_and_asks_nothing(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    spec = task_spec(stack, "capital?", models(stub), strategy="direct")
    spec = spec.model_copy(update={"brief": spec.brief.model_copy(update={"system": "0" * 64})})
    result = await asyncio.wait_for(ended(await begin(client, spec)), 20)
    assert result.error is not None and "no blob" in result.error.message
    assert not stub.requests


@pytest.mark.parametrize("reply", ['{"answer": "\\ud800"}', '{"answer": NaN}'])
async def test_a_reply_that_nothing_could_keep_is_not_asked_for_without_end(
    stack: Stack, client: Client, stub: StubLlm, reply: str
) -> None:
    stub.rule(".", reply, times=1)
    stub.rule(".", '{"answer": "?"}')
    result = await asyncio.wait_for((await begin(client, task_spec(stack, "odd", models(stub)))).result(), 20)
    assert stack.value(result) == "?"
    assert len(stub.requests) <= 2


async def test_the_record_of_a_cancelled_task_has_its_calls_and_what_it_took(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    plans(stub, "await skills.echo(i=1)\nawait skills.echo(i=2, ms=20000)")
    spec = task_spec(stack, "wait", models(stub))
    handle = await begin(client, spec)
    await until(lambda: len(stack.begins(handle)) == 2)
    await handle.cancel()
    await until(lambda: _is_over(handle))
    row = await _row(stack, spec.brief.task.task_id)
    assert row.state == "CANCELLED"
    assert row.calls == 1 and row.journal


@pytest.mark.slow
async def test_a_task_that_is_cancelled_while_its_end_is_written_down_ends_as_it_is_written(
    tmp_path: Path, stub: StubLlm
) -> None:
    """Nobody can write to the store when the task is done."""
    stack = Stack(tmp_path / "home")
    try:
        await asyncio.to_thread(stack.start_server)
        await asyncio.to_thread(stack.start_worker("agents", "llm", "skills").wait_up)
        client = await stack.client()
        stub.rule(".", "Paris")
        spec = task_spec(stack, "capital?", models(stub), strategy="direct")
        with stack.locked_store():
            handle = await begin(client, spec)
            await until(lambda: _is_state(handle, "DONE"), seconds=60)
            await handle.cancel()
            await asyncio.sleep(1)
        assert (await asyncio.wait_for(handle.result(), 60)).state == "DONE"
        assert (await _row(stack, spec.brief.task.task_id)).state == "DONE"
    finally:
        stack.close()


async def _row(stack: Stack, task_id: str) -> TaskRow:
    database = await Database.open(stack.settings)
    try:
        return await Records(database).get("default", task_id)
    finally:
        await database.close()


async def _is_over(handle: Handle) -> bool:
    return (await handle.describe()).close_time is not None


async def _is_state(handle: Handle, state: str) -> bool:
    return (await progress(handle)).state == state


async def _is_open(handle: Handle, question_id: str) -> bool:
    return any(one.id == question_id and one.state == "open" for one in (await progress(handle)).questions)
