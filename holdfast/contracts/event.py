"""Events: what happened, said to whoever subscribed to its topic."""

from typing import Literal

from pydantic import Field

from holdfast.contracts.base import ActivityRef, Contract, Json, Nothing
from holdfast.contracts.principal import Tenant

EVENT_WORKFLOW = "EventWorkflow"
MAX_EVENT_DEPTH = 8
"""An event this deep starts nothing: an agent that answers its own events would go on for ever."""

EventPriority = Literal["low", "normal", "high", "critical"]


class Event(Contract):
    """One event, whichever envelope it came in (CloudEvents 1.0, or agentrunner's). `topic` is CloudEvents' `type`.
    Times are UTC seconds since 1970; after `expires_at` it starts nothing. `depth`: see `Cause`."""

    id: str = Field(min_length=1, max_length=200)
    tenant: Tenant = "default"
    topic: str = Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=255)
    source: str = ""
    subject: str = ""
    data: Json = None
    at: float
    expires_at: float | None = None
    priority: EventPriority = "normal"
    parent_event_id: str | None = None
    execution_id: str | None = None
    depth: int = 0
    trace_id: str = Field(pattern=r"^[0-9a-f]{32}$")

    @property
    def workflow_id(self) -> str:
        return f"{self.tenant}/event:{self.id}"


class Sink(Contract):
    """Where an event is posted to, signed. `secret` names the environment variable that holds the key."""

    url: str
    secret: str = ""


class EventJob(Contract):
    """Input of EventWorkflow. `sinks` are further to those that are configured: a task's `callback_url`."""

    event: Event
    sinks: list[Sink] = []


class Routed(Contract):
    """What an event started: `<kind>:<name>` to the task's id, or why not (`refused`). `sinks` are to be posted to;
    `posted` says of each address what came of it, once that is known. `stopped` is why nothing was started at all."""

    started: dict[str, str] = {}
    refused: dict[str, str] = {}
    stopped: str = ""
    sinks: list[Sink] = []
    posted: dict[str, str] = {}


class Post(Contract):
    """Input of `event.post`: one delivery, tried again until it is taken, for a day."""

    event: Event
    sink: Sink


ROUTE: ActivityRef[EventJob, Routed] = ActivityRef(name="event.route", takes=EventJob, gives=Routed)
POST: ActivityRef[Post, Nothing] = ActivityRef(name="event.post", takes=Post, gives=Nothing)
