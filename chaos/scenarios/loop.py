"""A model that calls turn by turn, in words, while the history is renewed between turns."""

from chaos.scenario import Scenario, agent


def _notes(*numbers: int) -> str:
    return "\n".join(f'<tool name="note">{{"i": {number}, "ms": 120}}</tool>' for number in numbers)


SCENARIO = Scenario(
    name="loop",
    about="a loop of five turns, with calls beside each other",
    body=agent("Note eight numbers, turn by turn", strategy="loop", tuning={"bound_events": 40}),
    output="Eight are noted.",
    calls=8,
    replies={
        "turn 1": _notes(0, 1, 2),
        "turn 2": _notes(3),
        "turn 3": _notes(4, 5),
        "turn 4": _notes(6, 7),
        "turn 5": "Eight are noted.",
    },
)
