"""What the code of running skills asks in turn, from the worker's side."""

import asyncio
from typing import cast

from activities.nested import Nest
from activities.updates import Updates
from holdfast.contracts.base import Value
from holdfast.contracts.program import Answered, Ask, Nested, NestMessage, NestReply

PARENT, ASKED = f"{'a' * 24}.1", f"{'b' * 24}.1"
NESTED = Nested(parent=PARENT, ask=Ask(id=ASKED, skill="llm", arguments=Value()))


class Wire:
    """The way to a workflow that answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def send(self, _name: str, message: NestMessage, _id: str, _gives: object) -> NestReply:
        await self.may_answer.wait()
        ids = [*(one.ask.id for one in message.asks), *message.again]
        return NestReply(answers=[Answered(id=one, at=0, order=1, value=Value(inline="said")) for one in ids])


async def test_an_attempt_that_is_cancelled_takes_no_answer_from_the_next_attempt_here() -> None:
    wire = Wire()
    nest = Nest(cast(Updates, wire))
    first, second = (asyncio.create_task(nest.ask(NESTED)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.sleep(0.05)
    third = asyncio.create_task(nest.ask(NESTED))
    await asyncio.sleep(0.05)
    wire.may_answer.set()
    found = await asyncio.wait_for(asyncio.gather(second, third), 5)
    assert [one.id for one in found] == [ASKED, ASKED]
