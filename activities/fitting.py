"""Making a conversation fit a model's window: what is left out, what is cut, and what must stay.

Protected are messages that the caller names (the task itself, texts of skills, questions), and the newest exchange.
Of all others, the oldest give way first: long texts in them become heads with a handle, then they are left out whole,
with a line that says how many. Calls and what they gave go together, so that every wire format takes what is left.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

from activities import conversation, cutting
from activities.notes import Keep
from holdfast.contracts.message import Message, ResultPart
from holdfast.windows import Read, tokens

HEAD_CHARACTERS = 400
"""What is left of a long text in an older message."""
LONG_CHARACTERS = 1000
_NOTICE_TOKENS = 48
_STEPS = 4
"""A conversation gives way by quarters of its room: what was left out stays the same for some turns, and so does the
beginning of the prompt, which providers cache."""


def size(messages: Iterable[Message], read: Read) -> int:
    """An estimate for all of them."""
    return sum(tokens(one, read) for one in messages)


def fit(messages: Sequence[Message], room: int, protected: Collection[int], keep: Keep, read: Read) -> list[Message]:
    """The messages in `room` tokens: as they are, if they fit. `protected` are places in `messages`.

    What is protected gives way only where it has not room enough by itself; then the newest exchange keeps half of the
    room at least. At least 256 tokens of room are needed.
    """
    if size(messages, read) <= room:
        return list(messages)
    return _Fitting(_units(messages, protected, read), room, keep, read).fitted()


@dataclass(frozen=True)
class _Unit:
    """Messages that stay or go together: an exchange, or calls with what they gave. No messages: it was left out."""

    messages: tuple[Message, ...]
    tokens: int
    is_protected: bool
    count: int

    @classmethod
    def of(cls, messages: Sequence[Message], read: Read, *, is_protected: bool) -> "_Unit":
        return cls(tuple(messages), size(messages, read), is_protected, len(messages))

    def holding(self, messages: Sequence[Message], read: Read) -> "_Unit":
        """With these in the place of its own."""
        return replace(self, messages=tuple(messages), tokens=size(messages, read))


class _Fitting:
    def __init__(self, units: list[_Unit], room: int, keep: Keep, read: Read) -> None:
        self.units, self.room, self.keep, self.read = units, room, keep, read

    @property
    def total(self) -> int:
        """With a line for each gap. A unit that was left out has no tokens of its own."""
        gaps = sum(is_gap for is_gap, _ in groupby(self.units, _is_out))
        return sum(unit.tokens for unit in self.units) + _NOTICE_TOKENS * gaps

    def fitted(self) -> list[Message]:
        *older, _newest = range(len(self.units))
        free = [place for place in older if not self.units[place].is_protected]
        goal = self._goal()
        for places in self._by_age(free):
            self._shorten(places, goal)
            self._leave_out(places, goal)
        kept = [place for place in older if not _is_out(self.units[place])]
        self._squeeze_newest(self.room // 2)
        self._squeeze(kept)
        self._leave_out(kept, self.room)
        self._squeeze_newest(0)
        return list(self._messages())

    def _goal(self) -> int:
        """Below the room, by steps."""
        total, step = self.total, max(1, self.room // _STEPS)
        return total - ceil((total - self.room) / step) * step

    def _by_age(self, places: list[int]) -> tuple[list[int], list[int]]:
        """Those behind the newest half of the room, and those in it."""
        newest, taken = len(self.units), 0
        while newest > 0 and taken <= self.room // 2:
            newest -= 1
            taken += self.units[newest].tokens
        return [place for place in places if place <= newest], [place for place in places if place > newest]

    def _shorten(self, places: list[int], goal: int) -> None:
        over = self.total - goal
        for place in places:
            if over <= 0:
                return
            unit = self.units[place]
            self.units[place] = unit.holding([self._short(message) for message in unit.messages], self.read)
            over -= unit.tokens - self.units[place].tokens

    def _leave_out(self, places: list[int], goal: int) -> None:
        over = self.total - goal
        for place in places:
            if over <= 0:
                return
            unit = self.units[place]
            beside = sum(one >= 0 and _is_out(self.units[one]) for one in (place - 1, place + 1))
            self.units[place] = unit.holding((), self.read)
            over -= unit.tokens - _NOTICE_TOKENS * (1 - beside)

    def _squeeze(self, places: list[int]) -> None:
        """Cut what is protected, no more than is needed."""
        for place in places if self.total > self.room else []:
            unit, over = self.units[place], self.total - self.room
            squeezed = []
            for message in unit.messages:
                size = tokens(message, self.read)
                squeezed.append(message if over <= 0 else self._squeezed(message, size - over) or self._short(message))
                over -= size - tokens(squeezed[-1], self.read)
            self.units[place] = unit.holding(squeezed, self.read)

    def _squeeze_newest(self, least: int) -> None:
        """Cut the newest exchange, to no less than `least`, if there is no room for it beside all else."""
        over, unit = self.total - self.room, self.units[-1]
        room = max(unit.tokens - over, least)
        if over <= 0 or unit.tokens <= room:
            return
        *before, last = unit.messages
        short = [self._short(message) for message in before]
        squeezed = self._squeezed(last, room - sum(tokens(message, self.read) for message in short))
        if squeezed is None:
            short, squeezed = [], cutting.plain(last, room, self.keep)
        self.units[-1] = unit.holding([*short, squeezed], self.read)

    def _squeezed(self, message: Message, room: int) -> Message | None:
        return cutting.squeezed(message, room, self.keep, self.read)

    def _short(self, message: Message) -> Message:
        return cutting.capped(cutting.named(message), LONG_CHARACTERS, HEAD_CHARACTERS, self.keep)

    def _messages(self) -> Iterator[Message]:
        for is_gap, units in groupby(self.units, _is_out):
            if is_gap:
                yield conversation.of("user", _notice(sum(unit.count for unit in units)))
            else:
                yield from (message for unit in units for message in unit.messages)


def _units(messages: Sequence[Message], protected: Collection[int], read: Read) -> list[_Unit]:
    """The last unit is the newest exchange."""
    starts = [place for place in range(len(messages)) if _starts(messages, place)]
    ends = [*starts[1:], len(messages)]
    return [
        _Unit.of(messages[start:end], read, is_protected=any(place in protected for place in range(start, end)))
        for start, end in zip(starts, ends, strict=True)
    ]


def _is_out(unit: _Unit) -> bool:
    return not unit.messages


def _starts(messages: Sequence[Message], place: int) -> bool:
    """Whether a unit begins here. What calls gave belongs to the calls, an answer to what was said."""
    if place == 0:
        return True
    message, before = messages[place], messages[place - 1]
    if message.role == "assistant":
        is_calling = place + 1 < len(messages) and _gives(messages[place + 1])
        return is_calling or before.role == "assistant" or _gives(before)
    return not (_gives(message) and before.role == "assistant")


def _gives(message: Message) -> bool:
    return any(isinstance(part, ResultPart) for part in message.parts)


def _notice(count: int) -> str:
    what = "an earlier message is" if count == 1 else f"{count} earlier messages are"
    return f"[… {what} left out here, for want of room …]"
