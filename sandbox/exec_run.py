"""One command in its box, from bubblewrap's start to the end of the last process inside."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from holdfast.errors import shown
from sandbox import exec_bwrap, exec_disk, exec_memory, procs, seccomp
from sandbox.base import BoxLost, Cause
from sandbox.exec_bwrap import Command, Pipes
from sandbox.exec_memory import Cgroup, Controller
from sandbox.interpreter import identity

if TYPE_CHECKING:
    from sandbox.exec_box import Exec

_START_SECONDS = 20.0
_END_SECONDS = 2.0
_INTERVAL_S = 0.1
_READ_BYTES = 64 << 10
_KILL_ROUNDS = 100


@dataclass(frozen=True)
class Finished:
    """`cause` is why we stopped it; None if it ended by itself. A death by signal is 128 + its number."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    cause: Cause | Literal["timeout"] | None
    seconds: float


class Run:
    """One command from bubblewrap's start to the end of its last process."""

    def __init__(self, place: "Exec", command: Command) -> None:
        self._place, self._command, self._limits = place, command, command.limits
        self._title = procs.new_title()
        self._out: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._cause: Cause | Literal["timeout"] | None = None
        self._cgroup: Cgroup | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reading: list[asyncio.Future[None]] = []
        self._first: int | None = None
        self._printed = 0

    async def finish(self) -> Finished:
        self._check_workspace()
        began = time.monotonic()
        try:
            if self._place.controller:
                self._cgroup = self._make_cgroup(self._place.controller)
            code = await self._run()
        finally:
            if self._cgroup:
                await self._cgroup.remove()
        code = 128 - code if code < 0 else code
        stdout, stderr = (bytes(self._out[name]) for name in ("stdout", "stderr"))
        return Finished(stdout, stderr, exit_code=code, cause=self._cause, seconds=time.monotonic() - began)

    def _check_workspace(self) -> None:
        folder = self._command.workspace
        owner = os.geteuid() if self._place.uid is None else self._place.uid
        if folder and (not folder.is_dir() or folder.stat().st_uid != owner):
            raise BoxLost(f"the workspace {str(folder)!r} of a command has to be a folder that belongs to uid {owner}")

    def _make_cgroup(self, where: Controller) -> Cgroup:
        try:
            return exec_memory.create(where, self._limits.memory_bytes)
        except OSError as exc:
            raise BoxLost(f"no cgroup for a command: {exc}") from exc

    async def _run(self) -> int:
        # The pipes go last: when the one that it waits for is closed, bubblewrap begins the command.
        with _pipe() as info, _pipe() as go:
            try:
                await _to_its_end(self._start(info, go))
                return await self._watched(self._running)
            finally:
                await asyncio.shield(self._end())

    async def _start(self, info: tuple[BinaryIO, BinaryIO], go: tuple[BinaryIO, BinaryIO]) -> None:
        try:
            with _without_end(go[0]) as waiting:
                await self._spawn(info[1].fileno(), waiting.fileno())
            info[1].close()
            await self._release(info[0], go[1])
        except OSError as exc:
            raise BoxLost(f"a command did not start: {exc}") from exc

    async def _spawn(self, info: int, go: int) -> None:
        with contextlib.ExitStack() as stack:
            contents = {**exec_bwrap.ACCOUNTS, **{f"/ws/{path}": data for path, data in self._command.files.items()}}
            fds = {path: stack.enter_context(_file(data)) for path, data in contents.items()}
            pipes = Pipes(stack.enter_context(_file(seccomp.stage1())), info, go)
            options = exec_bwrap.options(self._place.bwrap, self._command, pipes, fds)
            # By descriptor: a command line, with the environment in it, is there for all users of the machine to read.
            args = stack.enter_context(_file(b"".join(word.encode() + b"\0" for word in options)))
            line = [self._title, "--args", str(args), "--", *exec_bwrap.limited(self._command)]
            kept = (*fds.values(), *(pipes.filter, info, go, args))
            await self._execute(line, kept)

    async def _execute(self, line: list[str], kept: tuple[int, ...]) -> None:
        executable, env = self._place.bwrap.path, {}
        if self._place.controller is None:
            scope = exec_memory.scope(self._limits.memory_bytes, self._place.systemd_run)
            # Behind systemd-run, which cannot, bash gives the title.
            line = [*scope, "/bin/bash", "-c", 'exec -a "$0" "$@"', line[0], executable, *line[1:]]
            executable, env = scope[0], exec_memory.bus()
        pipe = asyncio.subprocess.PIPE
        options: dict[str, Any] = {"pass_fds": kept, "env": env, "cwd": "/", **identity(self._place.uid)}
        self._process = await asyncio.create_subprocess_exec(
            *line, executable=executable, stdin=pipe, stdout=pipe, stderr=pipe, **options
        )
        self._reading = [asyncio.ensure_future(self._read(name)) for name in self._out]

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def _release(self, info: BinaryIO, go: BinaryIO) -> None:
        """Bind what has started so far, which waits, to its cgroup; then let the command begin."""
        first = await _first_process(info)
        if first is None:
            raise BoxLost(f"a command did not start: {await self._complaint()}")
        self._first = os.pidfd_open(first)
        if self._cgroup:
            self._cgroup.add(procs.tree(self._running.pid))
        else:
            self._cgroup = exec_memory.scope_of(first)
        go.write(b"\n")

    async def _complaint(self) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.gather(self._running.wait(), *self._reading)
        wrote = self._out["stderr"].decode("utf-8", "replace")
        return f"bwrap ended with {self._running.returncode}, it wrote {shown(wrote)}"

    async def _watched(self, process: asyncio.subprocess.Process) -> int:
        beside = [asyncio.ensure_future(self._feed(process)), asyncio.ensure_future(self._watch(process.pid))]
        # The pipes too: bubblewrap's end is that of all processes inside, but what they wrote may still be there.
        ended = [asyncio.ensure_future(_exit_of(process)), *self._reading]
        try:
            _, late = await asyncio.wait(ended, timeout=self._limits.wall_seconds)
            if late:
                self._stop("timeout")
                await asyncio.wait(ended)
        finally:
            for task in beside:
                task.cancel()
        self._cause = self._cause or await asyncio.to_thread(self._breach, process.pid)
        return await process.wait()

    async def _feed(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(self._command.stdin)
            await process.stdin.drain()
        process.stdin.close()

    async def _read(self, name: str) -> None:
        stream = getattr(self._running, name)
        while data := await stream.read(_READ_BYTES):
            self._out[name] += data[: max(0, self._limits.output_bytes - self._printed)]
            self._printed += len(data)
            if self._printed > self._limits.output_bytes:
                self._stop("output")

    async def _watch(self, pid: int) -> None:
        while self._cause is None:
            await asyncio.sleep(_INTERVAL_S)
            if cause := await asyncio.to_thread(self._breach, pid):
                self._stop(cause)

    def _breach(self, pid: int) -> Cause | None:
        if self._cgroup and self._cgroup.had_to_kill():
            return "memory"
        if self._command.workspace is None:
            return None
        return exec_disk.breach(self._command.workspace, pid, self._limits)

    def _stop(self, cause: Cause | Literal["timeout"]) -> None:
        self._cause = self._cause or cause
        self._strike()

    def _strike(self) -> None:
        """With the first process of its namespace, the kernel ends all others in it."""
        if self._first is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)

    async def _end(self) -> None:
        self._strike()
        if self._first is None:
            await self._clear_away()
        if self._process is not None:
            await self._process.wait()
            await asyncio.wait(self._reading)
        if self._first is not None:
            os.close(self._first)

    async def _clear_away(self) -> None:
        """Without its first process known, only the title tells what is of this box."""
        if self._process is not None:
            _kill(procs.tree(self._process.pid))
        for _ in range(_KILL_ROUNDS):
            if not procs.kill_titled(self._title):
                return
            await asyncio.sleep(0.01)


async def _to_its_end(starting: Coroutine[Any, Any, None]) -> None:
    """A start that is cancelled goes on to where it can be ended cleanly: until then, not all of it is known."""
    task = asyncio.ensure_future(starting)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _exit_of(process: asyncio.subprocess.Process) -> None:
    await process.wait()


def _kill(pids: list[int]) -> None:
    for pid in reversed(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _without_end(pipe: BinaryIO) -> Iterator[BinaryIO]:
    """Its reading end, open for both ways: who waits for it does not go on when all others are gone.

    With a worker that is killed a command does not begin, then, but waits for `reap_orphans`, which knows the title.
    """
    with open(f"/proc/self/fd/{pipe.fileno()}", "r+b", buffering=0) as both:
        yield both


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """As files, not numbers: who closes one twice closes nobody else's."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as reader, open(writing, "wb", buffering=0) as writer:
        yield reader, writer


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[int]:
    """A descriptor to read `content` from, of a file that has no name."""
    with open(os.memfd_create("holdfast"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()


async def _first_process(info: BinaryIO) -> int | None:
    """Pid 1 of the box, as seen from here; None if bubblewrap does not tell. Read to the end: it writes in pieces."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), info)
    try:
        async with asyncio.timeout(_START_SECONDS):
            return int(json.loads(await reader.read() or b"{}")["child-pid"])
    except (TimeoutError, ValueError, KeyError):
        return None
    finally:
        transport.close()
