"""The line at a terminal: history over chats, several lines, and keys as people know them."""

from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.defaults import create_output

from cli.chatinput import Ended, is_unfinished, joined


class Prompt:
    """Enter sends; alt-enter, a trailing backslash or open triple quotes make a further line."""

    def __init__(self, history: Path, prompt: str, more: str) -> None:
        import sys

        self._prompt = prompt
        output = create_output(stdout=sys.stderr)
        self._lines: PromptSession[str] = PromptSession(
            history=_history(history),
            multiline=True,
            key_bindings=_keys(),
            prompt_continuation=lambda width, _line, _is_soft: more.rjust(width),
            output=output,
        )
        self._answers: PromptSession[str] = PromptSession(history=InMemoryHistory(), output=output)

    def message(self) -> str:
        return joined(self._asked(self._lines, self._prompt))

    def answer(self, prompt: str) -> str:
        return self._asked(self._answers, prompt).strip()

    def _asked(self, session: "PromptSession[str]", prompt: str) -> str:
        try:
            return session.prompt(prompt)
        except EOFError:
            raise Ended from None


def _history(file: Path) -> History:
    """Of all chats in one data folder; where that cannot be written, of this one."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(file)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _sent(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_unfinished(buffer.text):
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _further(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys
