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
from sandbox.base import BoxLimits, BoxLost, BoxSpec, ExportRefused, ProtocolViolation
from sandbox.channel import Channel
from tests.support.boxes import (
    ADAPTER,
    GUEST,
    SECONDS,
    adapter,
    alive_in,
    bubblewraps,
    namespace_of,
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


async def ended(channel: Channel) -> None:
    async with asyncio.timeout(SECONDS):
        async for _ in channel.frames():
            pass


# what works


async def test_a_box_echoes_frames():
    async with running("while True: send({'t': 'echo', 'v': receive()['v']})") as (_, channel):
        for value in ("one", "zwei ü 😀", [1, {"a": None}]):
            await channel.send({"t": "x", "v": value})
            assert await channel.receive() == {"t": "echo", "v": value}


async def test_three_megabytes_travel_both_ways():
    value = "0123456789" * 300_000
    async with running("send({'t': 'echo', 'v': receive()['v']})") as (_, channel), asyncio.timeout(SECONDS):
        await channel.send({"t": "x", "v": value})
        assert await channel.receive() == {"t": "echo", "v": value}


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


async def test_a_receive_that_gives_up_loses_no_frame():
    async with running("receive(); send({'t': 'late'})") as (_, channel):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await channel.receive()
        await channel.send({"t": "go"})
        assert await channel.receive() == {"t": "late"}


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


async def test_a_program_starts_threads():
    source = "from concurrent.futures import ThreadPoolExecutor as P\nresult = sum(P(8).map(int, '12345'))"
    assert await outcome(source) == 15


@as_root
async def test_a_box_of_root_is_not_root_to_the_kernel():
    async with started() as (box, _):
        status = Path(f"/proc/{box.pid}/status").read_text()
    rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert rows["Uid"].split() == ["61001"] * 4
    assert rows["Groups"].strip() in ("", "61001")


# what is stopped


async def test_a_memory_hog_meets_a_memory_error():
    limits = BoxLimits(memory_bytes=128 * MB)
    assert await outcome("hog = []\nwhile True: hog.append(bytearray(1 << 20))", limits) == "MemoryError"


async def test_memory_that_rlimits_do_not_bound_is_seen_by_the_watchdog():
    async with started(limits=BoxLimits(memory_bytes=64 * MB)) as (box, channel):
        roomy = {"AS": 1 << 40}
        source = "import time\nhog = bytearray(b'x') * (300 << 20)\ntime.sleep(60)"
        await channel.send({"t": "job", "source": source, "rlimits": roomy, "filter": _harmless()})
        await ended(channel)
        assert (box.cause, box.exit_code) == ("memory", 128 + signal.SIGKILL)


async def test_a_flood_of_empty_files_is_stopped():
    source = "import itertools\nfor n in itertools.count(): open(f'/ws/{n}', 'w').close()"
    async with running(source) as (box, channel):
        await ended(channel)
        assert box.cause == "inodes"


async def test_a_full_workspace_is_an_error_of_the_program():
    source = "open('/ws/a', 'wb').write(b'x' * (2 << 20))\nopen('/ws/b', 'wb').write(b'x' * (3 << 20))"
    assert await outcome(source, BoxLimits(disk_bytes=4 * MB)) == "OSError"


@pytest.mark.parametrize(
    "flood",
    [
        "write(b'x' * 65536)",
        "write(b'line\\n' * 10000)",
        "send({'t': 'out', 'd': 'é' * 10000})",
        "import os; os.write(2, b'x' * 65536)",
    ],
)
async def test_an_output_flood_is_stopped(flood):
    async with running(f"while True:\n    {flood}", BoxLimits(output_bytes=4 * MB)) as (box, channel):
        await ended(channel)
        assert box.cause == "output"


async def test_a_flood_that_nobody_reads_stays_in_the_box():
    async with running("while True: send({'t': 'x', 'v': 'y' * 10000})") as (box, _):
        await asyncio.sleep(0.5)
        assert len(box._child._out._buffer) < MB  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "hostile",
    [
        r"""write(b'\x1eHF1 {"a":NaN}\n')""",
        r"""write(b'\x1eHF1 {"a":1e999}\n')""",
        r"""write(b'\x1eHF1 {"a":"\\ud800"}\n')""",
        r"""write(b'\x1eHF1+ ' + b'[' * 60000 + b'\n\x1eHF1 ' + b'[' * 60000 + b'\n')""",
        r"""write(b'\x1eHF1 ' + b'1' * 100000)""",
        r"""[write(b'\x1eHF1+ ' + b'1' * 60000 + b'\n') for _ in range(200)]""",
        r"""write(b'\x1eHF1 \xff\xfe\n')""",
        r"""write(b'\x1eHF1 7\n')""",
    ],
)
async def test_a_hostile_frame_costs_the_guest_its_box(hostile):
    async with running(f"import time\n{hostile}\ntime.sleep(60)") as (box, channel):
        with pytest.raises(ProtocolViolation):
            await ended(channel)
        assert box.exit_code == 128 + signal.SIGKILL
        assert box.cause is None
    assert await outcome("result = 'the host is well'") == "the host is well"


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


async def test_kill_ends_a_writer_that_waits_for_a_guest_that_does_not_read():
    async with running("import time\ntime.sleep(60)") as (box, channel):
        writer = asyncio.ensure_future(channel.send({"v": "x" * 3 * MB}))
        await asyncio.sleep(0.05)
        await box.kill()
        async with asyncio.timeout(SECONDS):
            with pytest.raises(BoxLost):
                await writer


async def test_a_guest_that_ignores_all_signals_is_killed():
    source = """
        import signal, time
        for n in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(n, signal.SIG_IGN)
        send({'t': 'up'})
        time.sleep(60)
    """
    async with running(_plain(source)) as (box, channel):
        await channel.receive()
        await box.kill()
        assert box.exit_code == 128 + signal.SIGKILL


async def test_the_exit_code_of_a_guest_is_known_at_the_end_of_its_stream():
    async with running("import os\nos._exit(7)") as (box, channel):
        await ended(channel)
        assert (box.exit_code, box.cause) == (7, None)


async def test_boxes_leave_no_descriptor_behind():
    await outcome("result = 1")
    before = descriptors()
    for _ in range(3):
        await outcome("result = 1")
    await asyncio.sleep(0)
    assert descriptors() <= before


async def test_a_cancelled_start_leaves_nothing():
    for delay in (0.0, 0.001, 0.003, 0.01, 0.02):
        starting = asyncio.ensure_future(ADAPTER.start(BoxSpec(name="test", guest=GUEST)))
        await asyncio.sleep(delay)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await starting).kill()
        assert bubblewraps() == []


async def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path):
    with pytest.raises(BoxLost, match=r"'nobody' did not start: its inputs .* are no folder"):
        await ADAPTER.start(BoxSpec(name="nobody", guest=GUEST, inputs=tmp_path / "gone"))
    with pytest.raises(BoxLost, match="No such file or directory"):
        await ADAPTER.start(BoxSpec(name="nobody", guest=tmp_path / "gone.py"))
    assert bubblewraps() == []


async def test_a_guest_that_fails_at_start_is_quoted(tmp_path):
    guest = tmp_path / "guest.py"
    guest.write_text("raise RuntimeError('no such moon')")
    with pytest.raises(BoxLost, match=r"the guest ended with 1 at start; it wrote .*no such moon"):
        async with started(guest):
            pass


async def test_a_bubblewrap_that_dies_at_once_is_quoted(tmp_path):
    broken = adapter()
    tools, python = await broken._tools()
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
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


# export


FILES = """
import os
os.makedirs('/ws/out/deep')
open('/ws/out/deep/a.txt', 'w').write('hello')
open('/ws/plain', 'w').write('x')
os.symlink('/etc/shadow', '/ws/shadow')
os.symlink('/', '/ws/root')
os.symlink('out', '/ws/linked')
os.link('/ws/plain', '/ws/second')
open('/ws/two\\nlines', 'w').write('x')
open('/ws/big', 'wb').truncate(3 << 20)
open('/ws/other', 'wb').truncate(3 << 20)
send({'t': 'up'})
receive()
"""


@contextlib.asynccontextmanager
async def with_files(**spec):
    async with running(FILES, BoxLimits(disk_bytes=5 * MB), **spec) as (box, channel):
        assert await channel.receive() == {"t": "up"}
        yield box, channel


async def test_plain_files_are_exported_also_after_the_program_has_ended():
    async with with_files() as (box, channel):
        assert await box.export(["out/deep/a.txt"]) == {"out/deep/a.txt": b"hello"}
        await channel.send({"t": "end"})
        await ended(channel)
        assert box.exit_code == 0
        assert await box.export(["out/deep/a.txt"]) == {"out/deep/a.txt": b"hello"}
    with pytest.raises(ExportRefused, match="was killed"):
        await box.export(["out/deep/a.txt"])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("shadow", "without links"),
        ("root/etc/passwd", "without links"),
        ("linked/deep/a.txt", "without links"),
        ("plain", "2 names"),
        ("../etc/passwd", "without '..'"),
        ("out/../plain", "without '..'"),
        ("/etc/passwd", "a path relative to /ws"),
        ("", "a path relative to /ws"),
        ("two\nlines", "unprintable"),
        ("nul\0", "unprintable"),
        ("\ud800", "unprintable"),
        ("out", "a plain file is expected"),
        ("gone", "No such file"),
        ("a/" * 40 + "x", "a path relative to /ws"),
        ("in/a.txt", "mounted in it"),
    ],
)
async def test_what_is_no_plain_file_of_the_workspace_is_not_exported(path, reason):
    with tempfile.TemporaryDirectory() as inputs:
        Path(inputs).chmod(0o755)
        (Path(inputs) / "a.txt").write_text("hello")
        async with with_files(inputs=Path(inputs)) as (box, _):
            with pytest.raises(ExportRefused, match=reason):
                await box.export(["out/deep/a.txt", path])


async def test_exports_are_bounded_together():
    async with with_files() as (box, _):
        assert len((await box.export(["big"]))["big"]) == 3 * MB
        with pytest.raises(ExportRefused, match=r"'other': found 3145728 bytes; 2097152 are left"):
            await box.export(["big", "other"])
        with pytest.raises(ExportRefused, match="1001 files; at most 1000"):
            await box.export(["big"] * 1001)


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


# what it costs


async def test_the_watchdog_costs_little():
    async with running("import time\nsend({'t': 'up'})\ntime.sleep(60)") as (_, channel):
        await channel.receive()
        before = time.process_time()
        await asyncio.sleep(1.0)
        assert time.process_time() - before < 0.05


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _harmless() -> str:
    """A filter that allows all: RET ALLOW."""
    return "06000000" + "0000ff7f"


def _plain(source: str) -> str:
    return textwrap.dedent(source)
