"""Processes of the bench: started, told ready, killed, and what they cost. Linux: costs are read from /proc."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_S = 120.0


class Died(Exception):
    """A process ended before it was ready; its log says why."""


class Process:
    """A child whose output is its log. It is ready when `ready` stands in what it wrote since its start."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, env: dict[str, str], log: Path, ready: bytes | None
    ) -> None:
        self.name, self.command, self.folder, self.env, self.log, self.ready = name, command, folder, env, log, ready
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Returns when it is ready.

        Raises:
            Died: it ended before (shows the end of its log).
        """
        with self.log.open("ab") as output:
            begin = output.tell()
            self._child = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=self.folder,
                env=self.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        async with asyncio.timeout(_READY_S):
            while self.ready and self.ready not in self._written(begin):
                if self._child.returncode is not None:
                    raise Died(
                        f"{self.name} ended with {self._child.returncode}: {self._written(begin)[-800:].decode()}"
                    )
                await asyncio.sleep(0.01)

    def _written(self, begin: int) -> bytes:
        with self.log.open("rb") as output:
            output.seek(begin)
            return output.read()

    async def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self._child is not None
        self._child.send_signal(signal.SIGKILL)
        await self._child.wait()

    async def stop(self) -> None:
        if self._child is None or self._child.returncode is not None:
            return
        self._child.terminate()
        try:
            async with asyncio.timeout(15):
                await self._child.wait()
        except TimeoutError:
            await self.kill()


def cpu_s(pid: int) -> float:
    """Seconds of processor of a process, of its descendants, and of those of them that ended."""
    total, pids = 0.0, [pid]
    while pids:
        one = pids.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15])) / _TICKS
        pids += map(int, children)
    return total


def forget_peak(pid: int) -> None:
    """From here on `peak_mb` counts anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    """The most memory that the process itself held since `forget_peak`, in MB (2**20 bytes), shared pages included."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
