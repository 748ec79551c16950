"""Calls in a row and calls at once: what most programs are."""

from chaos.scenario import Scenario, program

_SOURCE = """
import asyncio

total = 0
for i in range(12):
    total += (await skills.note(i=i, ms=60))["i"]
for block in range(2):
    found = await asyncio.gather(*[skills.note(i=100 + 10 * block + k, ms=60) for k in range(5)])
    total += sum(one["i"] for one in found)
result = total
"""

SCENARIO = Scenario(
    name="row",
    about="calls in a row, and five at once",
    body=program(_SOURCE),
    output=sum(range(12)) + sum(range(100, 105)) + sum(range(110, 115)),
    calls=22,
)
