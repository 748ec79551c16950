"""What a program's workflow last heard of its box, and what it told it."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.contracts.program import CallsMessage, ParkReason

_OVERTAKEN = 4
"""A message that is this many older than the newest hands its open calls on."""


class BoxState:
    """One box at a time. A generation is a new box; an attempt is the same one, begun again after a loss."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.attempt = 1
        self.is_up = False
        self.park: ParkReason | None = None
        self.idle = False
        self.told = 0
        self.timer_at: float | None = None
        self._order = -1

    def begin(self) -> None:
        """The next generation starts."""
        self.generation += 1
        self.attempt, self._order, self.idle, self.told, self.timer_at = 1, -1, False, 0, None
        self.park, self.is_up = None, True

    def begin_attempt(self, attempt: int) -> None:
        """From here on nothing of an earlier attempt is heard."""
        self.attempt, self._order, self.idle, self.told = attempt, -1, False, 0

    def heard(self, message: CallsMessage) -> None:
        """An idleness from before one of the answers told so far is over."""
        if message.order > self._order:
            self._order, self.idle = message.order, message.idle and message.heard == self.told
            seconds = message.timer_seconds
            self.timer_at = None if seconds is None else workflow.now().timestamp() + seconds

    def tell(self, message: CallsMessage, answers: int) -> None:
        """So many answers go out in reply to a message."""
        if answers and message.attempt == self.attempt:
            self.told += answers
            self.idle = False

    def refuse_stale(self, generation: int, attempt: int, *, exactly: bool) -> None:
        """
        Raises:
            ApplicationError: `Stale`: the message is of a box that is not wanted any more.
        """
        is_ours = attempt == self.attempt if exactly else attempt >= self.attempt
        if generation != self.generation or not is_ours or not self.is_up:
            raise ApplicationError(f"stale: generation {generation}, attempt {attempt}", type="Stale")

    def is_over_for(self, message: CallsMessage) -> bool:
        """Whether nothing is to be waited for under this message: the box goes, or newer ones carry its calls on.

        The server takes ten updates at once. Calls that stay open move to later messages and share one.
        """
        overtaken = message.attempt != self.attempt or self._order - message.order >= _OVERTAKEN
        return bool(self.park) or not self.is_up or overtaken

    def is_resting(self, slow_after: float) -> bool:
        """Whether it waits for answers alone: idle, not parked, and with no timer of its own that is due soon."""
        if not (self.is_up and self.idle and self.park is None):
            return False
        return self.timer_at is None or self.timer_at >= workflow.now().timestamp() + slow_after

    def marks(self) -> tuple[int, ...]:
        return self.generation, self.attempt, self._order
