"""holdfast from Python, over its HTTP API.

    from holdfast import Client, run_agent

`asks` says what is sent and how the answer is read; `Client` and `AsyncClient` send it; `wire` makes errors of what
goes wrong on the way; `stream` keeps the place in a stream of events.
"""

from holdfast.client.asynchronous import AsyncClient
from holdfast.client.stream import Event, EventName
from holdfast.client.synchronous import Client, run_agent
from holdfast.client.wire import NoHoldfast

__all__ = ["AsyncClient", "Client", "Event", "EventName", "NoHoldfast", "run_agent"]
