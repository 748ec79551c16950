"""The guest's order of deliveries, its clock and its chance: a re-run sees what the first run saw."""

import asyncio
from typing import Any

import pytest

from tests.support.guest_host import NOW, Reply, Run, again, reversed_after, run, started

CONCURRENT = {
    "gather": "result = await asyncio.gather(*[skills.echo(i) for i in range(4)])",
    "as_completed": "result = [await each for each in asyncio.as_completed([skills.echo(i) for i in range(4)])]",
    "create_task": (
        "log = []\nasync def one(i):\n    log.append(await skills.echo(i))\n    log.append(await skills.echo(10 + i))\n"
        "tasks = [asyncio.create_task(one(i)) for i in range(4)]\nawait asyncio.wait(tasks)\nresult = log"
    ),
    "task group": (
        "log = []\nasync def one(i): log.append(await skills.echo(i))\n"
        "async with asyncio.TaskGroup() as group:\n    for i in range(4): group.create_task(one(i))\nresult = log"
    ),
    "semaphore": (
        "log, gate = [], asyncio.Semaphore(2)\nasync def one(i):\n    async with gate: log.append(await skills.echo(i))\n"
        "await asyncio.gather(*[one(i) for i in range(5)])\nresult = log"
    ),
    "queue": (
        "log, work = [], asyncio.Queue()\n"
        "async def worker():\n    while True:\n        log.append(await skills.echo(await work.get())); work.task_done()\n"
        "workers = [asyncio.create_task(worker()) for _ in range(3)]\nfor i in range(7): work.put_nowait(i)\n"
        "await work.join()\nfor each in workers: each.cancel()\nresult = log"
    ),
    "first of two": (
        "tasks = [asyncio.create_task(skills.echo(i)) for i in range(3)]\n"
        "done, rest = await asyncio.wait(tasks, return_when='FIRST_COMPLETED')\nfor each in rest: each.cancel()\n"
        "result = [each.result() for each in done] + [await skills.echo(9)]"
    ),
    "wait_for": (
        "async def one(i):\n    try:\n        return await asyncio.wait_for(skills.ask(i) if i % 2 else skills.echo(i), 0.05 + i / 100)\n"
        "    except TimeoutError:\n        return 'gave up'\nresult = await asyncio.gather(*[one(i) for i in range(4)])"
    ),
    "old loop": "loop = asyncio.get_event_loop()\nasync def f(): return await asyncio.gather(*[skills.echo(i) for i in range(3)])\nresult = loop.run_until_complete(f())",
}


def at_once(call: Any) -> Reply | None:
    return None if call.skill == "ask" else Reply(call.args[0], at=100 - call.nth)


@pytest.mark.parametrize("form", CONCURRENT)
async def test_a_re_run_plays_the_order_of_the_first_whatever_order_the_host_answers_in(form: str) -> None:
    source = "import asyncio, time\n" + CONCURRENT[form] + "\nresult = [result, time.time()]"
    first = await run(source, lambda call: None if call.skill == "ask" else reversed_after(4)(call))
    second = await again(source, first, at_once)
    assert (second.result[0], second.seen) == (first.result[0], []), "what is replayed is not told again"
    assert second.asked == first.asked
    assert sorted(second.drops) == sorted(first.drops)


async def test_deliveries_come_one_at_a_time_in_the_order_that_is_told() -> None:
    """Each answer's own consequence (the next call) is asked before the next answer is handed out."""
    source = (
        "import asyncio\nlog = []\nasync def one(i):\n    log.append(await skills.echo(i))\n    log.append(await skills.echo(10 + i))\n"
        "await asyncio.gather(*[one(i) for i in range(3)])\nresult = log"
    )
    first = await run(source, lambda call: Reply(call.args[0], at=1))
    numbers = {number: args[0] for number, _, args, _ in first.asked}
    assert [numbers[one] for one in first.seen] == first.result


async def test_a_re_run_goes_live_behind_the_end_of_the_script() -> None:
    source = (
        "import asyncio\nresult = [await each for each in asyncio.as_completed([skills.echo(i) for i in range(4)])]"
    )
    first = await run(source, reversed_after(4))
    assert first.result == [3, 2, 1, 0]
    half = await run(source, lambda call: Reply(call.args[0], after=call.nth / 50), resumed=True, seen=first.seen[:2])
    assert half.result == [3, 2, 0, 1]


async def test_where_tasks_lie_in_memory_orders_neither_calls_nor_what_is_done() -> None:
    source = (
        "import asyncio\ntasks = [asyncio.ensure_future(skills.echo(i)) for i in range(20)]\n"
        "hole = [bytearray(100 + i) for i in range(1000)][::3]\n"
        "done, pending = await asyncio.wait([*tasks, *tasks])\nfirst = done.pop()\n"
        "result = [first.result(), *(one.result() for one in done), len(pending), first in done]\n"
        "last = [await one for one in asyncio.as_completed([skills.echo(i) for i in range(20, 40)])]"
    )
    done = await run(source)
    assert done.result == [*range(20), 0, False]
    assert [args[0] for _, _, args, _ in done.asked] == [*range(40)]


async def test_a_script_that_no_longer_fits_ends_instead_of_blocking() -> None:
    for seen in ([5, 0], [-1, 0], [0, 0, 0, 1], [99]):
        again = await run("result = [await skills.echo(i) for i in range(3)]", resumed=True, seen=seen)
        assert again.result == [0, 1, 2], seen


async def test_calls_of_a_thread_keep_a_re_run_going() -> None:
    source = "import asyncio\nresult = sorted(await asyncio.gather(asyncio.to_thread(skills.echo, 1), skills.echo(2), asyncio.to_thread(skills.echo, 3)))"
    first = await run(source)
    assert first.result == [1, 2, 3]
    for seen in (first.seen, first.seen[::-1], [2, 1]):
        assert (await run(source, resumed=True, seen=seen)).result == [1, 2, 3]


async def test_a_call_that_was_given_up_is_told_and_its_late_answer_ignored() -> None:
    source = (
        "import asyncio\ntry:\n    await asyncio.wait_for(skills.echo(1, ms=80), 0.03)\n"
        "except TimeoutError:\n    result = ['gave up', await skills.echo(2, ms=150)]"
    )
    first = await run(source)
    assert first.result == ["gave up", 2]
    assert (first.drops, first.seen) == ([0], [-1, 1])


async def test_a_cancelled_task_gives_up_its_call() -> None:
    source = "import asyncio\nt = asyncio.create_task(skills.ask())\nawait asyncio.sleep(0)\nt.cancel()\nresult = await skills.echo(1)"
    assert (await run(source)).drops == [0]


async def test_a_closed_loop_gives_up_its_calls_and_the_next_loop_works() -> None:
    source = (
        "import asyncio\nloop = asyncio.new_event_loop()\nasync def f():\n    asyncio.ensure_future(skills.echo(1, ms=30))\n    await asyncio.sleep(0)\n"
        "loop.run_until_complete(f())\nloop.close()\nasync def g(): return await skills.echo(2, ms=90)\nresult = asyncio.run(g())"
    )
    done = await run(source)
    assert (done.result, done.drops) == (2, [0])


async def test_recorded_timers_replay_in_their_place_and_take_no_real_time() -> None:
    source = (
        "import asyncio, time\nbegan = time.time()\nlog = []\n"
        "async def tick():\n    for i in range(5):\n        await asyncio.sleep(0.2)\n        log.append(i)\n"
        "async def ask():\n    log.append(await skills.echo('a', ms=300, at=0.3))\n"
        "await asyncio.gather(tick(), ask())\nresult = [log, round(time.time() - began, 3)]"
    )
    first = await run(source)
    assert first.result[0] == [0, "a", 1, 2, 3, 4]
    assert first.result[1] == pytest.approx(1.0, abs=0.01)
    second = await again(source, first, lambda call: Reply("a", at=0.3))
    assert second.result == first.result
    assert second.seconds < 0.7 < 1.0 < first.seconds


async def test_an_answer_that_came_in_time_beats_a_timer_that_ended_while_there_was_no_box() -> None:
    source = "import asyncio\ntry:\n    result = await asyncio.wait_for(skills.echo(1), 60)\nexcept TimeoutError:\n    result = 'gave up'"
    in_time = await run(source, lambda call: Reply("here", after=0.03, at=50), resumed=True, live_now=NOW + 7200)
    assert in_time.result == "here"
    late = await run(source, lambda call: Reply("here", after=0.03, at=70), resumed=True, live_now=NOW + 7200)
    assert late.result == "gave up"
    silent = await run(source, lambda call: None, resumed=True, live_now=NOW + 7200)
    assert silent.result == "gave up" and silent.seconds < 2


async def test_a_loop_that_spins_gets_its_answer() -> None:
    source = "import asyncio\nt = asyncio.create_task(skills.echo(1, ms=30))\nwhile not t.done():\n    await asyncio.sleep(0)\nresult = t.result()"
    first = await run(source)
    assert first.result == 1
    second = await again(source, first)
    assert (second.result, second.seen) == (1, [])


# -- clock


CLOCKS = (
    "import time, datetime\ndef look():\n"
    "    return [time.time(), time.time_ns(), time.monotonic(), time.perf_counter(), time.process_time(), time.ctime(), time.strftime('%c'),\n"
    "            list(time.localtime()), list(time.gmtime()), time.asctime(), time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_REALTIME),\n"
    "            str(datetime.datetime.now()), str(datetime.datetime.utcnow()), str(datetime.date.today()), str(datetime.datetime.now(datetime.UTC))]\n"
)


async def test_every_clock_tells_the_same_on_a_re_run() -> None:
    source = CLOCKS + "a = look()\nskills.echo(1)\nb = look()\ntime.sleep(0.05)\nresult = [a, b, look()]"
    first = await run(source)
    second = await again(source, first)
    assert second.result == first.result
    assert first.result[0] != first.result[1] != first.result[2]


async def test_the_clock_moves_to_an_answers_time_and_never_back() -> None:
    source = "import time\na = time.time()\nskills.echo(1, at=86400)\nb = time.time()\nskills.echo(2, at=5)\nresult = [a, b, time.time()]"
    a, b, c = (await run(source)).result
    assert a == pytest.approx(NOW, abs=0.1)
    assert b == pytest.approx(NOW + 86400, abs=0.1) and b < c < b + 0.1


@pytest.mark.parametrize("form", ["time.sleep({})", "await asyncio.sleep({})"])
async def test_short_sleeps_pass_time_and_long_ones_are_calls(form: str) -> None:
    program = "import time, asyncio\nbegan = time.time()\n" + form + "\nresult = time.time() - began"
    short = await run(program.format(0.2))
    assert short.result == pytest.approx(0.2, abs=0.01) and not short.asked
    long = await run(program.format(3600), lambda call: Reply(at=3600))
    assert long.result == pytest.approx(3600, abs=0.1)
    assert long.asked == [(0, "sleep", [], {"seconds": 3600})]


async def test_sleeps_refuse_what_cpython_refuses() -> None:
    source = "import time\nlog = []\nfor s in (-1, float('inf'), float('nan'), 'x', None):\n    try: time.sleep(s)\n    except Exception as e: log.append(type(e).__name__)\nresult = log"
    assert (await run(source)).result == ["ValueError", "OverflowError", "ValueError", "TypeError", "TypeError"]


async def test_sleeping_for_ever_in_the_loop_is_no_error() -> None:
    source = "import asyncio\nt = asyncio.create_task(asyncio.sleep(float('inf')))\nresult = await skills.echo(1)\nt.cancel()"
    assert (await run(source)).result == 1


PLAIN = """
import copy, datetime, json, pickle
d = datetime.datetime(2020, 1, 2, 3, 4, 5)
class Mine(datetime.datetime): pass
result = [
    repr(d), str(d), repr(d + datetime.timedelta(days=1)), repr(d - datetime.datetime(2020, 1, 1)), repr(Mine(2020, 1, 1)),
    repr(datetime.datetime.strptime('2020-02-03', '%Y-%m-%d')), repr(datetime.datetime.fromisoformat('2020-02-03T04:05')),
    repr(datetime.datetime.min), repr(datetime.datetime.max), repr(datetime.datetime.combine(d.date(), d.time())),
    repr(pickle.loads(pickle.dumps(d))), repr(copy.deepcopy(d)), repr(pickle.loads(pickle.dumps(datetime.datetime.min))),
    isinstance(d, datetime.datetime), isinstance(d, datetime.date), isinstance(d, Mine), isinstance(d.date(), datetime.datetime),
    type(d) is datetime.datetime, issubclass(datetime.datetime, datetime.date), datetime.datetime.__name__, type(d).__module__,
    d == datetime.datetime(2020, 1, 2, 3, 4, 5), hash(d) == hash(copy.copy(d)), d.strftime('%A'), d.isoformat(), repr(d.replace(tzinfo=datetime.UTC).astimezone()),
    json.dumps({'at': d}, default=str), repr(datetime.datetime.fromtimestamp(0, datetime.UTC)), f'{d:%Y}', repr(max(d, datetime.datetime.max)),
]
"""


async def test_datetime_is_as_in_plain_cpython() -> None:
    plain: dict[str, Any] = {"__name__": "__main__"}
    here = "import sys, types\nsys.modules['__main__'] = types.ModuleType('__main__')\n" + PLAIN
    process = await asyncio.create_subprocess_exec(
        *("/usr/bin/env", "TZ=UTC", "python3", "-c", here + "\nprint(json.dumps(result))"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    import json

    plain["result"] = json.loads(out)
    assert (await run(PLAIN)).result == plain["result"]
    now = "import datetime\nn = datetime.datetime.now()\nresult = [isinstance(n, datetime.datetime), type(n) is datetime.datetime]"
    assert (await run(now)).result == [True, True]


# -- chance


CHANCE = (
    "import os, pickle, random, secrets, uuid, tempfile\nrandom.shuffle(x := list(range(9)))\n"
    "result = [random.random(), random.Random().random(), random.SystemRandom().random(), str(uuid.uuid4()), str(uuid.uuid1()), x,\n"
    "    os.urandom(4).hex(), os.getrandom(4).hex(), secrets.token_hex(8), secrets.choice('abcdefgh'), random.seed(), random.random(),\n"
    "    isinstance(random.SystemRandom(), random.Random), pickle.loads(pickle.dumps(random.Random())).random()]"
)


async def test_chance_is_a_function_of_the_seed() -> None:
    first, same, other = await run(CHANCE), await run(CHANCE), await run(CHANCE, seed=8)
    assert first.result == same.result
    differing = [a != b for a, b in zip(first.result, other.result, strict=True)]
    assert [i for i, differs in enumerate(differing) if not differs] in ([10, 12], [9, 10, 12])


async def test_a_seeded_sequence_is_cpythons_own() -> None:
    import random

    random.seed(5)
    expected = [random.random(), random.randint(1, 99), random.Random(3).random()]
    source = (
        "import random\nrandom.seed(5)\nresult = [random.random(), random.randint(1, 99), random.Random(3).random()]"
    )
    assert (await run(source)).result == expected


# -- threads and idleness


async def test_idle_is_told_when_all_threads_wait_for_calls() -> None:
    source = (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(3) as pool:\n"
        "    result = sorted(pool.map(lambda i: skills.echo(i, ms=1500), range(3)))"
    )
    async with started(source) as host, asyncio.timeout(1.4):
        await host.until(lambda run: len(run.calls) == 3 and bool(run.idles))


async def test_a_thread_that_computes_is_not_idleness() -> None:
    source = (
        "import asyncio\ndef work():\n    return sum(i for i in range(30_000_000)) and 1\n"
        "result = await asyncio.gather(asyncio.to_thread(work), skills.echo(1, ms=600))"
    )
    done: Run = await run(source)
    assert done.result == [1, 1] and not done.idles


async def test_idle_tells_the_next_timer() -> None:
    source = "import asyncio\ntry:\n    await asyncio.wait_for(skills.ask(), 0.3)\nexcept TimeoutError: result = 1"
    idle = (await run(source)).idles[0]
    assert idle["timer"] == pytest.approx(0.3, abs=0.05) and idle["got"] == 0


async def test_a_blocking_call_is_idleness() -> None:
    assert [frame["timer"] for frame in (await run("result = skills.echo(1)")).idles] == [None]


async def test_loops_in_two_threads_get_their_own_answers() -> None:
    source = (
        "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\nasync def f(k):\n    return [await skills.echo(k + i, ms=3 * i) for i in range(8)]\n"
        "with ThreadPoolExecutor(2) as pool:\n    result = list(pool.map(lambda k: asyncio.run(f(k)), (0, 100)))"
    )
    assert (await run(source)).result == [list(range(8)), list(range(100, 108))]


async def test_a_queue_wait_with_a_timeout_ends_on_real_time() -> None:
    source = "import queue\ntry: queue.Queue().get(timeout=0.1)\nexcept queue.Empty: result = 'empty'"
    assert (await run(source)).result == "empty"


async def test_futures_of_threads_time_out() -> None:
    source = (
        "import threading\nfrom concurrent.futures import ThreadPoolExecutor, as_completed\ngate = threading.Event()\n"
        "with ThreadPoolExecutor(1) as pool:\n    try: list(as_completed([pool.submit(gate.wait)], timeout=0.1))\n    except TimeoutError: result = 'late'\n    gate.set()"
    )
    assert (await run(source)).result == "late"


async def test_threads_run_to_their_end_as_at_the_end_of_any_script() -> None:
    source = (
        "import threading\nresult = []\nthreading.Thread(target=lambda: result.append(skills.echo(1, ms=50))).start()"
    )
    assert (await run(source)).result == [1]


async def test_waiting_for_nothing_is_told_instead_of_waiting_for_ever() -> None:
    kind, message = (await run("import asyncio\nawait asyncio.Event().wait()")).error
    assert kind == "RuntimeError" and "waits for ever" in message


async def test_more_calls_than_fit_one_frame_are_sent_in_several() -> None:
    source = "import asyncio\nresult = await asyncio.gather(*[skills.size('x' * 300_000) for _ in range(30)])"
    done = await run(source, lambda call: Reply(len(call.args[0])))
    assert done.result == [300_000] * 30


async def test_thousands_of_small_calls_at_once_are_sent_in_seconds() -> None:
    source = (
        "import asyncio\nresult = sum(await asyncio.gather(*[skills.echo(1, pad='x' * 500) for _ in range(12_000)]))"
    )
    done = await run(source)
    assert done.result == 12_000 and len(done.of("calls")[0]["calls"]) > 1000
    assert done.seconds < 15


async def test_the_end_of_a_thread_is_not_taken_for_waiting_for_ever() -> None:
    source = "import asyncio\nfor _ in range(200): asyncio.run(asyncio.to_thread(len, []))\nresult = 1"
    assert (await run(source)).result == 1


async def test_large_frames_both_ways_at_once_do_not_lock_up() -> None:
    """A host that answers before it reads on: the guest must read while it writes."""
    source = "import asyncio\nt = [asyncio.create_task(skills.echo(1))]\nawait asyncio.sleep(0.05)\nresult = await asyncio.gather(*t, skills.echo('x' * 4_000_000))"
    async with started(source, lambda call: None) as host:
        await host.until(lambda run: len(run.calls) == 1)
        await asyncio.sleep(0.2)
        for _ in range(3):
            await host.send({"t": "answers", "answers": [[77, NOW, True, "y" * 2_000_000]]})
        await host.until(lambda run: len(run.calls) == 2)
        await host.send({"t": "answers", "answers": [[0, NOW, True, 1], [1, NOW, True, 2]]})
        await host.until(lambda run: run.last["t"] == "done")
        assert host.run.result == [1, 2]
