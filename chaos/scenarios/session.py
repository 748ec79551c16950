"""A conversation: each turn is answered from all that was said before, whatever died in between."""

import re

from chaos.model import named
from chaos.scenario import Hands, Scenario
from holdfast.contracts.base import Json
from holdfast.contracts.session import SessionRef
from holdfast.ids import new_trace_id

_TURNS = 4


async def _talk(hands: Hands) -> Json:
    """The answer to the last turn. A message that is sent again is the same message."""
    session = f"chaos-{hands.key}"
    hands.workflows.append(SessionRef(session_id=session, trace_id=new_trace_id()).workflow_id)
    answer: Json = None
    for number in range(1, _TURNS + 1):
        body: Json = {
            "text": f"{named(hands.key)} Number {number} is {number * number}.",
            "agent": "talker",
            "idempotency_key": f"{hands.key}.{number}",
        }
        taken = await hands.ask("POST", f"/sessions/{session}/messages", body)
        answer = (await hands.over(taken["task_id"])).output
        await hands.pause(0, 1.5)
    return answer


def _known(text: str) -> str:
    """What a model knows that reads this."""
    return f"I know {', '.join(dict.fromkeys(re.findall(r'Number [0-9]+ is ([0-9]+)', text)))}."


SCENARIO = Scenario(
    name="session",
    about="a conversation of four turns",
    output="I know 1, 4, 9, 16.",
    calls=0,
    replies={"answer": _known},
    requests=_TURNS,
    play=_talk,
)
