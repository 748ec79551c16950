"""A holdfast of its own to be broken: a folder, ports and a database that no other has, and what runs there."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client as Temporal

from chaos.model import Model
from cli import processes
from cli.children import Child
from cli.stack import Say, Stack, answers, running
from holdfast.config import Settings
from holdfast.errors import HoldfastError
from holdfast.ports import free_port
from holdfast.temporal.connect import connect

PROJECT = Path(__file__).parent / "project"
_UP = b'"worker.up"'
_TMPFS_BYTES = 1 << 30
_LATE_BYTES = 64 << 10


ONCE = ("send",)
"""Skills of the project that have their effect once."""
LIGHT = ("glance",)
"""Skills of the project whose calls are local activities."""


@dataclass(frozen=True)
class Line:
    """What a skill wrote down: an execution began or ended."""

    what: str
    task: str
    call: str
    attempt: int
    at: float
    key: str
    skill: str

    @property
    def root(self) -> str:
        """The task of the mix that it belongs to: the ids of those that a task starts are paths below its own."""
        return self.task.partition("/")[0]


class World:
    """One server, workers, an API, each a process that is started again when it dies."""

    def __init__(self, root: Path, settings: Settings, model: Model, workers: int, say: Say) -> None:
        self.root, self.settings, self.model = root, own(root, settings, model), model
        self.stack = Stack(self.settings, workers, say)
        for child in self.stack.children:
            child.env = {name: value for name, value in child.env.items() if not name.endswith("API_KEY")}
        self.pids: set[int] = set()
        self.wishes: list[str] = []
        self._temporal: Temporal | None = None

    @property
    def home(self) -> Path:
        return self.settings.home

    async def temporal(self) -> Temporal:
        """A connection, which outlives restarts of the server."""
        if self._temporal is None:
            self._temporal = await connect(self.settings)
        return self._temporal

    @property
    def notes(self) -> Path:
        """Where the skills write."""
        return self.settings.workspaces / "default" / "default" / "effects.log"

    def lines(self) -> list[Line]:
        """What the skills wrote down so far."""
        rows = self.notes.read_text("utf-8").splitlines() if self.notes.exists() else []
        return [Line(*json.loads(row)) for row in rows]

    def noted(self) -> int:
        """How many bytes they wrote."""
        return self.notes.stat().st_size if self.notes.exists() else 0

    def under_way(self) -> list[Line]:
        """Executions of late that began and did not end, the newest last; those that were killed among them."""
        begun: dict[tuple[str, str, int], Line] = {}
        for row in _last(self.notes, _LATE_BYTES):
            line = Line(*json.loads(row))
            begun[line.task, line.call, line.attempt] = line
            if line.what == "end":
                del begun[line.task, line.call, line.attempt]
        return list(begun.values())

    # what there is to strike

    def up(self) -> list[Child]:
        """Workers that serve."""
        return [child for child in self.stack.workers if child.ended() is None and _is_up(child)]

    def busy_boxes(self) -> list[int]:
        """Outermost processes of boxes that have a program."""
        found = [box for worker in self.up() for box in processes.boxes(worker.pid)]
        return [box for box in found if any(_has_program(one.pid) for one in processes.descendants(box))]

    async def serves(self) -> bool:
        """Whether the server answers."""
        with contextlib.suppress(HoldfastError):
            return self.stack.temporal.process.poll() is None and await answers(self.settings)
        return False

    async def until_it_serves(self) -> None:
        while True:
            if await self.serves():
                return
            await asyncio.sleep(0.1)

    async def until_all_are_up(self) -> None:
        while True:
            if len(self.up()) == len(self.stack.workers):
                return
            await asyncio.sleep(0.1)

    def kill(self, child: Child) -> None:
        """SIGKILL. It is started again at once, however often it dies."""
        child.pause_s = 0.05
        self.pids.add(child.pid)
        os.kill(child.pid, signal.SIGKILL)

    def kill_server(self) -> None:
        self.stack.temporal.process.kill()

    # what may be left

    def leftovers(self) -> list[str]:
        """Processes of this world that still live, after it was stopped."""
        self.pids.update(child.pid for child in self.stack.children)
        return [f"{pid}: {line[:120]}" for pid, line in _command_lines() if self._is_ours(pid, line)]

    def _is_ours(self, pid: int, line: str) -> bool:
        box = re.match(r"holdfast-box/\d+/(\d+)/", line)
        return pid != os.getpid() and (str(self.root) in line or (box is not None and int(box[1]) in self.pids))


def own(root: Path, settings: Settings, model: Model) -> Settings:
    """Settings of a world below `root`. The user's project, keys and models have no say in it."""
    api, temporal, ui = (free_port() for _ in range(3))
    home = root / "home"
    update = {
        "project": PROJECT,
        "home": home,
        "sandbox_workspace": root / "outside",
        "host": "127.0.0.1",
        "port": api,
        "url": f"http://127.0.0.1:{api}",
        "api_key": None,
        "build_id": None,
        "temporal_address": f"127.0.0.1:{temporal}",
        "temporal_namespace": "default",
        "temporal_ui_port": ui,
        "database_url": f"sqlite:///{home / 'holdfast.db'}",
        "default_llm_provider": "openai-compatible",
        "default_llm_model": "stub",
        "llm_base_url": model.url,
        "log_format": "json",
    }
    return settings.model_copy(update=update)


@contextlib.asynccontextmanager
async def begun(world: World) -> AsyncIterator[None]:
    """The world while it runs."""
    async with running(world.stack):
        await world.until_all_are_up()
        yield


@contextlib.contextmanager
def folder(root: Path, small_disk: bool) -> Iterator[bool]:
    """An empty folder for a world; gives whether what is stored there has a disk of its own, if that is wanted.

    That disk lies in memory: without it, a disk cannot be filled without harm to others.
    """
    shutil.rmtree(root, ignore_errors=True)
    home = root / "home"
    home.mkdir(parents=True)
    (root / "outside").mkdir()
    mounted = small_disk and _quietly("mount", "-t", "tmpfs", "-o", f"size={_TMPFS_BYTES}", "holdfast-chaos", str(home))
    try:
        yield mounted
    finally:
        if mounted:
            kept = root / "kept"
            shutil.copytree(home / "logs", kept / "logs", dirs_exist_ok=True)
            _quietly("umount", "--lazy", str(home))


def _quietly(*command: str) -> bool:
    if os.geteuid() != 0 or shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True).returncode == 0


def _is_up(child: Child) -> bool:
    """Whether this run of a worker said that it serves."""
    return child.log.exists() and _UP in child.log.read_bytes()[child.log_begins :]


def _has_program(pid: int) -> bool:
    """A guest that runs a program has the second filter."""
    found = re.search(r"^Seccomp_filters:\s*(\d+)", _read(Path(f"/proc/{pid}/status")), re.MULTILINE)
    return found is not None and int(found[1]) > 1


def _last(path: Path, size: int) -> list[bytes]:
    """Whole lines at a file's end, none if there is no such file."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        is_cut = file.tell() > 0
        return file.read().split(b"\n")[is_cut:-1]


def _command_lines() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name), _read(entry / "cmdline").replace("\0", " ")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
