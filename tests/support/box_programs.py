"""Programs in a real box, with the real guest, both filters and all limits, but without Temporal: a host of a few lines."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sandbox
from sandbox.base import Adapter, BoxLimits, BoxSpec
from sandbox.channel import Channel
from sandbox.lockdown import lockdown
from tests.support.guest_host import JOB, NOW, Answers, Call

GUEST = Path(sandbox.__file__).parent / "guest.py"
SECONDS = 60.0


@dataclass(frozen=True)
class Ended:
    """How a program ended. `result` is None for one that raised."""

    printed: str
    last: dict[str, Any]

    @property
    def result(self) -> Any:
        return self.last.get("result")

    @property
    def error(self) -> str:
        return str(self.last.get("message", ""))


async def run(adapter: Adapter, source: str, answers: Answers, limits: BoxLimits | None = None, **job: Any) -> Ended:
    """Run a program to its end. `answers` are given at once."""
    limits = limits or BoxLimits()
    box = await adapter.start(BoxSpec(name="test", guest=GUEST, limits=limits))
    try:
        async with asyncio.timeout(SECONDS):
            channel = Channel(box)
            await channel.ready()
            await channel.send({**JOB, "source": source, **lockdown(limits), **job})
            return await _hosted(channel, answers)
    finally:
        await box.kill()


async def _hosted(channel: Channel, answers: Answers) -> Ended:
    printed, nth = "", 0
    async for frame in channel.frames():
        if frame["t"] == "out":
            printed += frame["d"]
        elif frame["t"] in ("done", "raised"):
            return Ended(printed, frame)
        rows = []
        for number, skill, args, kwargs in frame.get("calls", ()):
            reply = answers(Call(number, skill, args, kwargs, nth))
            nth += 1
            if reply is not None:
                ok = reply.error is None
                rows.append([number, NOW + reply.at, ok, reply.value if ok else reply.error])
        if rows:
            await channel.send({"t": "answers", "answers": rows})
    raise AssertionError(f"the box ended without a word; printed {printed[-500:]!r}")
