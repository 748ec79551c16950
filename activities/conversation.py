"""Conversations as chains of blobs: each turn names the one before it and holds what was new."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activities.replies import read_program
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Sha256
from holdfast.contracts.llm import Turn
from holdfast.contracts.message import BlobPart, CallPart, Message, Part, TextPart

CACHED_BYTES = 64 << 20


@dataclass(frozen=True)
class Conversation:
    """All that was said so far. `said` is what the person said, in their own words, turn by turn; `kept` are the places
    of messages that stay when others are left out."""

    messages: list[Message] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    kept: frozenset[int] = frozenset()

    @classmethod
    def of(cls, turns: Iterable[Turn]) -> "Conversation":
        messages: list[Message] = []
        said, kept = [], set[int]()
        for turn in turns:
            if turn.keep:
                kept |= set(range(len(messages), len(messages) + len(turn.messages)))
            messages += turn.messages
            said += [turn.said] if turn.said else []
        return cls(messages, said, frozenset(kept))

    @property
    def last_program(self) -> str:
        """The newest program that the model wrote; empty if it wrote none."""
        replies = (text(one.parts) for one in reversed(self.messages) if one.role == "assistant")
        return next((source for reply in replies if (source := read_program(reply))), "")


def read(blobs: BlobStore, head: Sha256 | None) -> Conversation:
    """The conversation that ends at a turn.

    Raises:
        NotFound: a turn is missing in the blobs.
    """
    return Conversation.of(turns(blobs, head))


def turns(blobs: BlobStore, head: Sha256 | None) -> list[Turn]:
    """The turns up to this one, oldest first. Raises as `read`."""
    found: list[Turn] = []
    while head is not None:
        found.append(_links.turn(blobs, head))
        head = found[-1].before
    found.reverse()
    return found


def last(blobs: BlobStore, head: Sha256 | None) -> Turn | None:
    """The newest turn alone."""
    return None if head is None else _links.turn(blobs, head)


def add(blobs: BlobStore, head: Sha256 | None, messages: list[Message], said: str = "", **more: Any) -> Sha256:
    """Store one turn more, with further fields of `Turn`; its name is the conversation's new head."""
    turn = Turn(before=head, messages=messages, said=said, **more)
    return blobs.put(turn.model_dump_json().encode())


def text(parts: list[Part]) -> str:
    """The text of a message; a blob is named, not read."""
    return "\n".join(map(_named, parts))


def of(role: str, words: str, *more: Part) -> Message:
    return Message.model_validate({"role": role, "parts": [TextPart(text=words), *more]})


class _Links:
    """Turns that were read, those of the latest use: a long conversation is read from the disk once, not at each turn.

    Bounded by the bytes of their blobs.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._turns: OrderedDict[tuple[Path, Sha256], tuple[Turn, int]] = OrderedDict()
        self._lock = threading.Lock()

    def turn(self, blobs: BlobStore, ref: Sha256) -> Turn:
        key = blobs.root, ref
        with self._lock:
            if key in self._turns:
                self._turns.move_to_end(key)
                return self._turns[key][0]
        data = blobs.get(ref)
        turn = Turn.model_validate_json(data)
        with self._lock:
            self._keep(key, turn, len(data))
        return turn

    def _keep(self, key: tuple[Path, Sha256], turn: Turn, size: int) -> None:
        if key in self._turns:
            return
        self._turns[key], self._bytes = (turn, size), self._bytes + size
        while self._bytes > self._most_bytes:
            _, (_, left) = self._turns.popitem(last=False)
            self._bytes -= left


_links = _Links(CACHED_BYTES)


def _named(part: Part) -> str:
    match part:
        case BlobPart():
            return f"[{part.name or part.media_type}, {part.size_bytes} bytes]"
        case CallPart():
            return f"[calls {part.skill}]"
        case _:
            return part.text
