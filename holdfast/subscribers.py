"""Who is told of an event: agents and flows that subscribed to its topic, and webhooks. Of the newest files, always."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.contracts.event import Sink
from holdfast.names import canonical_name
from holdfast.snapshot import Catalogue
from holdfast.topics import Topics
from holdfast.webhooks import WebhookKeys, sink


@dataclass(frozen=True)
class Subscriber:
    """An agent or a flow. `is_continuous`: the event is a turn of the one session that the agent has."""

    type: str
    is_continuous: bool = False


@dataclass
class Subscribers:
    """Everybody who subscribed to anything."""

    starts: Topics[Subscriber] = field(default_factory=Topics)
    posts: Topics[tuple[str, str]] = field(default_factory=Topics)

    @classmethod
    def of(cls, catalogue: Catalogue, webhooks: Sequence[WebhookKeys] = ()) -> "Subscribers":
        """All that are enabled. Agents come before flows, each by name."""
        found = cls()
        for agent in catalogue.agents.values():
            one = Subscriber(f"agent:{canonical_name(agent.name)}", agent.execution_mode == "continuous")
            for pattern in agent.event_subscriptions if agent.enabled else []:
                found.starts.add(pattern, one)
        for flow in catalogue.flows.values():
            for pattern in flow.events if flow.enabled else []:
                found.starts.add(pattern, Subscriber(f"workflow:{canonical_name(flow.name)}"))
        for webhook in webhooks:
            for pattern in webhook.topics:
                found.posts.add(pattern, (webhook.url, sink(webhook).secret))
        return found

    def __bool__(self) -> bool:
        return bool(self.starts or self.posts)

    def hear(self, topic: str) -> bool:
        """Whether anybody does."""
        return bool(self) and bool(self.starts.match(topic) or self.posts.match(topic))

    def sinks(self, topic: str) -> list[Sink]:
        return [Sink(url=url, secret=secret) for url, secret in self.posts.match(topic)]
