"""Our place in a task's stream of events, kept over connections that break."""

import json
import time
from dataclasses import dataclass
from typing import Any, Literal, cast

import httpx2

from holdfast.client import asks, wire
from holdfast.errors import HoldfastError

EventName = Literal["status", "plan", "program", "attempt", "call", "step", "question", "delta", "usage", "done"]

PATIENCE_S = 120.0
"""So long a stream that gives nothing at all is tried again."""
MAX_EVENT_BYTES = 64 << 20
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Event:
    """Something that happened to a task. `id` is where to go on after it; a `delta` has none of its own.

    `done` is the last one. Names may be added: leave out those that you do not know.
    """

    name: EventName
    data: dict[str, Any]
    id: str = ""


class NoStream(wire.NoHoldfast):
    """What came is no stream of events of ours: the next connection would bring the same."""

    retryable = False


@dataclass
class Place:
    """Where we are in a stream: the id of the last event, and how long there has been none."""

    task_id: str
    after: str = ""
    is_known: bool = False
    opened_at: float | None = None
    broken_at: float | None = None
    pause_s: float = wire.PAUSES_S[0]

    @property
    def path(self) -> str:
        return asks.at(self.task_id, "/events")[0]

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the next connection."""
        after = {"Last-Event-ID": self.after} if self.after else {}
        params = asks.at(self.task_id)[1]
        headers = {"Accept": "text/event-stream", **after}
        return {"method": "GET", "url": self.path, "headers": headers, **({"params": params} if params else {})}

    def opened(self) -> None:
        self.is_known, self.opened_at = True, time.monotonic()

    def heard(self, found: httpx2.ServerSentEvent) -> Event:
        self.after = found.id or self.after
        self.broken_at, self.pause_s = None, wire.PAUSES_S[0]
        return Event(cast(EventName, found.event), _object(found.data), found.id)

    def broke(self, error: HoldfastError) -> float:
        """Seconds to wait before the next connection.

        Raises:
            HoldfastError: it never was one, trying again cannot help, or has not for so long.
        """
        now = time.monotonic()
        lasted_s = now - self.opened_at if self.opened_at else 0.0
        self.opened_at = None
        # A connection that lasted was a good one, also if nothing happened to the task.
        self.broken_at = now if self.broken_at is None or lasted_s > _LONGEST_PAUSE_S else self.broken_at
        if not (self.is_known and error.retryable) or now - self.broken_at > PATIENCE_S:
            raise error
        self.pause_s = min(_LONGEST_PAUSE_S, self.pause_s * 2)
        return self.pause_s

    def ended(self, door: wire.Door) -> wire.NoHoldfast:
        """The error for a stream that was closed before its `done`."""
        return wire.NoHoldfast(f"{door.url} closed the events of task {self.task_id} before their end")

    def lost(self, door: wire.Door, exc: httpx2.HTTPError) -> wire.NoHoldfast:
        if isinstance(exc, httpx2.SSEError):
            return NoStream(f"{door.url}{self.path}: {exc}")
        return door.lost(exc, f"GET {self.path}")


def source(response: httpx2.Response) -> httpx2.EventSource:
    return httpx2.EventSource(response, max_event_size=MAX_EVENT_BYTES)


def _object(data: str) -> dict[str, Any]:
    try:
        found = json.loads(data) if data else {}
    except ValueError:
        raise NoStream(f"an event is no JSON: {data[:80]!r}; is this a holdfast API?") from None
    return found if isinstance(found, dict) else {"value": found}
