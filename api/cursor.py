"""The ids of a stream's events: how far a client has heard both histories of a task. Opaque to clients."""

import re
from typing import NamedTuple

from holdfast.errors import UserError, shown

_ID = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})-(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-end)?", re.ASCII)


class EventIdInvalid(UserError):
    """A `Last-Event-ID` that no event had."""

    code = "INVALID_EVENT_ID"


class Place(NamedTuple):
    """In the history of a workflow: the run in its chain, the event, and which of the event's milestones."""

    run: int = 0
    event: int = 0
    part: int = 0


class Cursor(NamedTuple):
    """All up to these places was told; `is_end`: the last event too. Program tasks have no `program` history."""

    task: Place = Place()
    program: Place = Place()
    is_end: bool = False

    def __str__(self) -> str:
        places = "-".join(".".join(map(str, place)) for place in (self.task, self.program))
        return f"{places}-end" if self.is_end else places

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """
        Raises:
            EventIdInvalid: no event has this id.
        """
        found = _ID.fullmatch(text)
        if found is None:
            raise EventIdInvalid(
                f"Last-Event-ID {shown(text)} is not the id of an event of this stream; leave it out to begin anew"
            )
        numbers = [int(each) for each in found.groups()[:6]]
        return cls(Place(*numbers[:3]), Place(*numbers[3:]), found[7] is not None)
