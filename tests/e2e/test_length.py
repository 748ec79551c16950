"""Programs that are longer than a history: they go on over continue-as-new, and each call happens once."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

LONG = {
    "1,200 in a row": (1200, "t = 0\nfor i in range(1200): t += skills.noop(i=i)\nresult = t"),
    "3,000 in gathers of 100": (
        3000,
        "import asyncio\nt = 0\nfor k in range(30):\n    t += sum(await asyncio.gather(*[skills.noop(i=k * 100 + j) for j in range(100)]))\nresult = t",
    ),
}


@pytest.mark.parametrize("shape", LONG)
async def test_a_long_program_makes_each_call_once(stack: Stack, shape: str, say: Callable[[str], None]) -> None:
    calls, source = LONG[shape]
    client = await stack.client()
    began = time.monotonic()
    handle = await stack.start(client, source)
    result = await asyncio.wait_for(handle.result(), 380)
    assert stack.value(result) == sum(range(calls))
    scheduled = await stack.scheduled(client, handle)
    assert len(scheduled) == calls
    assert set(scheduled.values()) == {1}
    say(f"{time.monotonic() - began:.0f} s, {result.runs} runs")
