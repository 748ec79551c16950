"""What is seen of a turn while it runs: at a terminal drawn again and again, elsewhere line by line; or JSON lines."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, Self

from rich.live import Live
from rich.markup import escape
from rich.text import Text

from cli import screen
from cli.chatsteps import Seen
from cli.groups import Group, line
from holdfast.client import Event

_LINES = 8
_AROUND = 4
"""Lines of the screen that are left free when the model's words fill it."""


class Show(Protocol):
    """Where a turn is shown; a context manager as long as it is."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def hear(self, event: Event) -> None:
        """Show what happened."""
        ...

    def draw(self) -> None:
        """Bring what is under way up to date."""
        ...

    def note(self, text: str) -> None:
        """Say something about the turn: why it pauses, what is tried again."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """As long as it lasts, the screen is somebody else's."""
        ...


class Drawn:
    """Steps on stderr, each once, when it is over; below them, at a terminal, what is open and what is said."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if screen.progress.is_terminal:
            self._live = Live(console=screen.progress, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._print(is_over=True)
        if self._live:
            self._live.stop()

    def hear(self, event: Event) -> None:
        reruns = self.seen.reruns
        self.seen.hear(event)
        if self.seen.reruns > reruns:
            self.note("its worker or sandbox was lost: the program runs again, finished calls answer from the journal")
        self._print(is_over=False)

    def draw(self) -> None:
        if self._live:
            open_ = [_styled(group) for group in self.seen.groups[-_LINES:]]
            now = [Text(f"    {self.seen.phase} …", style="dim")] if self.seen.phase and not open_ else []
            room = max(3, screen.progress.height - len(open_) - len(now) - _AROUND)
            said = [Text(one) for one in self.seen.said.splitlines()[-room:]]
            self._live.update(Text("\n").join([*open_, *now, *said]), refresh=True)

    def note(self, text: str) -> None:
        screen.progress.print(f"    [bold yellow]~[/]  {escape(text)}")

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._print(is_over=True)
        if self._live is None:
            yield
            return
        self._live.update(Text(""), refresh=True)
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def _print(self, is_over: bool) -> None:
        for group in self.seen.settled(is_over):
            screen.progress.print(_styled(group))


class JsonLines:
    """Every event as a line of JSON on stdout; notes on stderr."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def hear(self, event: Event) -> None:
        self.say(event.name, **event.data)

    def draw(self) -> None:
        pass

    def note(self, text: str) -> None:
        screen.say(f"    ~  {text}")

    @contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def say(self, name: str, /, **data: object) -> None:
        sys.stdout.write(json.dumps({"event": name, **data}, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()


def _styled(group: Group) -> Text:
    return Text(line(group, time.time()), style="yellow" if group.failed else "")
