"""A person at a terminal: types into a process, and sees what is on its screen, with the time when each line came."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_OWN_TERMINAL = "import cli.main, fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); cli.main.main()"
_CONTROL = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b[=>()][B0]?|([\r\n\b])")
PROMPT = "\x1b[?2004h"
"""What the line of a chat sends when it is ready for keys."""


@dataclass
class Row:
    text: str = ""
    at: float = 0.0


@dataclass
class Screen:
    """What a terminal of endless height shows: enough of a VT100 for our own output."""

    rows: list[Row] = field(default_factory=lambda: [Row()])
    row: int = 0
    column: int = 0

    def feed(self, text: str, at: float) -> None:
        place = 0
        for found in _CONTROL.finditer(text):
            self._write(text[place : found.start()], at)
            place = found.end()
            self._control(found, at)
        self._write(text[place:], at)

    @property
    def lines(self) -> list[str]:
        return [row.text.rstrip() for row in self.rows]

    def _write(self, text: str, at: float) -> None:
        if not text:
            return
        row = self.rows[self.row]
        padded = row.text.ljust(self.column)
        new = padded[: self.column] + text + padded[self.column + len(text) :]
        row.at = at if new.rstrip() != row.text.rstrip() else row.at
        row.text, self.column = new, self.column + len(text)

    def _control(self, found: re.Match[str], at: float) -> None:
        match found[3], found[2]:
            case "\r", _:
                self.column = 0
            case "\n", _:
                self._down(1)
            case "\b", _:
                self.column = max(0, self.column - 1)
            case _, "A":
                self.row = max(0, self.row - self._count(found))
            case _, "B":
                self._down(self._count(found))
            case _, "C":
                self.column += self._count(found)
            case _, "D":
                self.column = max(0, self.column - self._count(found))
            case _, "K" | "J":
                self._erase(found[2], found[1], at)

    def _erase(self, kind: str, mode: str, at: float) -> None:
        row = self.rows[self.row]
        row.text, row.at = "" if mode == "2" else row.text[: self.column], at
        if kind == "J":
            del self.rows[self.row + 1 :]

    def _down(self, count: int) -> None:
        self.row += count
        self.rows += [Row() for _ in range(self.row + 1 - len(self.rows))]

    def _count(self, found: re.Match[str]) -> int:
        return int(found[1] or 1)


class Terminal:
    """`holdfast` with a terminal of its own; a context manager that ends it."""

    def __init__(self, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        own = {**env, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "100", "LINES": "40"}
        command = [sys.executable, "-c", _OWN_TERMINAL, *words]
        self.process = subprocess.Popen(
            command, cwd=folder, env=own, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.screen, self.sent = Screen(), ""
        self._began = time.monotonic()
        self._seen = self._typed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def type(self, text: str) -> None:
        """Type once the line is ready; enter is part of it."""
        self._await(PROMPT, self._typed, 60)
        self._typed = len(self.sent)
        os.write(self._ours, text.encode() + b"\r")

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def see(self, text: str, seconds: float = 60) -> None:
        """Wait until this is sent, behind what was waited for before."""
        self._seen = self._await(text, self._seen, seconds)

    def _await(self, text: str, place: int, seconds: float) -> int:
        """Where it ends in what was sent, once it was sent behind `place`."""
        deadline = time.monotonic() + seconds
        while text not in self.sent[place:]:
            assert time.monotonic() < deadline, f"{text!r} does not come:\n" + "\n".join(self.screen.lines)
            assert self._read(0.2) or self.process.poll() is None, f"ended before {text!r}:\n{self.sent}"
        return self.sent.index(text, place) + len(text)

    def watch(self, seconds: float) -> None:
        """Take in what comes, for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.05)

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Take in what comes, until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "\n".join(self.screen.lines)
            self._read(0.05)

    def end(self, seconds: float = 30) -> int:
        """Its exit code, once it has ended."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None or self._read(0):
            assert time.monotonic() < deadline, "\n".join(self.screen.lines)
            self._read(0.1)
        return self.process.returncode

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _read(self, seconds: float) -> bool:
        with contextlib.suppress(OSError):  # the terminal of a process that has ended
            if select.select([self._ours], [], [], seconds)[0]:
                data = os.read(self._ours, 65536).decode("utf-8", errors="replace")
                self.sent += data
                self.screen.feed(data, self.seconds)
                return bool(data)
        return False
