"""Light calls: local activities, which the history knows as markers."""

from chaos.scenario import Scenario, program

_SOURCE = """
found = [skills.glance(i=i, ms=5)["i"] for i in range(20)]
result = sum(found)
"""

SCENARIO = Scenario(
    name="light",
    about="twenty light calls",
    body=program(_SOURCE),
    output=sum(range(20)),
    calls=20,
)
