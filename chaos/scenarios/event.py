"""An event that is said twice, to a flow that listens: it begins once."""

from chaos.scenario import Hands, Scenario
from holdfast.contracts.base import Json


async def _say(hands: Hands) -> Json:
    """What the flow gave that the event began."""
    event = f"chaos-{hands.key}"
    hands.workflows.append(f"default/event:{event}")
    body: Json = {"topic": "chaos.heard.now", "event_id": event, "payload": {"key": hands.key}}
    for _ in range(2):
        await hands.ask("POST", "/events", body)
        await hands.pause(0, 0.5)
    while not (seen := await hands.ask("GET", f"/events/{event}"))["started"]:
        await hands.pause(0.2, 0.5)
    [task] = seen["started"].values()
    return (await hands.over(task)).output


SCENARIO = Scenario(
    name="event",
    about="an event that is said twice, and a flow that hears it",
    output={"status": "completed", "step_outputs": {"note": [0, 1, 2]}},
    calls=3,
    play=_say,
)
