"""The same call, asked several times, is several calls."""

from chaos.scenario import Scenario, program

_SOURCE = """
result = [skills.tick(i=1, ms=60)["number"] for _ in range(6)]
"""

SCENARIO = Scenario(
    name="twice",
    about="the same call six times",
    body=program(_SOURCE),
    output=[1, 2, 3, 4, 5, 6],
    calls=6,
)
