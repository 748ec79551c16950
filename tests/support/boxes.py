"""Boxes with a small guest of our own: it runs the `source` of its job, and knows nothing of skills or journals."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import structlog

from holdfast.config import Settings
from sandbox.base import BoxLimits, BoxSpec
from sandbox.channel import Channel
from sandbox.local import LocalAdapter
from sandbox.local_box import LocalBox
from sandbox.lockdown import lockdown

ROOT = Path(__file__).parents[2]
GUEST = Path(__file__).with_name("box_guest.py")
SECONDS = 20.0


def adapter(**settings: Any) -> LocalAdapter:
    return LocalAdapter(Settings(project=Path("/"), home=Path("/"), **settings))


ADAPTER = adapter()


def opened(folder: Path) -> Path:
    """The folder, and those that pytest made around it, so that any user may enter them."""
    made = [one for one in (folder, *folder.parents) if "pytest-" in str(one)]
    for one in made:
        one.chmod(one.stat().st_mode | 0o055)
    return folder


@contextlib.asynccontextmanager
async def started(
    guest: Path = GUEST, limits: BoxLimits | None = None, **spec: Any
) -> AsyncIterator[tuple[LocalBox, Channel]]:
    """A box whose guest is up, and its channel; gone at the end."""
    box = await ADAPTER.start(BoxSpec(name="test", guest=guest, limits=limits or BoxLimits(), **spec))
    try:
        channel = Channel(box)
        await channel.ready()
        yield box, channel
    finally:
        await box.kill()


@contextlib.asynccontextmanager
async def running(source: str, limits: BoxLimits | None = None, **spec: Any) -> AsyncIterator[tuple[LocalBox, Channel]]:
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


@contextlib.contextmanager
def readable_copy() -> Iterator[Path]:
    """The room where anybody can read it, with the small guest: this working copy may lie in a closed folder."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(ROOT / "sandbox", folder / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "holdfast").mkdir()
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "holdfast" / name, folder / "holdfast")
    shutil.copytree(Path(structlog.__file__).parent, folder / "structlog")
    shutil.copy(GUEST, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def namespace_of(pid: int) -> int:
    """Names the pid namespace of a process, for `alive_in` once that process is gone."""
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino


def alive_in(namespace: int) -> list[int]:
    """Processes of this machine that live in that pid namespace."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and namespace_of(int(entry.name)) == namespace:
                found.append(int(entry.name))
    return found


def bubblewraps(owner: int | None = None) -> list[str]:
    """Titles of the boxes that a process (this one) has started and that are still there."""
    mine = f"/{owner or os.getpid()}/"
    titles = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            title = (entry / "cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace")
            if title.startswith("holdfast-box/") and mine in title and entry.name.isdigit():
                titles.append(title)
    return titles
