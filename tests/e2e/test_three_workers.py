"""Three workers on one machine share two hundred tasks, and one of them is killed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.api import Api
from tests.support.outside import Doors, Run, begun_again, runs
from tests.support.stack import Stack, until

TASKS = 200

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Api]]:
    stack = Stack(tmp_path_factory.mktemp("three"))
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
    try:
        stack.start_server()
        for worker in [stack.start_worker() for _ in range(3)]:
            worker.wait_up(120)
        yield stack, api.start(120)
    finally:
        api.close()
        stack.close()


def test_two_hundred_tasks_outlive_one_of_three_workers_and_no_finished_effect_comes_twice(
    house: tuple[Stack, Api], say: Callable[[str], None]
) -> None:
    stack, api = house
    assert {int(worker["id"].split(":")[1]) for worker in api.get("/workers")} == {one.pid for one in stack.workers}
    doors = Doors([f"http://127.0.0.1:{api.port}"])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(doors.submit, f"three-{i}", "skill:echo", input={"i": i, "ms": 50}) for i in range(TASKS)]
        asyncio.run(until(lambda: len(stack.effects()) > TASKS // 2, 120))
        stack.workers[0].kill()
        task_ids = [one.result() for one in asked]
        ended = list(pool.map(doors.ended, task_ids))
    doors.close()
    assert [(task["state"], task["output"]["i"]) for task in ended] == [("DONE", i) for i in range(TASKS)]
    found = asyncio.run(_runs(stack, task_ids))
    by_task = {run.workflow_id.split("/")[1]: run for run in found}
    assert {tuple(run.scheduled.values()) for run in found} == {(1,)}
    assert [task for task in task_ids for _ in begun_again(stack, task, [by_task[task]])] == []
    begun = Counter(task for kind, task, *_ in stack.effects() if kind == "begin")
    pids = Counter(pid for run in found for pid in run.workers["skill.run"])
    assert set(pids) >= {one.pid for one in stack.workers[1:]}
    again = sum(count > 1 for count in begun.values())
    say(f"{TASKS} tasks done by {dict(pids)}; {again} calls were in flight when a worker was killed, and ran again")


async def _runs(stack: Stack, task_ids: list[str]) -> list[Run]:
    return await runs(await stack.client(), task_ids)
