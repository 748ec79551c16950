"""How many requests go to one provider at a time, and how close behind each other."""

import asyncio


class Pace:
    """`async with pace:` waits for its turn. Holds within one process: with more workers, more requests go out."""

    def __init__(self, concurrency: int | None = None, per_minute: float | None = None) -> None:
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        self._gap_s = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def __aenter__(self) -> None:
        if self._slots is not None:
            await self._slots.acquire()
        try:
            await self._turn()
        except asyncio.CancelledError:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    async def _turn(self) -> None:
        if not self._gap_s:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._next)
        self._next = start + self._gap_s
        await asyncio.sleep(start - now)

    def _release(self) -> None:
        if self._slots is not None:
            self._slots.release()
