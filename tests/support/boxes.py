"""Boxes with a small guest of our own: it runs the `source` of its job, and knows nothing of skills or journals."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sandbox.base import Box, BoxLimits, BoxSpec
from sandbox.channel import Channel
from sandbox.local import LocalAdapter
from sandbox.lockdown import lockdown

GUEST = Path(__file__).with_name("box_guest.py")
SECONDS = 20.0


class Python:
    """All of the settings that the adapter reads."""

    def __init__(self, path: str | None = None) -> None:
        self.sandbox_python_path = path
        self.sandbox_type = "local"


def adapter(python: str | None = None) -> LocalAdapter:
    return LocalAdapter(Python(python))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def started(
    guest: Path = GUEST, limits: BoxLimits | None = None, **spec: Any
) -> AsyncIterator[tuple[Box, Channel]]:
    """A box whose guest is up, and its channel; gone at the end."""
    box = await adapter().start(BoxSpec(name="test", guest=guest, limits=limits or BoxLimits(), **spec))
    try:
        channel = Channel(box)
        await channel.ready()
        yield box, channel
    finally:
        await box.kill()


@contextlib.asynccontextmanager
async def running(source: str, limits: BoxLimits | None = None, **spec: Any) -> AsyncIterator[tuple[Box, Channel]]:
    """A box that runs `source`, which may use `send(frame)` and `receive()`."""
    async with started(limits=limits, **spec) as (box, channel):
        await channel.send({"t": "job", "source": source, **lockdown(limits or BoxLimits())})
        yield box, channel


async def outcome(source: str, limits: BoxLimits | None = None, **spec: Any) -> Any:
    """What `source` leaves in `result`; for an exception, its type's name."""
    async with running(source, limits, **spec) as (box, channel), asyncio.timeout(SECONDS):
        async for frame in channel.frames():
            if frame["t"] == "done":
                return frame["result"]
        raise AssertionError(f"the box ended: cause {box.cause}, exit code {box.exit_code}, noise {box.noise!r}")


def processes_of(pid: int) -> list[int]:
    """Processes that are alive in the pid namespace of `pid`, by what /proc says now."""
    namespace = _namespace(pid)
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [other for other in found if namespace and _namespace(other) == namespace]


def alive_in(namespace: int) -> list[int]:
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in found if _namespace(pid) == namespace]


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def namespace_of(pid: int) -> int:
    found = _namespace(pid)
    assert found is not None, f"no process {pid}"
    return found


def titled() -> list[str]:
    """Titles of the boxes (their bubblewrap) that this process has alive."""
    ours = f"/{os.getpid()}/"
    titles = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            title = (entry / "cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace")
            if entry.name.isdigit() and title.startswith("holdfast-box/") and ours in title:
                titles.append(title)
    return titles


def python_of_this_machine() -> str:
    return sys.executable
