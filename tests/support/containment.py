"""Runs hostile programs in boxes of one adapter, and judges from outside whether they were contained.

A program's own word counts for nothing. What counts: canaries (files, sockets, keys, processes), what the kernel says
of the box's processes, and whether a canary's text comes out by any way. As `conformance`, it also runs as another user.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sandbox
from holdfast.errors import HoldfastError
from holdfast.ports import free_port
from sandbox import procs
from sandbox.base import BoxLimits, BoxLost, BoxSpec, ExportRefused, ProtocolViolation
from sandbox.channel import Channel
from sandbox.lockdown import MEMORY_HEADROOM_BYTES, lockdown
from tests.support.conformance import PLACES, Report
from tests.support.conformance_checks import Place
from tests.support.hostile import PRELUDE, PROGRAMS

GUEST = Path(sandbox.__file__).with_name("guest.py")
LIMITS = BoxLimits(memory_bytes=256 << 20, disk_bytes=8 << 20, output_bytes=4 << 20, cpu_seconds=3)
SECONDS = 4.0
PATIENCE = 15.0
LANES = 3
KERNEL_MEMORY = 1500 << 20
"""What the machine may lose in free memory meanwhile: it has other things to do, too."""
DESCRIPTORS = lockdown(LIMITS)["rlimits"]["NOFILE"]
FILTERS = 3
"""Of ours, or of ours and the engine's; a further one is the program's."""
STRANGE = ("memfd:", "io_uring", "userfaultfd", "bpf", "perf_event", "pidfd", "fscontext", "landlock", "SYSV")
USUAL = ("/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/dev", "/usr/lib", "/etc")
SYSV_KEY = 4711
NOTHING_LEFT = "all: nothing is left behind"

CONCEDED = {
    "secrets: that a host's file is there": "landlock",
    "secrets: where a host's link leads": "landlock",
    "secrets: which processes run": "landlock",
    "secrets: the host's name": "landlock",
}
"""What docs/security.md says that an adapter does not keep in. It must be seen to come out: else the page is wrong."""


class Canaries:
    """What a hostile program must neither read, change, reach nor end."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.text = f"canary-{os.urandom(12).hex()}"
        self.secret, self.open, self.shared = folder / "canary", folder / "open", folder / "shared"
        self.open_file, self.guest = self.open / "file", folder / "guest.py"
        self.link = folder / "link"
        shutil.copy(GUEST, self.guest)
        self.secret.write_text(self.text)
        self.link.symlink_to(self.text)
        self.shared.write_text("shared")
        self.shared.chmod(0o666)
        self.open.mkdir()
        self.open.chmod(0o777)
        self.open_file.write_text(self.text)
        self.tcp, self.udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        self.stream = socket.socket(socket.AF_UNIX)
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract_name = f"holdfast-{os.urandom(6).hex()}"
        self._listen(folder)
        self.free = free_port()
        self.victim = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
        self.memory = ctypes.create_string_buffer(self.text.encode())
        self._plant_key()
        os.environ[f"CANARY_{id(self)}"] = self.text
        self.tokens = (
            self.text,
            f"<<{self.secret.stat().st_mtime_ns}>>",
            f"<<pid {self.victim.pid}>>",
            f"<<{socket.gethostname()}>>",
        )
        time.sleep(0.2)
        self.before = self.state()

    def _listen(self, folder: Path) -> None:
        self.tcp.bind(("0.0.0.0", 0))
        self.udp.bind(("0.0.0.0", 0))
        self.stream.bind(str(folder / "stream"))
        self.datagram.bind(str(folder / "datagram"))
        self.abstract.bind(f"\0{self.abstract_name}")
        for one in (self.tcp, self.stream, self.abstract):
            one.listen()
        for name in ("stream", "datagram"):
            (folder / name).chmod(0o777)
        for one in self.sockets.values():
            one.setblocking(False)

    @property
    def sockets(self) -> dict[str, socket.socket]:
        return {name: getattr(self, name) for name in ("tcp", "udp", "stream", "datagram", "abstract")}

    def _plant_key(self) -> None:
        ctypes.CDLL(None).syscall(248, b"user", b"holdfast-canary", self.memory, len(self.text), -3)

    def inputs(self, neighbour: list[str]) -> dict[str, Any]:
        return {
            **{name: str(getattr(self, name)) for name in ("secret", "open", "open_file", "shared", "link")},
            **{name: self.sockets[name].getsockname() for name in ("stream", "datagram")},
            **{name: self.sockets[name].getsockname()[1] for name in ("tcp", "udp")},
            "abstract": self.abstract_name,
            "free": self.free,
            "worker": os.getpid(),
            "victim": self.victim.pid,
            "address": ctypes.addressof(self.memory),
            "highest_pid": self.victim.pid + 2000,
            "neighbour": neighbour,
        }

    def state(self) -> dict[str, Any]:
        """All that must not change."""
        python = Path(os.__file__)
        files = {
            str(path): _seen(path) for path in (self.secret, self.open, self.open_file, self.shared, self.guest, python)
        }
        return {
            **files,
            "texts": (self.secret.read_text(), self.shared.read_text(), self.open_file.read_text()),
            "names": sorted(os.listdir(self.open)),
            "victim": _of_process(self.victim.pid),
            "worker": _of_process(os.getpid()),
            "host": (socket.gethostname(), os.sysconf("SC_NPROCESSORS_ONLN")),
            "escaped": [place for place in USUAL if Path(place, "holdfast-escaped").exists()],
            "shared memory": f" {SYSV_KEY} " in Path("/proc/sysvipc/shm").read_text(),
            "queues": Path("/dev/mqueue/holdfast").exists(),
        }

    def problems(self) -> list[str]:
        found = [f"{name} was reached" for name, one in self.sockets.items() if not _is_quiet(one)]
        now = self.state()
        return found + [f"{name}: {now[name]} was {was}" for name, was in self.before.items() if now[name] != was]

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for one in self.sockets.values():
            one.close()


def _seen(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_nlink, found.st_size, found.st_mtime_ns


def _of_process(pid: int) -> tuple[str, ...]:
    rows = _rows(Path(f"/proc/{pid}/status"))
    limits = Path(f"/proc/{pid}/limits").read_text()
    stopped = rows["State"][0] in "TtZX"
    return str(stopped), rows["TracerPid"], rows["Cpus_allowed"], limits, str(os.getpriority(os.PRIO_PROCESS, pid))


def _rows(path: Path) -> dict[str, str]:
    lines = path.read_text("utf-8", "replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_quiet(one: socket.socket) -> bool:
    try:
        one.recv(100) if one.type == socket.SOCK_DGRAM else one.accept()
    except BlockingIOError:
        return True
    return False


class Run:
    """One program in one box, from its start to its end, and what came out of it."""

    def __init__(self, place: Place, canaries: Canaries, neighbour: list[str]) -> None:
        self.place, self.canaries, self.neighbour = place, canaries, neighbour
        self.problems: list[str] = []
        self.out: list[str] = []
        self.pids: list[int] = []
        self.namespaces: set[tuple[str, str]] = set()

    async def of(self, source: str) -> None:
        box = await self.place.adapter.start(BoxSpec(name="hostile", guest=self.canaries.guest, limits=LIMITS))
        began = time.monotonic()
        try:
            channel = Channel(box)
            await channel.ready()
            self.pids = await _pids(box)
            self.namespaces = _namespaces(self.pids)
            with contextlib.suppress(TimeoutError, ProtocolViolation, BoxLost):
                async with asyncio.timeout(SECONDS):
                    await channel.send(_job(PRELUDE + source, self.canaries.inputs(self.neighbour)))
                    await self._listen(box, channel)
        finally:
            await box.kill()
        self.out.append(box.noise)
        if time.monotonic() - began > PATIENCE:
            self.problems.append(f"it held its host for {time.monotonic() - began:.1f} s")

    async def _listen(self, box: Any, channel: Channel) -> None:
        async for frame in channel.frames():
            self.out.append(json.dumps(frame, ensure_ascii=False)[: 2 << 20])
            if frame.get("t") in ("done", "raised"):
                return
            if frame.get("t") == "out" and "LOOK" in str(frame.get("d")):
                # The watchdog looks five times a second; what it must see is there now.
                await asyncio.sleep(0.5)
                await self._look(box)
                return

    async def _look(self, box: Any) -> None:
        with contextlib.suppress(HoldfastError):  # it may have ended meanwhile
            self._look_at_processes(await _pids(box))
        self._knock()
        for _ in range(30):
            for path in ("export", "export/canary", "folder/canary", "export\n"):
                try:
                    self.out += [each.decode("utf-8", "replace") for each in (await box.export([path])).values()]
                except ExportRefused:
                    continue
                except BoxLost:
                    return

    def _look_at_processes(self, pids: list[int]) -> None:
        if len(pids) > len(self.pids):
            self.problems.append(f"it has {len(pids)} processes, {len(self.pids)} at its start")
        if _namespaces(pids) - self.namespaces:
            self.problems.append(f"new namespaces: {_namespaces(pids) - self.namespaces}")
        if procs.resident_bytes(pids) > LIMITS.memory_bytes + 2 * MEMORY_HEADROOM_BYTES:
            self.problems.append(f"it holds {procs.resident_bytes(pids)} bytes of memory")
        for pid in pids:
            with contextlib.suppress(OSError):
                self._look_at(pid)

    def _look_at(self, pid: int) -> None:
        held_open = set()
        for task in Path(f"/proc/{pid}/task").iterdir():
            rows = _rows(task / "status")
            held_open |= _targets(task)
            held = (rows["CapEff"], rows["CapPrm"], rows["TracerPid"], rows["NoNewPrivs"], rows["Seccomp"])
            is_guest = rows["Seccomp"] != "0"
            if is_guest and (int(held[0], 16) or int(held[1], 16) or held[2:] != ("0", "1", "2")):
                self.problems.append(f"a thread of {pid} has {held}")
            if int(rows.get("Seccomp_filters", 0)) > FILTERS:
                self.problems.append(f"a thread of {pid} has {rows['Seccomp_filters']} filters")
        if len(held_open) > DESCRIPTORS:
            self.problems.append(f"its threads have {len(held_open)} different files open")
        maps = Path(f"/proc/{pid}/maps").read_text("utf-8", "replace")
        found = [word for word in STRANGE if word in maps or any(word in target for target in held_open)]
        if found:
            self.problems.append(f"process {pid} holds {found}")

    def _knock(self) -> None:
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", self.canaries.free)),
            (socket.AF_UNIX, "\0holdfast-door"),
        ):
            with socket.socket(family) as one:
                if one.connect_ex(address) == 0:
                    self.problems.append(f"it opened a door at {address}")


def _targets(task: Path) -> set[str]:
    """What a thread has open; one that has ended has nothing."""
    found = set()
    with contextlib.suppress(OSError):
        found = {str(fd.readlink()) for fd in (task / "fd").iterdir()}
    return found


def _job(source: str, inputs: dict[str, Any]) -> dict[str, Any]:
    now = time.time()
    return {
        "t": "job", "source": source, "first_line": 1, "inputs": inputs, "skills": [], "seed": 7, "now": now, "live_now": now,
        "resumed": False, "seen": [], "park_after": 60.0, "result_bytes": 1 << 20, **lockdown(LIMITS),
    }  # fmt: skip


async def _pids(box: Any) -> list[int]:
    """All processes of a box, as numbers of this machine."""
    if hasattr(box, "container"):
        found = await box._engine.call("GET", f"/containers/{box.container}/top", ps_args="-eo pid")
        return [int(row[0]) for row in found["Processes"]]
    return procs.tree(box.pid)


def _namespaces(pids: list[int]) -> set[tuple[str, str]]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found |= {(each.name, str(each.readlink())) for each in (task / "ns").iterdir()}
    return found


def free_bytes() -> int:
    return int(_rows(Path("/proc/meminfo"))["MemAvailable"].split()[0]) * 1024


async def contained(place: Place, canaries: Canaries, name: str, neighbour: list[str]) -> str:
    """Why a program was not contained; empty if it was."""
    run = Run(place, canaries, neighbour)
    free = free_bytes()
    await run.of(PROGRAMS[name])
    problems = run.problems + canaries.problems()
    if free - free_bytes() > KERNEL_MEMORY:
        problems.append(f"{(free - free_bytes()) >> 20} MB of memory are gone")
    text = "\n".join(run.out)
    leaked = [token for token in canaries.tokens if token in text]
    is_conceded = CONCEDED.get(name) == place.adapter.name
    if bool(leaked) != is_conceded:
        problems.append(f"came out: {leaked}" if leaked else "nothing came out, which docs/security.md says would")
    return "; ".join(problems)


@contextlib.asynccontextmanager
async def a_neighbour(place: Place, canaries: Canaries) -> Any:
    """Another box with the canary's text in its workspace; yields where that may be seen."""
    async with place.running(f"open('mine', 'w').write({canaries.text!r})\nsend({{'t': 'up'}})\nreceive()") as (
        box,
        channel,
    ):
        await channel.receive()
        pids = await _pids(box)
        folder = getattr(box, "folder", None)
        yield [f"/proc/{pid}/{root}/mine" for pid in pids for root in ("cwd", "root/ws")] + (
            [str(folder.workspace / "mine")] if folder else []
        )


async def containment(place: Place) -> Report:
    """Program -> why it was not contained. Several at once, each with canaries of its own."""
    todo = list(PROGRAMS)
    report: Report = {}

    async def lane() -> None:
        with _folder() as folder:
            canaries = Canaries(folder)
            try:
                while todo:
                    name = todo.pop(0)
                    report[name] = await _judged(place, canaries, name)
            finally:
                canaries.close()

    await asyncio.gather(*(lane() for _ in range(LANES)))
    report[NOTHING_LEFT] = " ".join(await place.left())
    return report


async def _judged(place: Place, canaries: Canaries, name: str) -> str:
    try:
        if "another box" in name:
            async with a_neighbour(place, canaries) as neighbour:
                return await contained(place, canaries, name, neighbour)
        return await contained(place, canaries, name, [])
    except Exception as exc:  # noqa: BLE001  (the edge: what failed is the report)
        return f"the host failed: {exc!r}"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-canaries-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(containment(PLACES[sys.argv[1]](None)))))
