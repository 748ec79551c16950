"""One workflow's part of a task's story: its history, read over all its runs into a queue."""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable

from temporalio.api.enums.v1 import EventType

from api.cursor import Place
from api.histories import Histories, Page
from api.milestones import Part, Reader
from holdfast.contracts.milestone import Milestone
from holdfast.errors import NoTemporal

_PASSING = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    }
)
"""The server may show these before they stand in the history; then another event gets their id."""
_ENOUGH = 500
"""So much is read ahead of a slow client."""


class Track:
    """`ahead` holds what was read and not told yet, behind `after`.

    `is_settled`: nothing earlier than what it will read next can turn up; so stories of two tracks can be merged.
    """

    def __init__(
        self,
        histories: Histories,
        workflow_id: str,
        part: Part,
        after: Place,
        stir: Callable[[], None],
        is_gone: Callable[[], Awaitable[bool]],
    ) -> None:
        self._histories, self._workflow_id, self._part = histories, workflow_id, part
        self._after, self._stir, self._is_gone = after, stir, is_gone
        self._room = asyncio.Event()
        self._reader: Reader | None = None
        self.ahead: deque[tuple[Place, Milestone]] = deque()
        self.is_newest = False
        self.is_over = False

    @property
    def is_settled(self) -> bool:
        return self.is_newest or self.is_over

    @property
    def model_since(self) -> float | None:
        return self._reader.model_since if self._reader else None

    @property
    def has_program(self) -> bool:
        """Whether the program of the task was started, by what is read so far."""
        return self._reader is not None and self._reader.program_run is not None

    def take(self) -> tuple[Place, Milestone]:
        self._room.set()
        return self.ahead.popleft()

    async def follow(self) -> None:
        """Read until the workflow is closed, or not there any more."""
        run = await self._first()
        while run:
            run = await self._run(run)
        self.is_over = True
        self._stir()

    async def _first(self) -> str | None:
        while True:
            try:
                if run := await self._histories.oldest(self._workflow_id, max(1, self._after.run)):
                    return run
                if await self._is_gone():
                    return None
            except NoTemporal:
                pass
            await asyncio.sleep(self._histories.again_seconds)

    async def _run(self, run: str) -> str | None:
        """Read a run; the id of the next one. A lost connection begins the run anew, behind what was read of it."""
        self.is_newest, self._reader, last = False, None, 0
        while True:
            try:
                reader = self._reader = self._reader or await self._histories.reader(self._part)
                async for page in self._histories.pages(self._workflow_id, run):
                    last = await self._read(reader, page, last)
                return reader.next_run
            except LookupError:
                if await self._is_gone():
                    return None
            except NoTemporal:
                pass
            await asyncio.sleep(self._histories.again_seconds)

    async def _read(self, reader: Reader, page: Page, last: int) -> int:
        """Queue what is new in a page; the id of its last event."""
        for event in page.events:
            if event.event_id <= last or event.event_type in _PASSING:
                continue
            last = event.event_id
            places = (Place(reader.number, last, part) for part in itertools.count(1))
            told = zip(places, await reader.read(event), strict=False)
            self.ahead.extend((place, milestone) for place, milestone in told if place > self._after)
        self.is_newest = page.is_newest and reader.next_run is None
        self._stir()
        while len(self.ahead) > _ENOUGH:
            self._room.clear()
            await self._room.wait()
        return last
