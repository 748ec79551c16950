"""Calls asked by a clock, whatever is answered meanwhile: a paused worker that wakes has something to say at once."""

from chaos.scenario import Scenario, program

_SOURCE = """
import asyncio


async def one(i):
    return (await skills.note(i=i, ms=60))["i"]


asked = []
for i in range(100):
    asked.append(asyncio.create_task(one(i)))
    await asyncio.sleep(0.05)
result = sum(await asyncio.gather(*asked))
"""

SCENARIO = Scenario(
    name="clock",
    about="a call every 50 ms",
    body=program(_SOURCE),
    output=sum(range(100)),
    calls=100,
)
