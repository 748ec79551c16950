"""One process of ours that is kept alive: started, watched, started again with a growing pause, stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cli.screen import USAGE
from holdfast.errors import OperatorError

FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_HEALTHY_AFTER_S = 60.0
_TAIL_LINES = 20


class ChildFailed(OperatorError):
    """A process that we need does not start; the message holds the end of its log."""

    code = "CHILD_FAILED"


@dataclass
class Child:
    """`command` are the words after `holdfast`, `module` is what they are said to.

    It ends by SIGTERM, also when this process dies (on Linux).
    """

    name: str
    command: list[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    pause_s: float = FIRST_PAUSE_S
    started: float = field(default_factory=time.monotonic)
    log_begins: int = 0
    module: ClassVar[str] = "cli.main"

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} is not started"
        return self.process.pid

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        self.log_begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                # -P: a folder of the project that is called like one of ours must not hide it.
                [sys.executable, "-P", "-m", self.module, *self.command, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env=dict(self.env),
                # Its own session: ctrl-c in the terminal reaches only us, and we stop things in order.
                start_new_session=True,
            )

    def ended(self) -> int | None:
        """The exit code (minus the signal's number for a kill), or None while it runs."""
        return self.process.poll() if self.process else None

    def refuse_ended(self) -> None:
        """Raises:
        ChildFailed: it has ended, although it should run.
        """
        if (code := self.ended()) is not None:
            raise ChildFailed(
                f"{self.name} {how_it_ended(code)}. The end of {self.log}:\n{tail(self.log, self.log_begins)}"
            )

    async def again(self) -> None:
        """Start it again after a pause that doubles with each early death. A usage error would only come again.

        Raises:
            ChildFailed: it ended with a usage error.
        """
        if self.ended() == USAGE:
            self.refuse_ended()
        if time.monotonic() - self.started > _HEALTHY_AFTER_S:
            self.pause_s = FIRST_PAUSE_S
        await asyncio.sleep(self.pause_s)
        self.pause_s = min(_LONGEST_PAUSE_S, self.pause_s * 2)
        self.start()

    async def stop(self, grace_s: float) -> None:
        """SIGTERM; after the grace SIGKILL, to its whole process group."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, grace_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def how_it_ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def tail(log: Path, begin: int) -> str:
    """The last lines of a log, of those behind its byte `begin`."""
    lines = log.read_bytes()[begin:].decode("utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
