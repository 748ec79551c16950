"""The `holdfast` command as people use it: a process with a terminal's environment, in a project folder of its own."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.processes import descendants
from holdfast.ports import free_port

ROOT = Path(__file__).parents[2]
UP = "Ctrl-C stops everything"
CTRL_C = b"\x03"
_PATIENCE_SECONDS = 5.0
_OWN_TERMINAL = "import cli.main, fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); cli.main.main()"


@dataclass
class Project:
    """A project folder, its ports, and the commands run in it."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(3)])
    up: "subprocess.Popen[bytes] | None" = None

    @property
    def env(self) -> dict[str, str]:
        api, temporal, ui = map(str, self.ports)
        own = {"HOLDFAST_PORT": api, "TEMPORAL_ADDRESS": f"127.0.0.1:{temporal}", "HOLDFAST_TEMPORAL_UI_PORT": ui}
        kept = {name: value for name, value in os.environ.items() if not name.endswith("API_KEY")}
        return kept | own | {"PYTHONPATH": str(ROOT), "DEFAULT_LLM_PROVIDER": "offline"}

    @property
    def said(self) -> str:
        """All that `up` has printed."""
        return (self.folder / "up.out").read_text("utf-8")

    def run(self, *words: str, stdin: str = "", seconds: float = 60, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            cwd=self.folder,
            env=self.env | env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def at_a_terminal(self, *words: str, type_at: str = "", typed: str = "", **env: str) -> tuple[int, str]:
        """Exit code, and all that a terminal was sent. `typed` is typed once, when `type_at` has been shown."""
        return at_a_terminal(words, self.folder, self.env | env, type_at, typed)

    def program(self, text: str, name: str = "program.py") -> str:
        (self.folder / name).write_text(text, "utf-8")
        return name

    def start_up(self) -> None:
        with (self.folder / "up.out").open("wb") as out:
            command = [sys.executable, "-m", "cli.main", "up"]
            self.up = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=out, stderr=out)
        self.wait(lambda: UP in self.said)

    def stop_up(self, number: int = signal.SIGTERM) -> int:
        assert self.up is not None
        self.up.send_signal(number)
        return self.up.wait(60)

    def processes(self, word: str) -> list[int]:
        """Pids of our children whose command line has `word`."""
        assert self.up is not None
        return [process.pid for process in descendants(self.up.pid) if word in _command(process.pid)]

    def wait(self, condition: Any, seconds: float = 90) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert self.up is None or self.up.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return found


def at_a_terminal(
    words: Sequence[str], folder: Path, env: Mapping[str, str], type_at: str = "", typed: str = ""
) -> tuple[int, str]:
    """`holdfast` with a terminal of its own for stdin, stdout and stderr: ctrl-c is typed as `\\x03`."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _OWN_TERMINAL, *words],
        cwd=folder,
        env={**env, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = _read(ours, type_at.encode(), typed.encode())
        return process.wait(60), shown.decode("utf-8", errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int, type_at: bytes, typed: bytes) -> bytes:
    shown, is_typed = b"", not typed
    # The terminal of a process that has ended is an error to read from.
    with contextlib.suppress(OSError):
        while data := _more(terminal, typed if is_typed else b""):
            shown += data
            if not is_typed and type_at in shown:
                is_typed = True
                os.write(terminal, typed)
    return shown


def _more(terminal: int, typed: bytes) -> bytes:
    """What is shown next. CPython loses a ctrl-c between its prompt and its wait for a key; a person types it again."""
    while typed == CTRL_C and not select.select([terminal], [], [], _PATIENCE_SECONDS)[0]:
        os.write(terminal, typed)
    return os.read(terminal, 65536)


@contextlib.contextmanager
def project(folder: Path) -> Iterator[Project]:
    """A project whose `up`, if one runs at the end, is stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "holdfast.yaml").touch()
    one = Project(folder)
    try:
        yield one
    finally:
        if one.up is not None and one.up.poll() is None:
            one.stop_up()


def _command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_text("utf-8", errors="replace").split("\0")
    return []
