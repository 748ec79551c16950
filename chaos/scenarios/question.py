"""A question in the middle, answered later: no process waits meanwhile."""

from chaos.scenario import Hands, Scenario, program

_SOURCE = """
before = [skills.note(i=i, ms=60)["i"] for i in range(3)]
word = skills.ask(text="Which word?")
after = [skills.note(i=i, ms=60)["i"] for i in range(3, 6)]
result = [word, *before, *after]
"""


async def _answer_later(hands: Hands) -> None:
    await hands.pause(0.5, 4)
    await hands.answer_all(lambda _: "a word")


SCENARIO = Scenario(
    name="question",
    about="a question, answered after seconds",
    body=program(_SOURCE),
    output=["a word", 0, 1, 2, 3, 4, 5],
    calls=6,
    waits_for_people=True,
    drive=_answer_later,
)
