"""A master, two children beside each other, a third that needs both, and one answer made of what they gave."""

import json

from chaos.scenario import Scenario, fenced

_SOURCE = """
first = int(inputs["task"].rpartition(" ")[2])
result = sum(skills.note(i=i, ms=100)["i"] for i in range(first, first + 3))
"""
_STEPS = [
    {"task": "Note three numbers from 0", "delegateTo": "Helper", "reason": "it notes"},
    {"task": "Note three numbers from 3", "delegateTo": "helper", "reason": "it notes"},
    {"task": "Note three numbers from 6", "delegateTo": "helper", "reason": "it notes", "after": [1, 2]},
]

SCENARIO = Scenario(
    name="delegation",
    about="a master and three children",
    body={"type": "agent:chief", "input": "Note nine numbers", "limits": {"task_seconds": 600}},
    output="Nine are noted.",
    calls=9,
    replies={
        "delegate": json.dumps({"steps": _STEPS, "reasoning": "they are equal"}),
        "plan": '{"selected_skills": ["note"], "reasoning": "it fits"}',
        "program": fenced(_SOURCE),
        "merge": "Nine are noted.",
    },
    requests=8,
)
