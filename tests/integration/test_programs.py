"""Programs against a real server, a real box and real skills: what they may look like, and how they end."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.support.stack import Stack, progress, until


async def failure(stack: Stack, client: Client, source: str, **fields: Any) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await stack.run(client, source, **fields)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


FORMS = {
    "result": ("result = 6 * 7", 42),
    "printed": ("print('forty-two')", "forty-two\n"),
    "blocking calls": ("result = skills.echo(i=1)['i'] + skills.echo(i=2)['i']", 3),
    "top-level await": (
        "import asyncio\nresult = sum(x['i'] for x in await asyncio.gather(skills.echo(i=1), skills.echo(i=2)))",
        3,
    ),
    "main and asyncio.run": (
        "import asyncio\nasync def main():\n    return (await skills.echo(i=4))['i']\nasyncio.run(main())",
        4,
    ),
    "main under a guard": (
        "async def main():\n    return (await skills.echo(i=5))['i']\nif __name__ == '__main__':\n    import asyncio\n    asyncio.run(main())",
        5,
    ),
    "main alone": ("async def main():\n    return (await skills.echo(i=6))['i']", 6),
    "blocking main": ("def main():\n    return skills.echo(i=7)['i']\nmain()", 7),
    "both": (
        "import asyncio\nx = await skills.echo(i=8)\nasync def main():\n    return x['i']\nasyncio.run(main())",
        8,
    ),
    "import skills": ("from skills import echo, SkillError\nresult = echo(i=9)['i']", 9),
    "create_task": ("import asyncio\nt = asyncio.create_task(skills.echo(i=10))\nresult = (await t)['i']", 10),
    "positional": ("result = skills.echo(11)['i']", 11),
    "executor": (
        "r = await executor.execute('echo', {'i': 12})\nresult = [r.success, r.output['i'], r.error, r.execution_time >= 0]",
        [True, 12, None, True],
    ),
    "executor batch": (
        "rs = await executor.execute_batch([{'skill_name': 'echo', 'input_data': {'i': i}} for i in (3, 1, 2)])\nresult = [r.output['i'] for r in rs]",
        [3, 1, 2],
    ),
    "executor failure": (
        "r = await executor.execute('boom', {'i': 1})\nresult = [r.success, 'boom 1' in r.error]",
        [False, True],
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n    result = sorted(x['i'] for x in pool.map(lambda i: skills.echo(i=i), range(4)))",
        [0, 1, 2, 3],
    ),
    "to_thread": (
        "import asyncio\nresult = [await asyncio.to_thread(sum, [1, 2]), (await asyncio.to_thread(skills.echo, 3))['i']]",
        [3, 3],
    ),
    "task group": (
        "import asyncio\nasync with asyncio.TaskGroup() as g:\n    a = g.create_task(skills.echo(i=1))\n    b = g.create_task(skills.echo(i=2))\nresult = a.result()['i'] + b.result()['i']",
        3,
    ),
    "spinning": (
        "import asyncio\nt = asyncio.create_task(skills.echo(i=1, ms=30))\nwhile not t.done():\n    await asyncio.sleep(0)\nresult = t.result()['i']",
        1,
    ),
    "inputs": ("result = inputs['who']", "Ada"),
    "big integers": ("result = skills.echo(i=2**60)['i']", 2**60),
}


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_program_gives_its_result(stack: Stack, client: Client, form: str) -> None:
    source, expected = FORMS[form]
    result = await stack.run(client, source, inputs={"who": "Ada"})
    assert stack.value(result) == expected


FAULTS = {
    "syntax error": ("x = (", "SyntaxError", "line 1"),
    "exception": ("def f():\n    raise ValueError('no')\nf()", "ValueError", "line 2, in f: raise ValueError('no')"),
    "not JSON": ("result = {1, 2}", "ResultNotJson", "set"),
    "NaN": ("result = float('nan')", "ResultNotJson", "Out of range"),
    "cyclic": ("x = []\nx.append(x)\nresult = x", "ResultNotJson", "ircular"),
    "huge": ("result = 'x' * 5_000_000", "ResultTooLarge", "5000002 bytes"),
    "deep": ("x = []\nfor _ in range(500): x = [x]\nresult = x", "ResultNotJson", "deep"),
    "unknown skill": ("skills.web_serch(q='x')", "SkillError", "web_serch"),
    "wrong argument name": ("skills.echo(j=1)", "SkillError", "'j'"),
    "wrong argument type": ("skills.echo(i='one')", "SkillError", "'one'"),
    "argument not JSON": ("skills.echo(i=object())", "TypeError", "not JSON"),
    "own exit": ("import os\nos._exit(3)", "ProgramExited", "code 3"),
    "sys.exit": ("import sys\nsys.exit('bad')", "SystemExit", "bad"),
    "task group": (
        "import asyncio\nasync with asyncio.TaskGroup() as g:\n    g.create_task(skills.boom(i=1))",
        "ExceptionGroup",
        "boom 1",
    ),
    "memory": ("x = []\nwhile True: x.append(bytearray(10_000_000))", "MemoryError", "MemoryError"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_of_a_program_is_told_with_its_cause(stack: Stack, client: Client, fault: str) -> None:
    source, kind, text = FAULTS[fault]
    error = await failure(stack, client, source)
    assert error.type == kind
    assert text in error.message


async def test_an_endless_loop_is_stopped_at_its_limit_and_named_timeout(stack: Stack, client: Client) -> None:
    error = await failure(stack, client, "while True: pass", limits={"run_seconds": 1})
    assert error.type == "ProgramTimeout"
    assert "1 s of its own time" in error.message


async def test_an_endless_loop_behind_a_timer_is_stopped_too(stack: Stack, client: Client) -> None:
    source = "import asyncio, time\nawait asyncio.sleep(0.2)\nwhile True: time.sleep(0.01)"
    error = await failure(stack, client, source, limits={"run_seconds": 1})
    assert error.type == "ProgramTimeout"


async def test_a_box_that_dies_three_times_at_one_point_is_a_result(stack: Stack, client: Client) -> None:
    error = await failure(stack, client, "skills.noop(i=1)\nimport ctypes\nctypes.string_at(0)")
    assert error.type == "BoxLost"
    assert "3 times in a row" in error.message


async def test_waiting_for_a_skill_is_not_running_time(stack: Stack, client: Client) -> None:
    result = await stack.run(client, "result = skills.echo(i=1, ms=1500)['i']", limits={"run_seconds": 1})
    assert stack.value(result) == 1


async def test_an_output_flood_is_stopped(stack: Stack, client: Client) -> None:
    error = await failure(stack, client, "while True: print('x' * 1000)", limits={"output_bytes": 100_000})
    assert error.type == "OutputLimit"


async def test_a_skill_outside_the_grant_is_refused(stack: Stack, client: Client) -> None:
    error = await failure(stack, client, "skills.boom(i=1)", skills=["echo"])
    assert "not granted" in error.message and "echo" in error.message


async def test_a_3_mb_answer_round_trips(stack: Stack, client: Client) -> None:
    result = await stack.run(client, "result = len(skills.big(i=1, size=3_000_000))")
    assert stack.value(result) == 3_000_000


async def test_a_failing_skill_is_retried_and_its_attempts_are_counted(stack: Stack, client: Client) -> None:
    result = await stack.run(client, "result = skills.flaky(i=1)['attempt']")
    assert stack.value(result) == 3


async def test_wrong_arguments_are_tried_once(stack: Stack, client: Client) -> None:
    handle = await stack.start(
        client, "try:\n    skills.echo(i='one')\nexcept SkillError as e:\n    result = [e.type, e.skill]"
    )
    assert (await handle.result()).value is not None
    attempts = [
        event.activity_task_started_event_attributes.attempt
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_failed_event_attributes")
        or event.HasField("activity_task_started_event_attributes")
    ]
    assert max(attempts) == 1


async def test_the_box_sees_no_secret_of_the_worker(stack: Stack, client: Client) -> None:
    source = "import os\nresult = dict(os.environ)"
    environment = stack.value(await stack.run(client, source))
    assert "TRACE_ID" in environment
    assert not {name for name in environment if "KEY" in name or "TEMPORAL" in name}


async def test_a_call_that_was_given_up_does_not_hold_the_end(stack: Stack, client: Client) -> None:
    source = (
        "import asyncio\n"
        "try:\n    await asyncio.wait_for(skills.ask(text='anyone?'), 0.2)\n"
        "except TimeoutError:\n    result = 'gave up'"
    )
    handle = await stack.start(client, source)
    assert stack.value(await handle.result()) == "gave up"
    questions = (await progress(handle)).questions
    assert [question.state for question in questions] == ["withdrawn"]


async def test_a_program_that_awaits_nothing_ends_and_its_calls_are_drained(stack: Stack, client: Client) -> None:
    source = (
        "import asyncio\nt = asyncio.create_task(skills.echo(i=1, ms=300))\nawait asyncio.sleep(0.05)\nresult = 'left'"
    )
    handle = await stack.start(client, source)
    assert stack.value(await handle.result()) == "left"
    assert stack.begins(handle) == stack.ends(handle)


async def test_a_long_sleep_costs_no_box(stack: Stack, client: Client) -> None:
    source = "import time\nt = time.time()\ntime.sleep(2)\nresult = round(time.time() - t, 1)"
    handle = await stack.start(client, source, tuning={"slow_after_seconds": 1.0})
    await until(lambda: _parked(handle))
    # A dev server fires a timer up to a second late.
    assert 2.0 <= stack.value(await handle.result()) <= 3.5


async def _parked(handle: Any) -> bool:
    seen = await progress(handle)
    return seen.state == "WAITING" and not seen.box


async def test_cancel_reaches_the_box_and_withdraws_the_question(stack: Stack, client: Client) -> None:
    source = "import asyncio\nawait asyncio.gather(skills.ask(text='?'), skills.echo(i=1, ms=8000))"
    handle = await stack.start(client, source)
    await until(lambda: _asks(handle))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(handle.result(), 15)
    seen = await progress(handle)
    assert seen.state == "CANCELLED"
    assert [question.state for question in seen.questions] == ["withdrawn"]
    await until(lambda: not stack.boxes(), 5)


async def test_cancel_stops_a_busy_program(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "skills.echo(i=1)\nwhile True: pass", limits={"run_seconds": 60})
    await until(lambda: _done_one(handle))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(handle.result(), 15)
    await until(lambda: not stack.boxes(), 5)


async def test_a_task_over_its_time_is_timed_out(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "skills.ask(text='ever?')", limits={"task_seconds": 1.5})
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(handle.result(), 20)
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "TaskTimeout"
    assert (await progress(handle)).state == "TIMED_OUT"


async def _asks(handle: Any) -> bool:
    seen = await progress(handle)
    return bool(seen.questions) and seen.calls_open == 2


async def _done_one(handle: Any) -> bool:
    return bool((await progress(handle)).calls_done)
