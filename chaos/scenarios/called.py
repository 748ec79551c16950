"""A program that calls an agent twice at once, while its history is renewed."""

from chaos.scenario import Scenario, fenced

_SOURCE = """
import asyncio

if isinstance(inputs, str):
    before = (await skills.note(i=0, ms=60))["i"]
    # By its name: the helper gets this same program, and may not call itself.
    helper = getattr(skills, "helper")
    found = await asyncio.gather(*[helper(task=inputs, input=n) for n in (1, 3)])
    result = before + sum(found)
else:
    first = inputs["input"]
    result = sum([(await skills.note(i=i, ms=300))["i"] for i in range(first, first + 2)])
"""

SCENARIO = Scenario(
    name="called",
    about="a program that calls agents",
    body={
        "type": "agent:caller",
        "input": "Note five numbers",
        "limits": {"task_seconds": 600},
        "tuning": {"bound_events": 30},
    },
    output=sum(range(5)),
    calls=5,
    replies={"plan": '{"selected_skills": ["note"], "reasoning": "it fits"}', "program": fenced(_SOURCE)},
    requests=6,
)
