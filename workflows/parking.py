"""Parking: a program that only waits, and for long, gives its box back, and runs again when there is an answer."""

import contextlib
from datetime import timedelta

from temporalio import workflow

from holdfast.contracts.program import Carried, Tuning
from workflows.box import BoxState
from workflows.journal import Journal


class Parking:
    """`calls` are what a program without a box waits for; a timer of its own is due at `wake_at`, in UTC seconds."""

    def __init__(self, box: BoxState, journal: Journal, tuning: Tuning, carried: Carried) -> None:
        self._box, self._journal, self._tuning = box, journal, tuning
        self.calls = list(carried.parked_on)
        self.wake_at = carried.wake_at
        self.suspensions = carried.suspensions

    async def over(self) -> None:
        """Until one of the calls is answered, or the timer is due."""
        left = None if self.wake_at is None else max(0.0, self.wake_at - workflow.now().timestamp())
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._journal.has_answer(self.calls), timeout=left)

    def end(self) -> None:
        self.calls, self.wake_at = [], None

    def still(self) -> list[str]:
        """The calls, for a run that goes on from here: none if one of them has its answer."""
        return [] if self._journal.has_answer(self.calls) else self.calls

    async def watch_idle(self) -> None:
        """Park a guest that is idle and has nothing but long calls open, once it has been so for a moment."""
        while True:
            await workflow.wait_condition(self._is_stuck)
            if not await self._moves_on(self._marks()) and self._is_stuck():
                self.calls, self.wake_at = sorted(self._journal.wanted), self._box.timer_at
                self.suspensions += 1
                self._box.park = "wait"

    async def watch_slow(self) -> None:
        """Look again, now and then, whether what is open has become slow. One timer, whatever the number of calls."""
        box, journal = self._box, self._journal
        while True:
            await workflow.wait_condition(lambda: box.is_up and not box.park and journal.short_open())
            await workflow.sleep(timedelta(seconds=self._tuning.slow_after_seconds))

    def _is_stuck(self) -> bool:
        slow_after = self._tuning.slow_after_seconds
        return self._box.is_resting(slow_after) and self._journal.waits_long(slow_after)

    async def _moves_on(self, before: tuple[int, ...]) -> bool:
        try:
            await workflow.wait_condition(lambda: self._marks() != before, timeout=self._tuning.park_after_seconds)
        except TimeoutError:
            return False
        return True

    def _marks(self) -> tuple[int, ...]:
        return *self._box.marks(), self._journal.changes
