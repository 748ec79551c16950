"""A history with a small bound: the program goes on over continue-as-new, again and again."""

from chaos.scenario import Scenario, program

_SOURCE = """
total = 0
for i in range(40):
    total += skills.note(i=i, ms=30)["i"]
result = total
"""

SCENARIO = Scenario(
    name="renew",
    about="goes on over continue-as-new",
    body=program(_SOURCE, tuning={"bound_events": 150, "bound_updates": 15}),
    output=sum(range(40)),
    calls=40,
)
