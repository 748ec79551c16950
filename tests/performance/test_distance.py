"""How far a call of a program is from a bare update and activity: ratios in one run, on one server."""

import random
import statistics
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.performance.bare import QUEUE, Bare
from tests.support.stack import ROOT, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BLOCKS = 8
SHAPES = {
    "sequential": (40, 1, "for i in range(40): skills.noop(i=i)"),
    "gather of 10": (
        150,
        10,
        "import asyncio\nfor k in range(15):\n    await asyncio.gather(*[skills.noop(i=k * 10 + j) for j in range(10)])",
    ),
}


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    stack.start_server()
    stack.start_worker().wait_up()
    command = [sys.executable, str(ROOT / "tests" / "performance" / "bare.py"), f"127.0.0.1:{stack.port}"]
    bare = subprocess.Popen(command, stdout=subprocess.PIPE, env=stack.environment())
    try:
        assert bare.stdout is not None
        assert b"worker.up" in bare.stdout.readline()
        yield stack
    finally:
        bare.kill()
        bare.communicate()
        stack.close()


async def milliseconds(client: Client, workflow_id: str, calls: int) -> float:
    """From the first update's acceptance to the last one's completion, a call: read from the history itself."""
    first = last = None
    async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
            first = first or event.event_time.ToNanoseconds()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
            last = event.event_time.ToNanoseconds()
    assert first is not None and last is not None
    return (last - first) / 1e6 / calls


async def bare(client: Client, calls: int, batch: int) -> float:
    handle = await client.start_workflow(
        Bare.run, id=f"bare-{uuid.uuid4()}", task_queue=QUEUE, task_timeout=timedelta(seconds=4)
    )
    for start in range(0, calls, batch):
        await handle.execute_update(Bare.calls, list(range(start, start + batch)))
    await handle.signal(Bare.end)
    await handle.result()
    return await milliseconds(client, handle.id, calls)


async def engine(stack: Stack, client: Client, calls: int, source: str) -> float:
    handle = await stack.start(client, source)
    await handle.result()
    return await milliseconds(client, handle.id, calls)


def interval(ratios: list[float]) -> tuple[float, float]:
    """Bootstrap interval (95 %) of the median."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(2000))
    return medians[50], medians[1949]


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_is_at_most_half_again_as_slow_as_bare_temporal(
    measured: Stack, shape: str, say: Callable[[str], None]
) -> None:
    calls, batch, source = SHAPES[shape]
    client = await measured.client()
    pairs: list[tuple[float, float]] = []
    for block in range(-1, BLOCKS):
        pair = await bare(client, calls, batch), await engine(measured, client, calls, source)
        if block >= 0:
            pairs.append(pair)
    ratios = [ours / theirs for theirs, ours in pairs]
    low, high = interval(ratios)
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    say(
        f"bare {medians[0]:.1f} ms, engine {medians[1]:.1f} ms a call; ratio {statistics.median(ratios):.2f} [{low:.2f}, {high:.2f}]"
    )
    assert high <= 1.5
