"""Real boxes: what holds, what ends them, and that nothing of them is left."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import Settings
from holdfast.errors import NoIsolation
from sandbox import base, bwrap, interpreter, local_box, procs
from sandbox.base import BoxLimits, BoxLost, BoxSpec
from tests.support.boxes import (
    GUEST,
    SECONDS,
    adapter,
    alive_in,
    bubblewraps,
    namespace_of,
    opened,
    outcome,
    readable_copy,
    running,
    started,
)

ROOT = Path(__file__).parents[2]
MB = 1 << 20
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert bubblewraps() == []


# what works


async def test_a_box_sees_its_inputs_and_cannot_change_them():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "a.txt").write_text("hello")
        source = """
            result = [open('/ws/in/a.txt').read()]
            try: open('/ws/in/b.txt', 'w')
            except OSError as exc: result.append(exc.strerror)
        """
        found = await outcome(_plain(source), inputs=Path(folder))
        assert found == ["hello", "Read-only file system"]
        assert [path.name for path in Path(folder).iterdir()] == ["a.txt"]


# what holds


async def test_a_program_sees_no_variable_of_ours(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
    source = "import os\nresult = dict(os.environ)"
    found = await outcome(source, environment={"TRACE_ID": "ab12"})
    assert found.pop("PWD", "/ws") == "/ws"
    assert found == {**bwrap.ENVIRONMENT, "TRACE_ID": "ab12"}


def test_no_other_variable_can_be_added():
    with pytest.raises(ValueError, match=r"found \['API_KEY'\]; only \['TRACE_ID'\] may be set"):
        BoxSpec(name="x", guest=GUEST, environment={"API_KEY": "x"})


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
async def test_a_program_has_no_network(family):
    assert await outcome(f"import socket\nsocket.socket(socket.{family}, socket.SOCK_RAW)") == "OSError"


async def test_a_program_sees_no_file_of_the_host():
    source = """
        import os
        places = ['/etc', '/proc', '/sys', '/tmp', '/var', '/work', '/root', '/run', '/bin/sh', '/usr/bin/bwrap']
        result = [place for place in places if os.path.exists(place)]
    """
    assert await outcome(_plain(source)) == []


async def test_a_program_sees_no_package_of_the_host():
    source = """
        import os, sys
        folder = os.path.dirname(os.__file__)
        result = [sys.path, [os.listdir(p) for n in ('site-packages', 'dist-packages')
            if os.path.isdir(p := os.path.join(folder, n))]]
    """
    path, packages = await outcome(_plain(source))
    assert not [entry for entry in path if "-packages" in entry]
    assert packages in ([], [[]], [[], []])


async def test_a_program_writes_in_its_workspace_only():
    source = """
        import os
        result = []
        for root, folders, files in os.walk('/'):
            try: open(os.path.join(root, 'x'), 'w'); result.append(root)
            except OSError: pass
        open('/ws/x', 'w').write('y')
        result = sorted({*result} - {'/ws'})
    """
    assert await outcome(_plain(source)) == []


@pytest.mark.parametrize(
    "attempt",
    [
        "os.fork()",
        "os.execv(sys.executable, ['x'])",
        "os.posix_spawn(sys.executable, ['x'], {})",
        "subprocess.run([sys.executable, '-c', ''])",
        "os.chroot('/ws')",
        "os.setuid(0)",
    ],
)
async def test_a_program_starts_no_process_and_gains_no_right(attempt):
    found = await outcome(f"import os, subprocess, sys\n{attempt}\nresult = 'did it'")
    assert found == "PermissionError"


async def test_a_program_inherits_only_the_three_descriptors_of_its_channel():
    source = """
        import os
        result = []
        for fd in range(128):
            try: os.fstat(fd); result.append(fd)
            except OSError: pass
    """
    assert await outcome(_plain(source)) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["user", "pid", "net", "ipc", "uts", "mnt"])
async def test_a_box_shares_no_namespace_with_us(kind):
    async with started() as (box, _):
        theirs = Path(f"/proc/{box.pid}/ns/{kind}").stat().st_ino
    assert theirs != Path(f"/proc/self/ns/{kind}").stat().st_ino


async def test_a_program_has_no_capability_and_gains_none():
    async with running("send({'t': 'up'})\nreceive()") as (box, channel):
        await channel.receive()
        guest = procs.tree(box.pid)[-1]
        status = Path(f"/proc/{guest}/status").read_text()
    rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(rows[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (rows["NoNewPrivs"], rows["Seccomp"], rows["Seccomp_filters"]) == ("1", "2", "2")


@as_root
async def test_a_box_of_root_is_not_root_to_the_kernel():
    async with started() as (box, _):
        status = Path(f"/proc/{box.pid}/status").read_text()
    rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert rows["Uid"].split() == ["61001"] * 4
    assert rows["Groups"].strip() in ("", "61001")


# what is stopped


async def test_a_full_workspace_is_an_error_of_the_program():
    source = "open('/ws/a', 'wb').write(b'x' * (2 << 20))\nopen('/ws/b', 'wb').write(b'x' * (3 << 20))"
    assert await outcome(source, BoxLimits(disk_bytes=4 * MB)) == "OSError"


async def test_a_flood_that_nobody_reads_stays_in_the_box():
    async with running("while True: send({'t': 'x', 'v': 'y' * 10000})") as (box, _):
        await asyncio.sleep(0.5)
        assert len(box._child._out._buffer) < MB  # type: ignore[attr-defined]


# how it ends


async def test_kill_leaves_no_process_and_may_be_called_again():
    async with running("import time\nsend({'t': 'up'})\ntime.sleep(60)") as (box, channel):
        assert await channel.receive() == {"t": "up"}
        namespace = namespace_of(box.pid)
        assert len(alive_in(namespace)) == 2
        await asyncio.gather(box.kill(), box.kill())
        await box.kill()
        assert alive_in(namespace) == []
        with pytest.raises(BoxLost, match="gone"):
            await channel.send({"t": "x"})
        assert await channel.receive() is None


async def test_a_bubblewrap_that_dies_at_once_is_quoted(tmp_path):
    broken = adapter()
    tools, python = await broken._tools()
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    opened(tmp_path)
    broken._found = (bwrap.Bwrap(str(fake), tools.version, can_disable_userns=True), python)
    with pytest.raises(BoxLost, match="bwrap ended with 1, it wrote 'bwrap: setting up uid map: Permission denied'"):
        await broken.start(BoxSpec(name="test", guest=GUEST))
    found = await broken._probe()
    assert not found.ok
    assert "AppArmor" in found.problem


async def test_a_child_that_waits_for_a_dead_bubblewrap_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(local_box, "_START_SECONDS", 0.2)
    os.mkfifo(tmp_path / "never")
    script = f"(read line < {tmp_path}/never) & exit 3"
    with pytest.raises(BoxLost, match="bwrap ended with 3"):
        await local_box.launch(BoxSpec(name="test", guest=GUEST), lambda _: ["-c", script], executable="/bin/sh")
    assert bubblewraps() == []


WORKER = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from sandbox.base import BoxSpec
from sandbox.channel import Channel
from sandbox.local import LocalAdapter
from sandbox.lockdown import lockdown
from sandbox.base import BoxLimits

SOURCE = "send({'t': 'up', 'v': receive()['v']})\\nimport time\\ntime.sleep(60)"

async def main():
    adapter = LocalAdapter(SimpleNamespace(sandbox_python_path=None, sandbox_packages=(), home=Path("/")))
    probe = await adapter.probe()
    assert probe.ok, probe
    box = await adapter.start(BoxSpec(name="w", guest=Path(sys.argv[1]) / "box_guest.py"))
    channel = Channel(box)
    await channel.ready()
    await channel.send({"t": "job", "source": SOURCE, **lockdown(BoxLimits())})
    await channel.send({"v": "x" * 100000})
    assert len((await channel.receive())["v"]) == 100000
    assert await box.export([]) == {}
    print(box.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def a_worker(folder: Path, python: str, **identity: Any):
    """A process that has a box; yields it and the pid of its box."""
    worker = await asyncio.create_subprocess_exec(
        python, "-c", WORKER, str(folder), stdout=asyncio.subprocess.PIPE, cwd="/", **identity
    )
    try:
        assert worker.stdout is not None
        async with asyncio.timeout(SECONDS):
            line = await worker.stdout.readline()
        yield worker, int(line)
    finally:
        if worker.returncode is None:
            worker.kill()
        await worker.wait()
        worker._transport.close()  # type: ignore[attr-defined]


@pytest.fixture
def a_copy():
    with readable_copy() as folder:
        yield folder


async def gone(namespace: int) -> None:
    """Soon: the kernel does it. Later another worker's `reap_orphans` might, which would prove nothing."""
    async with asyncio.timeout(3.0):
        while alive_in(namespace):
            await asyncio.sleep(0.01)


async def test_a_killed_worker_leaves_no_process(a_copy):
    async with a_worker(a_copy, sys.executable) as (worker, pid):
        namespace = namespace_of(pid)
        assert len(alive_in(namespace)) == 2
        worker.kill()
        await worker.wait()
        await gone(namespace)
        assert bubblewraps(worker.pid) == []


@as_root
async def test_an_unprivileged_worker_has_the_same_box(a_copy):
    found = await interpreter.find(None, 65534)
    async with a_worker(a_copy, found.path, user=65534, group=65534, extra_groups=[]) as (worker, pid):
        assert Path(f"/proc/{pid}").stat().st_uid == 65534
        namespace = namespace_of(pid)
        worker.kill()
        await worker.wait()
        await gone(namespace)


async def test_a_box_whose_worker_died_while_starting_it_is_reaped():
    title = procs.new_title().split("/")
    title[3] = "1"  # as if by an earlier process of our number
    sleep = shutil.which("sleep")
    orphan = await asyncio.create_subprocess_exec("/".join(title), "60", executable=sleep)
    mine = await asyncio.create_subprocess_exec(procs.new_title(), "60", executable=sleep)
    try:
        procs.reap_orphans()
        assert await orphan.wait() == -signal.SIGKILL
        assert mine.returncode is None
    finally:
        mine.kill()
        await mine.wait()


# probing and choosing


async def test_the_probe_tries_to_get_out_and_is_remembered():
    found = await adapter().probe()
    assert found.ok, found.problem
    assert "cannot open a network socket" in found.capabilities
    assert await adapter().probe() is found


async def test_a_machine_without_bubblewrap_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings(project=tmp_path, home=tmp_path, sandbox_python_path="/nowhere/python3")
    with pytest.raises(
        NoIsolation, match=r"so none are run\. bubblewrap is not installed .*apt-get install bubblewrap"
    ):
        await base.choose(settings)


async def test_a_python_that_will_not_do_is_named_with_the_reason(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    python = closed / "python3"
    python.symlink_to("/usr/bin/python3")
    for path, reason in [
        ("/nowhere/python3", "not there"),
        ("python3", "an absolute path"),
        ("/bin/false", "not complete"),
    ]:
        with pytest.raises(NoIsolation, match=f"{path}: {reason}.*set SANDBOX_PYTHON_PATH"):
            await interpreter.find(path, None)
    if os.geteuid() == 0:
        with pytest.raises(NoIsolation, match="is closed to uid 61001"):
            await interpreter.find(str(python), 61001)


async def test_the_chosen_adapter_has_passed(tmp_path):
    chosen = await base.choose(Settings(project=tmp_path, home=tmp_path))
    assert chosen.name == "local"
    assert "no network" in chosen.isolation


def test_an_unknown_adapter_is_named(tmp_path):
    with pytest.raises(NoIsolation, match=r"no sandbox of type 'moon'; known: .*local"):
        base.load("moon", Settings(project=tmp_path, home=tmp_path))


SCATTERED = """
import ctypes, threading
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
def scatter():
    for n in range(60_000):
        ctypes.memset(libc.mmap(0x100000000000 + (n << 30), 4096, 3, 0x32, -1, 0), 1, 1)
    threading.Event().wait(60)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="addresses and numbers of x86-64")
async def test_page_tables_are_memory_of_the_box_also_when_its_first_thread_has_ended():
    """60,000 single pages, a gigabyte apart, need 480 MB of them."""
    source = f"{SCATTERED}threading.Thread(target=scatter).start(); libc.syscall(60, 0)"
    async with running(source, BoxLimits(memory_bytes=256 << 20)) as (box, channel), asyncio.timeout(30):
        assert await channel.receive() is None
        assert box.cause == "memory"


# what it costs


async def test_the_watchdog_costs_little():
    async with running("import time\nsend({'t': 'up'})\ntime.sleep(60)") as (_, channel):
        await channel.receive()
        before = time.process_time()
        await asyncio.sleep(1.0)
        assert time.process_time() - before < 0.05


def _plain(source: str) -> str:
    return textwrap.dedent(source)
