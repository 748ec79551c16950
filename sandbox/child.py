"""A child process with three pipes, in the event loop: bytes in, bytes out, and the last of what it complained."""

import asyncio
from collections.abc import Callable
from typing import Any, Self, cast

_READ_BYTES = 64 * 1024
_KEPT_BYTES = 4096


class Child(asyncio.SubprocessProtocol):
    """Started by `spawn`, in the thread that runs the loop: "die with parent" means that very thread."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.on_noise: Callable[[int], None] = _unheard
        self._noise = b""
        self._out = asyncio.StreamReader(limit=_READ_BYTES)
        self._writable = asyncio.Event()
        self._writable.set()
        self._deaf = False
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def spawn(cls, argv: list[str], **options: Any) -> Self:
        """`options` are those of subprocess.Popen."""
        pipe = asyncio.subprocess.PIPE
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(cls, *argv, stdin=pipe, stdout=pipe, stderr=pipe, **options)
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def exit_code(self) -> int | None:
        return self._transport.get_returncode()

    @property
    def text(self) -> str:
        """The last 4 KB of its stderr."""
        return self._noise.decode("utf-8", "replace").strip()

    async def write(self, data: bytes) -> None:
        """
        Raises:
            BrokenPipeError: it does not read any more.
        """
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        if self._deaf or stdin.is_closing():
            raise BrokenPipeError
        stdin.write(data)
        await self._writable.wait()
        if self._deaf:
            raise BrokenPipeError

    async def read(self) -> bytes:
        return await self._out.read(_READ_BYTES)

    def close(self) -> None:
        """Give back the pipes; a process that still runs is killed."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        out = self._transport.get_pipe_transport(1)
        assert out is not None
        # With its transport the reader stops reading when nobody takes what it holds: a flood stays in the pipe.
        self._out.set_transport(out)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        if fd == 1:
            self._out.feed_data(data)
            return
        self._noise = (self._noise + data)[-_KEPT_BYTES:]
        self.on_noise(len(data))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            self._deaf = True
            self._writable.set()
        elif fd == 1:
            self._out.feed_eof()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def process_exited(self) -> None:
        self.exited.set()


def _unheard(_size: int) -> None:
    """What comes before anybody listens is bubblewrap's own."""
