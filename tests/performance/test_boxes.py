"""What a box costs, as ratios to `python3 -I -c pass` on the same Python, taken in turns in one run."""

import asyncio
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from sandbox import interpreter
from sandbox.base import BoxLimits, BoxSpec
from sandbox.local_box import LocalBox
from sandbox.lockdown import lockdown
from sandbox.pool import Pool
from sandbox.procs import tree
from tests.support.boxes import ADAPTER
from tests.support.guest_host import GUEST, JOB
from tests.support.pools import SPEC as SMALL
from tests.support.pools import is_warm, pool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BLOCKS = 25
SPEC = BoxSpec(name="measured", guest=GUEST)


async def bare(python: str) -> None:
    process = await asyncio.create_subprocess_exec(python, "-I", "-c", "pass")
    await process.wait()


async def whole_run(boxes: Pool) -> None:
    """From asking for a box until nothing of it is left."""
    async with boxes.session(SPEC) as session:
        await session.channel.send({**JOB, "source": "result = 1", **lockdown(BoxLimits())})
        frame = await session.channel.receive()
        while frame is not None and frame["t"] != "done":
            frame = await session.channel.receive()
        assert frame is not None and frame["result"] == 1


async def milliseconds(work: Awaitable[object]) -> float:
    start = time.perf_counter()
    await work
    return (time.perf_counter() - start) * 1000


async def test_a_warm_run_costs_about_as_much_as_an_empty_python(say: Callable[[str], None]) -> None:
    python = (await interpreter.find(None, None)).path
    figures: dict[str, list[float]] = {"bare": [], "warm": [], "cold": [], "8 bare at once": [], "8 boxes at once": []}
    async with Pool(ADAPTER, SPEC, 10, warm=2) as warm, Pool(ADAPTER, SPEC, 10, warm=0) as cold:
        for block in range(-2, BLOCKS):
            await is_warm(warm, 2)
            row = {
                "bare": await milliseconds(bare(python)),
                "warm": await milliseconds(whole_run(warm)),
                "cold": await milliseconds(whole_run(cold)),
                "8 bare at once": await milliseconds(asyncio.gather(*(bare(python) for _ in range(8)))),
            }
            await is_warm(warm, 2)
            row["8 boxes at once"] = await milliseconds(asyncio.gather(*(whole_run(warm) for _ in range(8))))
            for name, value in row.items():
                figures[name] += [value] if block >= 0 else []
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ratio = statistics.median(ours / theirs for theirs, ours in zip(figures["bare"], figures["warm"], strict=True))
    told = ", ".join(f"{name} {value:.1f} ms ({value / medians['bare']:.2f} x)" for name, value in medians.items())
    say(f"{told}; warm / bare in pairs {ratio:.2f}")
    assert ratio <= 1.5


async def test_an_idle_box_is_small(say: Callable[[str], None]) -> None:
    async with Pool(ADAPTER, SPEC, warm=2) as boxes:
        await is_warm(boxes, 2)
        before = time.process_time()
        await asyncio.sleep(2)
        processor = (time.process_time() - before) / 2
        boxes_mb = [_proportional_mb(cast(LocalBox, idle.session.box)) for idle in boxes._idle]
    say(f"PSS {', '.join(f'{size:.1f}' for size in boxes_mb)} MB; worker {processor:.2%} of a core for two idle boxes")
    assert max(boxes_mb) < 20
    assert processor < 0.05


def _proportional_mb(box: LocalBox) -> float:
    """Memory of a box's processes, shared pages counted in parts."""
    found = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in tree(box._child.pid)]
    return sum(int(size) for text in found for size in re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)) / 1024


async def test_the_channel_is_quick(say: Callable[[str], None]) -> None:
    source = "while True: send({'t': 'echo', 'v': receive()['v']})"
    async with pool() as boxes, boxes.session(SMALL) as session:
        await session.channel.send({"t": "job", "source": source, **lockdown(BoxLimits())})
        times = []
        for number in range(2000):
            start = time.perf_counter()
            await session.channel.send({"v": number})
            frame = await session.channel.receive()
            times.append((time.perf_counter() - start) * 1e6)
            assert frame == {"t": "echo", "v": number}
    say(f"round trip {statistics.median(times):.0f} µs (median of 2,000)")
    assert statistics.median(times) < 2000
