"""Conversations as chains of blobs: each turn names the one before it and holds what was new."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from activities.replies import read_program
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Sha256
from holdfast.contracts.llm import Turn
from holdfast.contracts.message import BlobPart, CallPart, Message, Part, TextPart


@dataclass(frozen=True)
class Conversation:
    """All that was said so far. `said` is what the person said, in their own words, turn by turn."""

    messages: list[Message] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

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
    turns: list[Turn] = []
    while head is not None:
        turns.append(_turn(blobs.root, head))
        head = turns[-1].before
    turns.reverse()
    return Conversation(
        messages=[message for turn in turns for message in turn.messages],
        said=[turn.said for turn in turns if turn.said],
    )


def add(blobs: BlobStore, head: Sha256 | None, messages: list[Message], said: str = "") -> Sha256:
    """Store one more turn; its name is the conversation's new head."""
    turn = Turn(before=head, messages=messages, said=said)
    return blobs.put(turn.model_dump_json().encode())


def text(parts: list[Part]) -> str:
    """The text of a message; a blob is named, not read."""
    return "\n".join(map(_named, parts))


def of(role: str, words: str, *more: Part) -> Message:
    return Message.model_validate({"role": role, "parts": [TextPart(text=words), *more]})


@lru_cache(maxsize=1024)
def _turn(root: Path, ref: Sha256) -> Turn:
    return Turn.model_validate(BlobStore(root).get_json(ref))


def _named(part: Part) -> str:
    match part:
        case BlobPart():
            return f"[{part.name or part.media_type}, {part.size_bytes} bytes]"
        case CallPart():
            return f"[calls {part.skill}]"
        case _:
            return part.text
