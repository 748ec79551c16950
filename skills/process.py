"""The worker's side of a runner process: start it, ask it, kill it with all that it started; keep a few warm."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skills.runner import MAX_ANSWER_BYTES

RUNNER = Path(__file__).with_name("runner.py")
_TAIL_BYTES = 8192
_LAST_WORDS_SECONDS = 0.5


@dataclass(frozen=True)
class RunnerKey:
    """What a process may be used again for: the same code, interpreter and environment, and the same tenant."""

    python: str
    folder: Path
    handler: str
    environment: tuple[tuple[str, str], ...]
    tenant: str


class Gone(Exception):
    """The process ended without an answer. `returncode` is negative for a signal."""

    def __init__(self, returncode: int, tail: str) -> None:
        super().__init__(returncode, tail)
        self.returncode, self.tail = returncode, tail

    @property
    def how(self) -> str:
        if self.returncode < 0:
            return f"killed by {signal.Signals(-self.returncode).name}"
        return f"exit code {self.returncode}"


class AnswerTooLarge(Exception):
    """More than 64 MiB came without an end of line."""


class RunnerProcess(asyncio.SubprocessProtocol):
    """One runner. One question at a time; its stderr is read all the time, and the last 8 KiB are kept."""

    def __init__(self) -> None:
        self._transport: asyncio.SubprocessTransport | None = None
        self._buffer = bytearray()
        self._tail = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._is_killed = False
        self.gone = asyncio.Event()
        self.since = 0.0

    @classmethod
    async def start(cls, key: RunnerKey) -> "RunnerProcess":
        """
        Raises:
            OSError: the interpreter cannot be started.
        """
        command = [key.python, str(RUNNER), str(key.folder), key.handler]
        _, process = await asyncio.get_running_loop().subprocess_exec(
            cls, *command, env=dict(key.environment), cwd=key.folder, start_new_session=True
        )
        return process

    @property
    def pid(self) -> int:
        assert self._transport is not None
        return self._transport.get_pid()

    @property
    def is_alive(self) -> bool:
        return self._transport is not None and self._transport.get_returncode() is None

    @property
    def tail(self) -> str:
        """The end of what it printed."""
        return self._tail.decode("utf-8", "replace")

    def forget(self) -> None:
        """Forget what it printed so far: another call begins."""
        self._tail.clear()

    async def ask(self, frame: bytes) -> bytes:
        """Send a line, return the next one that comes. Cancelled, it leaves a process that must be killed.

        Raises:
            Gone: the process ended first.
            AnswerTooLarge: the answer does not end.
        """
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        if not self.is_alive:
            self._lost()
        else:
            self._transport.get_pipe_transport(0).write(frame)  # type: ignore[union-attr]
        return await self._answer

    def kill(self) -> None:
        """Kill the process and its group. What outlived the process itself, its watcher kills."""
        self._is_killed = True
        if self.is_alive:
            for kill in (os.killpg, os.kill):
                with suppress(ProcessLookupError, PermissionError):
                    kill(self.pid, signal.SIGKILL)
        elif self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._tail += data
            del self._tail[:-_TAIL_BYTES]
            return
        self._buffer += data
        if data.endswith(b"\n"):
            self._settle(bytes(self._buffer))
            self._buffer.clear()
        elif len(self._buffer) > MAX_ANSWER_BYTES + 1024:
            self._fail(AnswerTooLarge())

    def process_exited(self) -> None:
        self.gone.set()
        # Not earlier: a transport that is closed looks whether its process lives, and takes the exit code away.
        if self._is_killed and self._transport is not None:
            self._transport.close()
        # Its last words may still be in the pipe; a child of its own may hold the pipe open for ever.
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._lost)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1 and not self.is_alive:
            self._lost()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()

    def _lost(self) -> None:
        code = self._transport.get_returncode() if self._transport is not None else None
        self._fail(Gone(-signal.SIGKILL if code is None else code, self.tail))

    def _settle(self, line: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(line)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class RunnerPool:
    """Processes that wait for the next call, and all that live, busy ones too.

    At most `size` wait, none for longer than `idle_seconds`; the one that waits longest is ended first.
    """

    def __init__(self, size: int = 20, idle_seconds: float = 60.0) -> None:
        self.size, self.idle_seconds = size, idle_seconds
        self._idle: dict[RunnerProcess, RunnerKey] = {}
        self._living: set[RunnerProcess] = set()

    async def take(self, key: RunnerKey) -> RunnerProcess:
        """A waiting process of exactly this key, else a new one. It is the caller's until given back or killed.

        Raises:
            OSError: the interpreter cannot be started.
        """
        for process in reversed([process for process, own in self._idle.items() if own == key]):
            del self._idle[process]
            if process.is_alive:
                process.forget()
                return process
            process.kill()
        process = await RunnerProcess.start(key)
        self._living = {other for other in self._living if other.is_alive} | {process}
        return process

    def give(self, key: RunnerKey, process: RunnerProcess) -> None:
        """Take back a process that has answered."""
        self._idle[process] = key
        process.since = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(self.idle_seconds, self._expire, process, process.since)
        while len(self._idle) > self.size:
            self._end(next(iter(self._idle)))

    def _expire(self, process: RunnerProcess, since: float) -> None:
        if process in self._idle and process.since == since:
            self._end(process)

    def _end(self, process: RunnerProcess) -> None:
        del self._idle[process]
        process.kill()

    async def close(self) -> None:
        """Kill all processes and wait until they are gone."""
        self._idle.clear()
        for process in self._living:
            process.kill()
        await asyncio.gather(*(process.gone.wait() for process in self._living))
        self._living.clear()


def clean_environment(environ: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What a project's skill sees of the worker's environment: paths, language, time zone, and its secrets."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT")
    values = {name: environ[name] for name in kept if name in environ}
    values.setdefault("PATH", os.defpath)
    values |= {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    return tuple(sorted({**values, **secrets}.items()))


def interpreter(project_python: str | None) -> str:
    return project_python or sys.executable
