"""A pool over boxes with the small guest of `boxes`, and what can be seen of it from outside."""

import asyncio
import contextlib
import textwrap
from collections.abc import AsyncIterator
from typing import Any

from sandbox.base import Adapter, BoxLimits, BoxLost, BoxSpec
from sandbox.lockdown import lockdown
from sandbox.pool import Pool, Session
from tests.support.boxes import ADAPTER, GUEST, bubblewraps

SPEC = BoxSpec(name="test", guest=GUEST)


def pool(max_sessions: int = 10, warm: int = 2, adapter: Adapter = ADAPTER, **options: Any) -> Pool:
    return Pool(adapter, BoxSpec(name="warm", guest=GUEST), max_sessions, warm, **options)


async def told(session: Session, source: str, limits: BoxLimits | None = None) -> Any:
    """What `source` leaves in `result`.

    Raises:
        BoxLost: the box ended before; says how.
    """
    job = {"t": "job", "source": textwrap.dedent(source), **lockdown(limits or BoxLimits())}
    await session.channel.send(job)
    async for frame in session.channel.frames():
        if frame["t"] == "done":
            return frame["result"]
    raise BoxLost(f"the box ended: cause {session.box.cause}, exit code {session.box.exit_code}")


async def run(boxes: Pool, source: str, spec: BoxSpec = SPEC) -> Any:
    async with boxes.session(spec) as session:
        return await told(session, source, spec.limits)


async def is_warm(boxes: Pool, number: int, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while boxes.warm != number:
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def counting() -> AsyncIterator[list[int]]:
    """How many boxes of this process there are, looked at again and again while the block lasts."""
    seen = [0]

    async def look() -> None:
        while True:
            seen.append(len(set(bubblewraps())))
            await asyncio.sleep(0.005)

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
