"""Sixty calls at once, without a budget."""

from chaos.scenario import Scenario, program

_SOURCE = """
import asyncio

found = await asyncio.gather(*[skills.note(i=i, ms=20) for i in range(60)])
result = [one["i"] for one in found]
"""

SCENARIO = Scenario(
    name="fanout",
    about="sixty calls at once",
    body=program(_SOURCE),
    output=list(range(60)),
    calls=60,
)
