"""A program that breaks after six calls, and is mended: what was answered before is not asked again."""

from chaos.scenario import Scenario, agent, fenced

_SIX = "total = 0\nfor i in range(6):\n    total += skills.note(i=i, ms=80)['i']\n"
_BROKEN = f"{_SIX}raise ValueError('not yet')\n"
_MENDED = f"{_SIX}for i in range(6, 9):\n    total += skills.note(i=i, ms=80)['i']\nresult = total\n"

SCENARIO = Scenario(
    name="repair",
    about="breaks after six calls, is mended",
    body=agent("Add nine numbers"),
    output=sum(range(9)),
    calls=9,
    replies={
        "plan": '{"selected_skills": ["note"], "reasoning": "it fits"}',
        "program": fenced(_BROKEN),
        "repair": fenced(_MENDED),
    },
)
