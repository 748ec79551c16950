"""Questions, repair, continue-as-new, and the order of deliveries: one mechanism, seen from outside."""

import asyncio
import random
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError

from holdfast.contracts.question import AnswerMessage
from tests.support.stack import Stack, progress, until

Handle = WorkflowHandle[Any, Any]


async def suspended(handle: Handle) -> Any:
    async def parked() -> Any:
        seen = await progress(handle)
        return seen if seen.state == "WAITING" and not seen.box else None

    return await until(parked)


async def answer(handle: Handle, question_id: str, value: Any) -> None:
    await handle.execute_update("answer", AnswerMessage(question_id=question_id, value=value))


async def question(handle: Handle, text: str) -> str:
    async def found() -> str | None:
        return next(
            (one.id for one in (await progress(handle)).questions if one.state == "open" and text in one.text), None
        )

    return await until(found)


async def test_a_question_frees_the_box_and_its_answer_finishes_the_program(stack: Stack, client: Client) -> None:
    source = "a = skills.echo(i=1)\nq = skills.ask(text='colour?')\nb = skills.echo(i=2)\nresult = [a['i'], q, b['i']]"
    handle = await stack.start(client, source)
    await suspended(handle)
    await until(lambda: not stack.boxes(), 5)
    await answer(handle, await question(handle, "colour"), "blue")
    assert stack.value(await handle.result()) == [1, "blue", 2]
    assert set(stack.begins(handle).values()) == {1}


async def test_a_second_answer_is_refused(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "a = skills.ask(text='one?')\nresult = [a, skills.ask(text='two?')]")
    first = await question(handle, "one")
    await answer(handle, first, "A")
    with pytest.raises(WorkflowUpdateFailedError, match="failed") as caught:
        await answer(handle, first, "B")
    assert "answered already" in str(caught.value.cause)
    with pytest.raises(WorkflowUpdateFailedError):
        await answer(handle, "nowhere.1", "C")
    await answer(handle, await question(handle, "two"), "D")
    assert stack.value(await handle.result()) == ["A", "D"]


async def test_an_answer_by_signal_counts_too(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "result = skills.ask(text='go?', options=['yes', 'no'])")
    one = await question(handle, "go")
    await handle.signal("answer_question", AnswerMessage(question_id=one, value="maybe"))
    await handle.signal("answer_question", AnswerMessage(question_id=one, value="yes"))
    assert stack.value(await handle.result()) == "yes"


async def test_an_unanswered_question_follows_its_policy(stack: Stack, client: Client) -> None:
    source = (
        "a = skills.ask(text='one?', deadline_seconds=0.5, on_timeout='default', default=7)\n"
        "try:\n    skills.ask(text='two?', deadline_seconds=0.5)\n"
        "except SkillError as e:\n    result = [a, e.type]"
    )
    assert stack.value(await stack.run(client, source)) == [7, "QuestionExpired"]


async def test_questions_among_running_calls_answered_at_random(stack: Stack, client: Client) -> None:
    source = (
        "import asyncio\n"
        "async def chain(k):\n    for i in range(6): await skills.echo(i=i, tag=str(k), ms=60)\n"
        "asked = [skills.ask(text=f'q{i}') for i in range(3)]\n"
        "result = (await asyncio.gather(*asked, *[chain(k) for k in range(3)]))[:3]"
    )
    handle = await stack.start(client, source)
    for i in random.Random(3).sample(range(3), 3):
        await answer(handle, await question(handle, f"q{i}"), f"a{i}")
    assert stack.value(await handle.result()) == ["a0", "a1", "a2"]
    begins = stack.begins(handle)
    assert len(begins) == 18 and set(begins.values()) == {1}


async def test_a_mended_program_repeats_no_finished_call(stack: Stack, client: Client) -> None:
    broken = "total = 0\nfor i in range(20):\n    total += skills.echo(i=i)['i']\n    if i == 15: raise RuntimeError('oops')\nresult = total"
    handle = await stack.start(client, broken, on_error="ask")
    one = await question(handle, "RuntimeError: oops")
    await answer(handle, one, broken.replace("    if i == 15: raise RuntimeError('oops')\n", ""))
    result = await handle.result()
    assert stack.value(result) == sum(range(20))
    assert (result.version, result.repairs, result.calls) == (2, 1, 20)
    begins = stack.begins(handle)
    assert len(begins) == 20 and set(begins.values()) == {1}


async def test_a_mended_program_asks_again_for_errors_only(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "a = skills.echo(i=1)\nb = skills.boom(i=2)", on_error="ask")
    mended = "a = skills.echo(i=1)\ntry:\n    skills.boom(i=2)\nexcept SkillError: result = 'caught'"
    await answer(handle, await question(handle, "boom 2"), mended)
    assert stack.value(await handle.result()) == "caught"
    assert sorted(stack.begins(handle).values()) == [1, 2]


async def test_a_program_that_is_never_mended_ends_in_error_with_its_line(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "1/0", on_error="ask", limits={"max_repairs": 2})
    for n in (1, 2):
        await until(lambda n=n: _is_open(handle, f"repair.{n}"))
        await answer(handle, f"repair.{n}", f"x = {n}\n1/0")
    with pytest.raises(Exception, match="failed") as caught:
        await handle.result()
    assert "line 2" in str(caught.value.cause)  # type: ignore[attr-defined]


async def _is_open(handle: Handle, one: str) -> bool:
    return any(asked.id == one and asked.state == "open" for asked in (await progress(handle)).questions)


ORDERED = """
import asyncio, random, uuid, time, datetime
log = []
async def one(i):
    return (await skills.echo(i=i, ms=random.randint(1, 60)))['i']
for done in asyncio.as_completed([one(i) for i in range(5)]):
    i = await done
    log.append(i)
    await skills.echo(i=100 + i, tag=str(len(log)))
try:
    await asyncio.wait_for(skills.ask(text='anyone?'), 0.25)
except TimeoutError:
    log.append('gave up')
log.append(random.random())
log.append(str(uuid.uuid4()))
log.append(round(time.time(), 6))
await skills.echo(i=200, tag=repr(log))
log.append(datetime.datetime.now().isoformat())
await skills.ask(text='final?')
result = log
"""


async def test_a_re_run_branches_as_the_first_run_did(stack: Stack, client: Client) -> None:
    """Completion order, chance, clock and an abandoned question, after a suspension that re-runs from line one."""
    handle = await stack.start(client, ORDERED)
    one = await question(handle, "final")
    await suspended(handle)
    before = stack.begins(handle)
    await answer(handle, one, "go")
    result = await handle.result()
    assert stack.begins(handle) == before
    assert set(before.values()) == {1} and len(before) == 11
    value = stack.value(result)
    assert sorted(value[:5]) == [0, 1, 2, 3, 4] and value[5] == "gave up"


async def test_a_slow_call_is_waited_for_without_a_box(stack: Stack, client: Client) -> None:
    source = (
        "import asyncio\nresult = [x['i'] for x in await asyncio.gather(skills.echo(i=1, ms=2500), skills.echo(i=2))]"
    )
    handle = await stack.start(client, source, tuning={"slow_after_seconds": 0.6})
    await suspended(handle)
    assert stack.value(await handle.result()) == [1, 2]
    assert set(stack.begins(handle).values()) == {1}


async def test_a_parked_timer_has_its_deadline(stack: Stack, client: Client) -> None:
    source = (
        "import asyncio\n"
        "try:\n    await asyncio.wait_for(skills.ask(text='anyone?'), 2)\n"
        "except TimeoutError:\n    result = 'gave up'"
    )
    handle = await stack.start(client, source, tuning={"slow_after_seconds": 0.5})
    await suspended(handle)
    assert stack.value(await asyncio.wait_for(handle.result(), 15)) == "gave up"


SHAPES = {
    "sequential": "t = 0\nfor i in range(40): t += skills.echo(i=i)['i']\nresult = t",
    "gathers": (
        "import asyncio\nt = 0\nfor k in range(8):\n"
        "    t += sum(x['i'] for x in await asyncio.gather(*[skills.echo(i=k * 10 + j) for j in range(10)]))\nresult = t"
    ),
    "unequal chains": (
        "import asyncio\nasync def chain(k):\n    return sum([(await skills.echo(i=i, tag=str(k), ms=k * 9))['i'] for i in range(10)])\n"
        "result = sum(await asyncio.gather(*[chain(k) for k in range(10)]))"
    ),
}
TOTALS = {"sequential": (40, sum(range(40))), "gathers": (80, sum(range(80))), "unequal chains": (100, 450)}


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_call_happens_once_over_continue_as_new(stack: Stack, client: Client, shape: str) -> None:
    handle = await stack.start(client, SHAPES[shape], tuning={"bound_events": 120})
    calls, total = TOTALS[shape]
    result = await asyncio.wait_for(handle.result(), 50)
    assert stack.value(result) == total
    assert result.runs >= 3
    begins = stack.begins(handle)
    assert len(begins) == calls and set(begins.values()) == {1}
    scheduled = await stack.scheduled(client, handle)
    assert len(scheduled) == calls and set(scheduled.values()) == {1}


async def test_a_question_survives_continue_as_new(stack: Stack, client: Client) -> None:
    source = (
        "import asyncio\nasync def work():\n    for i in range(30): await skills.echo(i=i)\n"
        "result = (await asyncio.gather(skills.ask(text='through?'), work()))[0]"
    )
    handle = await stack.start(client, source, tuning={"bound_events": 100})
    await suspended(handle)
    seen = await progress(handle)
    assert seen.runs >= 2
    await answer(handle, await question(handle, "through"), "all along")
    assert stack.value(await handle.result()) == "all along"
    assert set(stack.begins(handle).values()) == {1}
