"""A conversation summed up by rule: what the person said, in its first words."""

from collections.abc import Iterator, Sequence

from holdfast.contracts.message import Message, TextPart

_PLAINLY = "Made by rule, without a model: the beginnings of what the person said, the latest last."
_LINE = 160
_CHARACTERS_PER_WORD = 2


def recap(messages: Sequence[Message], words: int) -> str:
    """In about so many words; the last message is the request for the summary."""
    lines: list[str] = []
    for line in reversed([line for message in messages[:-1] for line in _lines(message)]):
        if sum(map(len, lines)) + len(line) > words * _CHARACTERS_PER_WORD:
            break
        lines.append(line)
    return "\n".join([_PLAINLY, *reversed(lines)])


def _lines(message: Message) -> Iterator[str]:
    """A line for what was said; those of an earlier summary stay as they are."""
    texts = [part.text for part in message.parts if isinstance(part, TextPart)] if message.role == "user" else []
    for text in texts:
        if _PLAINLY in text:
            yield from (line for line in text.partition(_PLAINLY)[2].splitlines() if line.strip())
        elif said := " ".join(text.split()):
            yield f"- {said if len(said) <= _LINE else said[: _LINE - 1] + '…'}"
