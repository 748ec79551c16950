"""A sentence, a plan, a program of the model's."""

from chaos.scenario import Scenario, agent, fenced

_SOURCE = """
total = 0
for i in range(8):
    total += skills.note(i=i, ms=80)["i"]
result = total
"""

SCENARIO = Scenario(
    name="plan",
    about="plan and program by a model",
    body=agent("Add eight numbers"),
    output=sum(range(8)),
    calls=8,
    replies={"plan": '{"selected_skills": ["note"], "reasoning": "it fits"}', "program": fenced(_SOURCE)},
)
