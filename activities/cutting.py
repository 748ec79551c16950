"""Messages made shorter: their long texts cut to their beginning, with a handle."""

import json
from collections.abc import Callable

from activities import conversation, notes
from activities.notes import WORST_HANDLE, Keep
from holdfast.contracts.message import BlobPart, CallPart, Message, Part, TextPart
from holdfast.windows import AROUND_MESSAGE, Read, estimate, tokens, wired

_LEAST_CHARACTERS = 40


def capped(message: Message, longest: int, head: int, keep: Keep) -> Message:
    """With each text that is longer than `longest` characters cut to its head."""
    return message.model_copy(update={"parts": [_cut(part, longest, head, keep) for part in message.parts]})


def named(message: Message) -> Message:
    """With the names of its files in their places."""
    names = [
        TextPart(text=f"{conversation.text([part])} (not shown again)") if isinstance(part, BlobPart) else part
        for part in message.parts
    ]
    return message.model_copy(update={"parts": names})


def squeezed(message: Message, room: int, keep: Keep, read: Read) -> Message | None:
    """With its longest parts, and the texts of files, cut so far that it has `room` tokens; None: not even then."""
    opened = message.model_copy(update={"parts": [_text_of(part, read) for part in message.parts]})
    if tokens(opened, read) <= room:
        return opened

    def fits(characters: int) -> bool:
        return tokens(capped(opened, characters, characters, _worst), read) <= room

    if not fits(_LEAST_CHARACTERS):
        return None
    most = _most(_LEAST_CHARACTERS, max(map(_length, opened.parts), default=0), fits)
    return capped(opened, most, most, keep)


def plain(message: Message, room: int, keep: Keep) -> Message:
    """Its text alone, cut so that it has `room` tokens."""
    text = conversation.text(message.parts)

    def fits(characters: int) -> bool:
        return AROUND_MESSAGE + estimate(notes.Cut(text[:characters], len(text), WORST_HANDLE).text) <= room

    most = _most(0, len(text), fits)
    return conversation.of("user", notes.Cut(text[:most], len(text), keep(text)).text)


def short_call(part: CallPart, characters: int, keep: Keep) -> CallPart:
    """With its long arguments cut; all of them as one text, where that is not enough."""
    written = json.dumps(part.arguments, ensure_ascii=False)
    if len(written) <= characters:
        return part
    short = {
        name: notes.cut(value, characters // 2, keep) if isinstance(value, str) else value
        for name, value in part.arguments.items()
    }
    if len(json.dumps(short, ensure_ascii=False)) > 2 * characters:
        short = {"arguments": notes.cut(written, characters, keep)}
    return part.model_copy(update={"arguments": short})


def _most(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number that fits, if more never fits where less does not; `low` does."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _length(part: Part) -> int:
    match part:
        case BlobPart():
            return part.size_bytes
        case CallPart():
            return len(wired(part))
        case _:
            return len(part.text)


def _cut(part: Part, longest: int, head: int, keep: Keep) -> Part:
    match part:
        case BlobPart():
            return part
        case CallPart():
            return part if len(wired(part)) <= longest else short_call(part, head, keep)
        case _:
            text = part.text if len(part.text) <= longest else notes.cut(part.text, head, keep)
            return part.model_copy(update={"text": text})


def _text_of(part: Part, read: Read) -> Part:
    if not isinstance(part, BlobPart) or part.media_type.startswith("image/"):
        return part
    return TextPart(text=f"{conversation.text([part])}\n{read(part.ref).decode(errors='replace')}")


def _worst(_text: str) -> str:
    return WORST_HANDLE
