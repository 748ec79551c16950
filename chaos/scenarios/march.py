"""A long row of calls: it is still on its way when a paused worker wakes."""

from chaos.scenario import Scenario, program

_SOURCE = """
total = 0
for i in range(50):
    total += skills.note(i=i, ms=60)["i"]
result = total
"""

SCENARIO = Scenario(
    name="march",
    about="fifty calls in a row",
    body=program(_SOURCE),
    output=sum(range(50)),
    calls=50,
)
