"""A long row of calls: it is still on its way when a paused worker wakes."""

from chaos.scenario import Scenario, program

_SOURCE = """
total = 0
for i in range(80):
    total += skills.note(i=i, ms=80)["i"]
result = total
"""

SCENARIO = Scenario(
    name="march",
    about="eighty calls in a row",
    body=program(_SOURCE),
    output=sum(range(80)),
    calls=80,
)
