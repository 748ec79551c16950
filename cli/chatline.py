"""The way to the API, with patience: where it is away for a while, that is a pause that is said, and no error."""

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from cli import screen
from cli.client import Client
from holdfast.client import Event
from holdfast.errors import HoldfastError, OperatorError, TooManyTasks

T = TypeVar("T")

PATIENCE_S = 120.0
"""So long an API that does not answer is waited for."""
_AGAIN_S = 1.0


class GaveUp(OperatorError):
    """The API has been away for too long. What was sent goes on without us."""

    code = "UNREACHABLE"


class Pause:
    """A time in which nothing can be heard. It is said once when it begins, and once when it ends."""

    def __init__(self, say: Callable[[str], None], back: str, patience_s: float | None = None) -> None:
        self._say, self._back = say, back
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._since: float | None = None
        self._lost_at: float | None = None

    def begins(self, why: str, heard_at: float | None = None) -> None:
        """Something is away, for as long as it takes; how long it was, since the last sign of life, is told at its
        end."""
        self._lost_at = None
        if self._since is None:
            self._since = time.monotonic() if heard_at is None else heard_at
            self._say(f"paused: {why}")

    def is_lost(self, exc: OperatorError) -> None:
        """The API itself is away.

        Raises:
            GaveUp: it has been for too long.
        """
        lost_at = self._lost_at
        self.begins(f"{str(exc).partition(';')[0]}; waiting for it")
        self._lost_at = lost_at or time.monotonic()
        if time.monotonic() - self._lost_at > self._patience_s:
            raise GaveUp(f"{exc}. Waited {self._patience_s:.0f} s for it; {self._back}")

    def is_found(self) -> None:
        """The API answers."""
        if self._lost_at is not None:
            self.ends()

    def ends(self) -> None:
        if self._since is not None:
            self._say(f"goes on after {screen.seconds(time.monotonic() - self._since)}")
        self._since = self._lost_at = None


def patiently(pause: Pause, what: Callable[[], T]) -> T:
    """What the API says, once it does. `what` must be safe to repeat.

    Raises:
        GaveUp: it does not, for too long.
        HoldfastError: it refuses.
    """
    while True:
        try:
            found = what()
        except OperatorError as exc:
            if not is_passing(exc):
                raise
            pause.is_lost(exc)
            time.sleep(_AGAIN_S)
        else:
            pause.ends()
            return found


def is_passing(exc: HoldfastError) -> bool:
    """Whether the same request may get through a little later. Too many tasks in work were waited for already."""
    return isinstance(exc, OperatorError) and exc.retryable and not isinstance(exc, TooManyTasks)


class Ear:
    """Hears the events of a task in a thread of its own, over connections that break; a context manager."""

    def __init__(self, client: Client, task_id: str) -> None:
        self._client, self._id = client, task_id
        self._heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._is_closed = threading.Event()

    def __enter__(self) -> "Ear":
        # A daemon: who follows a turn may go at any time, also while this thread waits for the next event.
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()

    def next(self, seconds: float) -> Event | None:
        """The next event; None: none came in time."""
        try:
            return self._heard.get(timeout=seconds)
        except queue.Empty:
            return None

    def _listen(self) -> None:
        after = ""
        with self._client as client:
            while not self._is_closed.is_set():
                try:
                    for event in client.events(self._id, after):
                        after = event.id or after
                        self._heard.put(event)
                        if self._is_closed.is_set():
                            return
                except HoldfastError as exc:
                    # What is wrong with the API is told by the one who follows, who asks it when he hears nothing.
                    if not is_passing(exc):
                        return
                else:
                    return
                self._is_closed.wait(_AGAIN_S)
