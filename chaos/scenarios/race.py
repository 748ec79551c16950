"""A program that branches by what is answered first: a re-run must branch the same way."""

from chaos.scenario import Scenario, program

_SOURCE = """
import asyncio

seen = []


async def one(i):
    return (await skills.note(i=i, ms=(i * 37) % 60))["i"]


for done in asyncio.as_completed([one(i) for i in range(6)]):
    seen.append(await done)
    await skills.note(i=50, ms=60, tag=repr(seen))
result = sorted(seen)
"""

SCENARIO = Scenario(
    name="race",
    about="branches by the order of answers",
    body=program(_SOURCE),
    output=[0, 1, 2, 3, 4, 5],
    calls=12,
)
