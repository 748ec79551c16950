"""Cancelled in the middle, down to the sandbox."""

from chaos.scenario import Hands, Scenario, program

_SOURCE = """
for i in range(400):
    skills.note(i=i, ms=60)
"""


async def _cancel(hands: Hands) -> None:
    await hands.pause(0.3, 3)
    await hands.cancel()


SCENARIO = Scenario(
    name="cancel",
    about="cancelled in the middle",
    body=program(_SOURCE),
    output=None,
    calls=None,
    state="CANCELLED",
    drive=_cancel,
)
