"""A long sleep is a journalled call: the program is parked, its box goes, and it runs again."""

from chaos.scenario import Scenario, program

_SOURCE = """
import time

found = []
for i in range(3):
    found.append(skills.note(i=i, ms=60)["i"])
    time.sleep(1.5)
result = found
"""

SCENARIO = Scenario(
    name="park",
    about="sleeps between calls, parked meanwhile",
    body=program(_SOURCE),
    output=[0, 1, 2],
    calls=3,
)
