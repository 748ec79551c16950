"""One box of the adapter `landlock`: a single process, and its folder on the host's disk."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from holdfast.errors import shown
from sandbox import landlock_folder, procs
from sandbox.base import BoxLost, BoxSpec, Cause, ExportRefused
from sandbox.child import Child
from sandbox.export import read_files
from sandbox.landlock_folder import BoxFolder
from sandbox.lockdown import MEMORY_HEADROOM_BYTES
from sandbox.watchdog import INTERVAL_S

MAX_THREADS = 256
"""Where the user is the worker's too, no limit of the kernel can count a box's threads alone."""
_END_SECONDS = 2.0


class LandlockBox:
    """See `sandbox.base.Box`. It cannot fork, from its first instruction on, so its one process is all of it."""

    def __init__(self, spec: BoxSpec, child: Child, folder: BoxFolder) -> None:
        self.cause: Cause | None = None
        self.pid = child.pid
        self.folder = folder
        self._spec = spec
        self._child = child
        self._workspace = os.open(folder.workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._printed = 0
        self._ending: asyncio.Future[None] | None = None
        child.on_noise = self.count_output
        self._watching = asyncio.ensure_future(self._watch())

    @property
    def exit_code(self) -> int | None:
        code = self._child.exit_code
        return 128 - code if code is not None and code < 0 else code

    @property
    def noise(self) -> str:
        return self._child.text

    def assign(self, spec: BoxSpec) -> None:
        """
        Raises:
            BoxLost: it has ended meanwhile.
        """
        if self._ending is not None or self._child.exit_code is not None:
            raise BoxLost(f"box for {spec.name!r} is gone; it wrote {shown(self.noise)}")
        self._spec = spec

    async def write(self, data: bytes) -> None:
        try:
            await self._child.write(data)
        except BrokenPipeError:
            raise BoxLost(f"box {self._spec.name!r} is gone; it wrote {shown(self.noise)}") from None

    async def read(self) -> bytes:
        data = await self._child.read()
        if not data:
            await self._settle()
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
        if self._ending is not None:
            raise ExportRefused(f"box {self._spec.name!r} has no workspace to export from: it was killed")
        workspace = os.dup(self._workspace)
        try:
            return await asyncio.to_thread(read_files, workspace, paths, self._spec.limits.export_bytes)
        finally:
            os.close(workspace)

    def _stop(self, cause: Cause) -> None:
        self.cause = self.cause or cause
        self._strike()

    def _strike(self) -> None:
        # Its number is nobody else's as long as asyncio has not waited for it, and then its exit code is known.
        if self._child.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def _watch(self) -> None:
        """Disk and inodes are the watchdog's alone here: the folder has no size of its own."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            if cause := await asyncio.to_thread(self._breach):
                self._stop(cause)
                return

    def _breach(self) -> Cause | None:
        limits = self._spec.limits
        if procs.resident_bytes([self.pid]) > limits.memory_bytes + MEMORY_HEADROOM_BYTES:
            return "memory"
        if _threads(self.pid) > MAX_THREADS:
            return "memory"
        usage = landlock_folder.used(self._workspace, self.pid, limits.inodes)
        if usage.inodes > limits.inodes or usage.is_deep:
            return "inodes"
        hides = landlock_folder.has_nameless_mapping(self.pid, self.folder.workspace)
        return "disk" if usage.size_bytes > limits.disk_bytes or hides else None

    async def _settle(self) -> None:
        """The stream is over. Wait for the exit code; what closes its stream and lives on is ended."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._child.exited.wait()
        except TimeoutError:
            await self.kill()

    async def _end(self) -> None:
        self._watching.cancel()
        await self._child.exited.wait()
        self._child.close()
        await asyncio.wait([self._watching])
        os.close(self._workspace)
        await asyncio.to_thread(landlock_folder.remove, self.folder.path)


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0
