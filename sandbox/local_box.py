"""One box of the adapter `local`: from bubblewrap's start to the end of its last process."""

import asyncio
import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from holdfast.errors import shown
from sandbox import procs, seccomp
from sandbox.base import BoxLost, BoxSpec, Cause, ExportRefused
from sandbox.bwrap import Descriptors
from sandbox.child import Child
from sandbox.export import read_files
from sandbox.watchdog import watch

_START_SECONDS = 20.0
_END_SECONDS = 2.0
_KILL_ROUNDS = 100

Command = Callable[[Descriptors], list[str]]
"""bubblewrap's arguments, given the descriptors that it inherits."""


async def launch(spec: BoxSpec, command: Command, **options: Any) -> "LocalBox":
    """Start bubblewrap; return once the box has a first process. Not to be cancelled: shield it.

    `options` are those of subprocess.Popen.

    Raises:
        BoxLost: it did not come up; nothing of it is left.
    """
    title = procs.new_title()
    info, info_end = os.pipe()
    try:
        child = await _spawn(spec, title, command, info_end, options)
    except OSError as exc:
        os.close(info)
        raise BoxLost(f"box {spec.name!r} did not start: {exc}") from exc
    finally:
        os.close(info_end)
    pid = await _first_process(info)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            return LocalBox(spec, child, pid)
    await _clear_away(child, title)
    raise BoxLost(f"box {spec.name!r} did not start: bwrap ended with {child.exit_code}, it wrote {shown(child.text)}")


async def _spawn(spec: BoxSpec, title: str, command: Command, info: int, options: dict[str, Any]) -> Child:
    with _file(seccomp.stage1()) as filter_fd, _file(spec.guest.read_bytes()) as guest_fd:
        fds = Descriptors(filter=filter_fd, guest=guest_fd, info=info)
        return await Child.spawn([title, *command(fds)], pass_fds=(filter_fd, guest_fd, info), **options)


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[int]:
    """A descriptor to read `content` from, of a file that has no name."""
    fd = os.memfd_create("holdfast")
    try:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


async def _first_process(info: int) -> int | None:
    """Pid 1 of the box, as seen from here; None if bubblewrap does not tell, or takes too long. Closes `info`.

    Read to the end: it writes in pieces, and one that is killed by SIGPIPE leaves a child that waits for ever.
    """
    reader = asyncio.StreamReader()
    pipe = os.fdopen(info, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        async with asyncio.timeout(_START_SECONDS):
            report = json.loads(await reader.read() or b"{}")
            return int(report["child-pid"])
    except (TimeoutError, ValueError, KeyError):
        return None
    finally:
        transport.close()


async def _clear_away(child: Child, title: str) -> None:
    """End a start that failed, once it had a moment to say why."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await child.exited.wait()
    for _ in range(_KILL_ROUNDS):
        if not procs.kill_titled(title):
            break
        await asyncio.sleep(0.01)
    await child.exited.wait()
    child.close()


class LocalBox:
    """See `sandbox.base.Box`. Everything inside hangs on pid 1 of its namespace: with that, the kernel ends all."""

    def __init__(self, spec: BoxSpec, child: Child, pid: int) -> None:
        """
        Raises:
            ProcessLookupError: the box is gone already.
        """
        self.cause: Cause | None = None
        self.pid = pid
        self._spec = spec
        self._child = child
        self._first = os.pidfd_open(pid)
        self._workspace: int | None = None
        self._printed = 0
        self._ending: asyncio.Future[None] | None = None
        child.on_noise = self.count_output
        self._watching = self._watch()

    @property
    def exit_code(self) -> int | None:
        code = self._child.exit_code
        # A kill of bwrap itself: Python counts signals downwards from 0, the port counts them upwards from 128.
        return 128 - code if code is not None and code < 0 else code

    @property
    def noise(self) -> str:
        return self._child.text

    def assign(self, spec: BoxSpec) -> None:
        """See `sandbox.base.Warming`."""
        if self._ending is not None or _has_ended(self._first):
            raise BoxLost(f"box {self._spec.name!r} ended while it was idle; it wrote {shown(self.noise)}")
        self._spec = spec
        self._watching.cancel()
        self._watching = self._watch()

    async def write(self, data: bytes) -> None:
        try:
            await self._child.write(data)
        except BrokenPipeError:
            raise BoxLost(f"box {self._spec.name!r} is gone; it wrote {shown(self.noise)}") from None

    async def read(self) -> bytes:
        data = await self._child.read()
        if not data:
            await self._settle()
        elif self._workspace is None:
            self._open_workspace()
        return data

    def count_output(self, size: int) -> None:
        self._printed += size
        if self._printed > self._spec.limits.output_bytes:
            self._stop("output")

    async def kill(self) -> None:
        self._strike()
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())
        await asyncio.shield(self._ending)

    async def export(self, paths: Sequence[str]) -> dict[str, bytes]:
        if self._workspace is None or self._ending is not None:
            raise ExportRefused(f"box {self._spec.name!r} has no workspace to export from: it is not up, or was killed")
        workspace = os.dup(self._workspace)
        try:
            return await asyncio.to_thread(read_files, workspace, paths, self._spec.limits.export_bytes)
        finally:
            os.close(workspace)

    def _watch(self) -> "asyncio.Future[None]":
        return asyncio.ensure_future(watch(self._child.pid, lambda: self._workspace, self._spec.limits, self._stop))

    def _open_workspace(self) -> None:
        """Hold /ws by a descriptor: it stays ours when pids are used again, and readable after the program's end.

        Only once the guest has spoken: before, the root of pid 1 may still be the host's.
        """
        with contextlib.suppress(OSError):
            workspace = os.open(f"/proc/{self.pid}/root/ws", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            if self._exists():
                self._workspace = workspace
            else:
                os.close(workspace)

    def _exists(self) -> bool:
        """Whether pid 1 was not yet waited for, so that its number is not another's."""
        try:
            signal.pidfd_send_signal(self._first, 0)
        except ProcessLookupError:
            return False
        return True

    def _stop(self, cause: Cause) -> None:
        self.cause = self.cause or cause
        self._strike()

    def _strike(self) -> None:
        if self._ending is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)

    async def _settle(self) -> None:
        """The stream is over. Wait for the exit code; what closes its stream and lives on is ended."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._child.exited.wait()
        except TimeoutError:
            await self.kill()

    async def _end(self) -> None:
        """bubblewrap ends when its child has, and waits for it: so no zombie goes to an init that may not care."""
        self._watching.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._child.exited.wait()
        self._child.close()
        await self._child.exited.wait()
        await _exit_of(self._first)
        os.close(self._first)
        if self._workspace is not None:
            os.close(self._workspace)


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


async def _exit_of(pidfd: int) -> None:
    """Readable means ended; for pid 1 of a namespace, that all others in it have ended before."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
