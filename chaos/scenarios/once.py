"""Calls that must not be made twice. What became of a lost one is asked; here people know that it happened."""

import re

from chaos.scenario import Hands, Scenario, program
from holdfast.contracts.base import Json
from holdfast.contracts.question import Question

_SOURCE = """
result = [skills.send(i=i, ms=300)["i"] for i in range(1, 6)]
"""


async def _say_what_happened(hands: Hands) -> None:
    await hands.answer_all(_it_happened)


def _it_happened(question: Question) -> Json:
    """The question shows the call: `send(i=3, ms=300)`."""
    found = re.search(r"\bi=(\d+)", question.text)
    return {"outcome": "done", "result": {"i": int(found[1]) if found else None}}


SCENARIO = Scenario(
    name="once",
    about="five calls with effect once",
    body=program(_SOURCE),
    output=[1, 2, 3, 4, 5],
    calls=5,
    drive=_say_what_happened,
)
