"""Lines of a chat: what one message is, and where it is read from: a terminal with history, or any stream."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TextIO

BLOCK = '"""'
_PROMPT, _MORE = "> ", "… "


class Ended(Exception):
    """Ctrl-d, or the end of the stream."""


class Reader(Protocol):
    def message(self) -> str:
        """The next message, of one line or several.

        Raises:
            Ended: there is none.
            KeyboardInterrupt: ctrl-c.
        """
        ...

    def answer(self, prompt: str) -> str:
        """One line that answers a question. Raises as `message` does."""
        ...


def is_unfinished(text: str) -> bool:
    """Whether a message goes on in the next line: it ends in a backslash, or a block of triple quotes is open."""
    if text.count(BLOCK) % 2:
        return True
    return text.endswith("\\") and not text.endswith("\\\\")


def joined(text: str) -> str:
    """A message as it is sent: without the quotes around blocks, and without the backslashes that join its lines."""
    blocks = text.split(BLOCK)
    outside = [part.replace("\\\n", "\n") for part in blocks[::2]]
    inside = [part.strip("\n") for part in blocks[1::2]]
    parts = [part for pair in zip(outside, [*inside, ""], strict=False) for part in pair]
    return "".join(parts).strip()


def open_reader(history: Path) -> "Reader":
    """The reader that suits stdin."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        from cli.chatprompt import Prompt

        return Prompt(history, _PROMPT, _MORE)
    return Lines(sys.stdin)


class Lines:
    """A plain stream: a script, a pipe, a file."""

    def __init__(self, source: TextIO | Iterable[str]) -> None:
        self._lines = iter(source)

    def message(self) -> str:
        text = self._next()
        while is_unfinished(text):
            try:
                text = f"{text}\n{self._next()}"
            except Ended:
                break
        return joined(text)

    def answer(self, prompt: str) -> str:
        return self._next().strip()

    def _next(self) -> str:
        try:
            return next(self._lines).rstrip("\r\n")
        except StopIteration:
            raise Ended from None
