"""The client of the commands: that of `holdfast.client`, led by flags and settings, and with ids that may be cut."""

from typing import Any

from cli import screen
from holdfast import client
from holdfast.client import asks
from holdfast.config import Settings
from holdfast.errors import NotFound, TooManyTasks, UserError

SHORTEST_PREFIX = 6


class Client(client.Client):
    """A connection to the holdfast of these settings."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.url, settings.api_key or "")
        self.settings = settings
        self.on_busy = _told

    def find(self, prefix: str) -> str:
        """The full id of the one task whose id begins with `prefix`; behind a '/' stands the end of a step's id.

        Raises:
            UserError: the prefix is too short, or fits several tasks.
            NotFound: it fits none of the newest 1,000 tasks.
        """
        if "/" in prefix:
            root, _, path = prefix.partition("/")
            return f"{self.find(root)}/{path}"
        if len(prefix) >= 36:
            return prefix
        if len(prefix) < SHORTEST_PREFIX:
            raise UserError(f"task id {prefix!r} is too short; give at least its first {SHORTEST_PREFIX} characters")
        found = [task.id for task in self.tasks(1000) if task.id.startswith(prefix)]
        if not found:
            raise NotFound(f"no task whose id begins with {prefix!r} at {self.url}; see `holdfast list`")
        if len(found) > 1:
            raise UserError(f"{len(found)} tasks begin with {prefix!r}; give more of the id: {', '.join(found[:5])}")
        return found[0]

    def workers(self) -> list[dict[str, Any]]:
        return self.ask(asks.rows("/workers"))

    def ailing(self) -> str:
        """What the API itself says it lacks to take tasks; empty if nothing."""
        needs: dict[str, str] = self.ask(asks.ready()).get("dependencies", {})
        return "; ".join(f"{name}: {state}" for name, state in needs.items() if state != "ok")


def _told(exc: TooManyTasks, seconds: float) -> None:
    screen.say(
        f"busy: {exc.details.get('in_work')} tasks are in work, as many as may be; again in {seconds:.0f} s", "dim"
    )
