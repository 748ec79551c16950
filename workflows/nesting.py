"""What the code of running skills asks in turn: the update `nest` of whatever workflow runs the skills."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.contracts.program import NestMessage, NestReply, Version
from workflows.journal import Journal


class Nesting:
    """Takes messages of workers, one under way for each. `holds_updates`: whether an update may wait here now."""

    def __init__(self, journal: Journal, holds_updates: Callable[[], bool]) -> None:
        self._journal, self._holds_updates = journal, holds_updates
        self._newest: dict[str, int] = {}

    async def take(self, message: NestMessage, version: Version) -> NestReply:
        """Answer as soon as any of what is asked is answered, or nothing waits here now."""
        self._newest[message.by] = max(message.number, self._newest.get(message.by, 0))
        stale = self._stale(message)
        for nested in message.asks:
            if nested.ask.id not in stale:
                self._journal.nest(nested, version)
        ids = [*(nested.ask.id for nested in message.asks), *message.again]
        await workflow.wait_condition(
            lambda: (
                bool(stale)
                or not self._holds_updates()
                or self._newest[message.by] > message.number
                or self._journal.has_answer(ids)
            )
        )
        return NestReply(answers=self._journal.answers(ids), stale=stale, later=not self._holds_updates())

    def check(self, message: NestMessage) -> None:
        """
        Raises:
            ApplicationError: `Stale`: none of the calls that ask runs here any more.
        """
        stale = self._stale(message)
        if stale and len(stale) == len(message.asks) and not message.again:
            raise ApplicationError(f"stale: the calls that ask {stale} do not run here", type="Stale")

    def _stale(self, message: NestMessage) -> list[str]:
        """Asks of calls that do not run here any more. One of these must not cost the others their answers."""
        return [nested.ask.id for nested in message.asks if not self._journal.is_running(nested.parent)]
