"""A query that its worker's death delays comes with newer events than those it was sent for."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.worker import Replayer

from holdfast.contracts.question import AnswerMessage, Question
from holdfast.temporal.connect import converter
from tests.support.stack import Stack, WorkerProcess, progress, until
from workflows import policies
from workflows.program import ProgramWorkflow

ASKS = "import asyncio\nresult = await asyncio.gather(skills.ask(text='one?'), skills.ask(text='two?'))"


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "holdfast")
    try:
        stack.start_server()
        for worker in (stack.start_worker(), stack.start_worker()):
            worker.wait_up()
        yield stack
    finally:
        stack.close()


async def resting(handle: "WorkflowHandle[Any, Any]") -> list[Question]:
    """The questions of a program that is suspended, once nothing is left to be done before they are answered."""
    questions = (await progress(handle)).questions
    about = (await handle.describe()).raw_description
    is_busy = bool(about.pending_activities) or about.HasField("pending_workflow_task")
    return questions if len(questions) == 2 and not is_busy else []


async def keeper(stack: Stack, handle: "WorkflowHandle[Any, Any]") -> WorkerProcess:
    """The worker that has the workflow in its cache."""
    events = (await handle.fetch_history()).events
    names = [event.workflow_task_completed_event_attributes.identity for event in events]
    pid = next(name for name in reversed(names) if name).rpartition(":")[2]
    return next(worker for worker in stack.workers if str(worker.pid) == pid)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("joined", [True, False], ids=["an answer joins", "nothing joins"])
async def test_events_that_a_query_brings_wait_for_their_workflow_task(standby: Stack, *, joined: bool) -> None:
    handle = await standby.start(await standby.client(), ASKS)
    one, two = [AnswerMessage(question_id=each.id, value=1) for each in await until(lambda: resting(handle))]
    (await keeper(standby, handle)).kill()
    asked = asyncio.create_task(progress(handle))
    # The query waits for the dead worker as long as this; the event must happen meanwhile.
    await asyncio.sleep(policies.STICKY_TIMEOUT.total_seconds() / 2)
    await handle.signal("answer_question", one)
    assert len((await asked).questions) == 2
    if not joined:
        await until(lambda: answered(handle))
    await handle.execute_update("answer", two)
    assert standby.value(await handle.result()) == [1, 1]
    await Replayer(workflows=[ProgramWorkflow], data_converter=converter()).replay_workflow(
        await handle.fetch_history()
    )


async def answered(handle: "WorkflowHandle[Any, Any]") -> bool:
    return "answered" in [question.state for question in (await progress(handle)).questions]
