"""The seams of the protocol: each of these lost an answer, repeated an effect or hung once."""

import asyncio
import time
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from holdfast.contracts.base import Value
from holdfast.contracts.journal import Entry
from holdfast.contracts.program import PROGRAM_WORKFLOW, QUEUE_AGENTS, Carried, ProgramResult, Version
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.ids import call_hash
from tests.support.stack import Stack, progress, until

Handle = WorkflowHandle[Any, Any]


async def asked(handle: Handle, text: str) -> str:
    async def found() -> str | None:
        seen = await progress(handle)
        return next((one.id for one in seen.questions if one.state == "open" and text in one.text), None)

    return await until(found)


async def answer(handle: Handle, text: str, value: Any) -> None:
    message = AnswerMessage(question_id=await asked(handle, text), value=value)
    await handle.execute_update("answer", message)


async def test_a_second_resume_replays_the_same_order(stack: Stack, client: Client) -> None:
    """What a re-run replays must not be journalled again: a used answer would turn into a timeout."""
    source = (
        "import asyncio\n"
        "try:\n    a = await asyncio.wait_for(skills.echo(i=1, ms=1500), 0.2)\n"
        "except TimeoutError:\n    a = 'TIMED OUT'\n"
        "try:\n    b = await asyncio.wait_for(skills.ask(text='q1'), 86400)\n"
        "except TimeoutError:\n    b = 'TIMED OUT'\n"
        "await skills.echo(i=2, tag=b)\n"
        "result = [a, b, await skills.ask(text='q2'), await skills.ask(text='q3')]"
    )
    handle = await stack.start(client, source)
    for name in ("q1", "q2", "q3"):
        await answer(handle, name, f"yes to {name}")
    assert stack.value(await handle.result()) == ["TIMED OUT", "yes to q1", "yes to q2", "yes to q3"]
    assert sorted(stack.begins(handle).values()) == [1, 1]


async def test_an_answer_that_comes_with_the_first_task_after_continue_as_new_counts(
    stack: Stack, client: Client
) -> None:
    spec = stack.spec("result = skills.ask(text='through?')")
    one, now = f"{call_hash('program', 'ask', {'text': 'through?'})}.1", time.time()
    entry = Entry(id=one, skill="ask", arguments=Value(inline={"text": "through?"}), asked_at=now)
    version = Version(source=spec.source, began_at=now)
    state: dict[str, Any] = {"version": version, "generation": 1, "runs": 2, "repairs": 0, "seed": 1, "started_at": now}
    asked = [Question(id=one, text="through?", asked_at=now)]
    carried = Carried(**state, open_entries=[entry], questions=asked, parked_on=[one])
    handle = await client.start_workflow(
        PROGRAM_WORKFLOW,
        spec.model_copy(update={"carried": carried}),
        id=spec.task.workflow_id,
        task_queue=QUEUE_AGENTS,
        start_signal="answer_question",
        start_signal_args=[AnswerMessage(question_id=one, value="all along")],
        result_type=ProgramResult,
    )
    assert stack.value(await asyncio.wait_for(handle.result(), 20)) == "all along"


async def test_no_once_call_begins_after_a_cancel(stack: Stack, client: Client) -> None:
    source = "import asyncio\nawait asyncio.gather(*[skills.once_note(i=i, ms=500) for i in range(12)])"
    handle = await stack.start(client, source, limits={"max_parallel": 2})
    await until(lambda: stack.begins(handle))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(handle.result(), 20)
    assert sum(stack.begins(handle).values()) <= 4
    assert stack.begins(handle) == stack.ends(handle), "a `once` call in flight is let end within the grace"


async def test_many_chains_that_end_in_questions_all_come_to_their_question(stack: Stack, client: Client) -> None:
    """Each question leaves in an update of its own; the server takes ten updates at once."""
    source = (
        "import asyncio\nasync def chain(i):\n    await skills.echo(i=i, ms=100 * i)\n"
        "    for _ in range(200_000): pass\n    return await skills.ask(text=f'question {i};')\n"
        "result = await asyncio.gather(*[chain(i) for i in range(12)])"
    )
    handle = await stack.start(client, source)

    async def all_asked() -> bool:
        seen = await progress(handle)
        return len(seen.questions) == 12 and seen.state == "WAITING" and not seen.box

    await until(all_asked, 30)
    for i in range(12):
        await answer(handle, f"question {i};", i)
    assert stack.value(await handle.result()) == list(range(12))
    assert set(stack.begins(handle).values()) == {1}


@pytest.mark.slow
async def test_a_large_gather_respects_the_history_bound(stack: Stack, client: Client) -> None:
    source = "import asyncio\nresult = sum(await asyncio.gather(*[skills.noop(i=i) for i in range(300)]))"
    handle = await stack.start(client, source, tuning={"bound_events": 200})
    result = await handle.result()
    assert stack.value(result) == sum(range(300))
    assert result.runs >= 3
    scheduled = await stack.scheduled(client, handle)
    assert len(scheduled) == 300 and set(scheduled.values()) == {1}


async def test_a_computing_program_is_not_parked(stack: Stack, client: Client) -> None:
    """The answer that woke it came in the reply of an older message than the one that said `idle`."""
    source = (
        "import asyncio, time\n"
        "async def one():\n    await skills.echo(i=1, ms=600)\n    began = time.process_time()\n"
        "    x = 0\n    for _ in range(25_000_000): x += 1\n    return (await skills.echo(i=2))['i']\n"
        "async def two():\n    await skills.echo(i=3, ms=200)\n    return await skills.ask(text='later?')\n"
        "result = await asyncio.gather(one(), two())"
    )
    handle = await stack.start(client, source)
    await until(lambda: len(stack.begins(handle)) == 3, 15)
    assert (await progress(handle)).suspensions == 0
    await answer(handle, "later", "now")
    assert stack.value(await handle.result()) == [2, "now"]


async def test_threads_that_wait_for_skills_are_not_charged_for_it(stack: Stack, client: Client) -> None:
    source = (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as pool:\n"
        "    result = [x['i'] for x in pool.map(lambda ms: skills.echo(i=ms, ms=ms), [600, 3500])]"
    )
    result = await stack.run(client, source, limits={"run_seconds": 2})
    assert stack.value(result) == [600, 3500]


async def test_a_short_sleep_does_not_suspend(stack: Stack, client: Client) -> None:
    result = await stack.run(client, "import asyncio\nfor _ in range(3): await asyncio.sleep(0.5)\nresult = 'slept'")
    assert (stack.value(result), result.suspensions) == ("slept", 0)


FORGED = {
    "no calls": '{"t": "calls", "idle": true}',
    "wrong timer": '{"t": "calls", "calls": [], "drops": [], "seen": [], "idle": true, "timer": "x"}',
    "wrong call": '{"t": "calls", "calls": [[1, 2]], "drops": [], "seen": [], "idle": true, "timer": null}',
    "unknown drop": '{"t": "calls", "calls": [], "drops": ["x"], "seen": [], "idle": true, "timer": null}',
}


@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_frame_ends_the_program_as_its_own_fault(stack: Stack, client: Client, forged: str) -> None:
    source = (
        "import os\nfor fd in range(64, 100):\n    try:\n"
        f"        os.write(fd, b'\\n\\x1eHF1 ' + {FORGED[forged].encode()!r} + b'\\n')\n"
        "    except OSError: pass\nimport time\nwhile True: time.sleep(0.01)"
    )
    with pytest.raises(WorkflowFailureError) as caught:
        await stack.run(client, source, limits={"run_seconds": 5})
    assert caught.value.cause.type == "ProtocolViolation"  # type: ignore[attr-defined]
