"""Calls that need a person's word: one is allowed with another one like it, one is not."""

from chaos.scenario import Hands, Scenario, program
from holdfast.contracts.base import Json
from holdfast.contracts.question import Question

_SOURCE = """
paid = [skills.pay(i=i, ms=60)["i"] for i in range(5)]
try:
    skills.pay(i=9)
except SkillError as exc:
    paid.append(exc.type)
result = paid
"""


def _word(question: Question) -> Json:
    about = question.details
    is_large = isinstance(about, dict) and about.get("arguments") == {"i": 9}
    return "deny" if is_large else {"decision": "approve", "grant": {"uses": 1}}


async def _decide_later(hands: Hands) -> None:
    await hands.pause(0.5, 4)
    await hands.answer_all(_word)


SCENARIO = Scenario(
    name="approval",
    about="calls that wait for a person's word, a grant, and a refusal",
    body=program(_SOURCE),
    output=[0, 1, 2, 3, 4, "ApprovalDenied"],
    calls=5,
    waits_for_people=True,
    drive=_decide_later,
)
