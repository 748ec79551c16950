"""Real containers: what holds, what ends them, and that nothing of them is left."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.program import box_key
from holdfast.errors import NoIsolation
from sandbox import bwrap, docker_image, docker_leftovers, docker_spec, procs
from sandbox.base import BoxLimits, BoxLost, BoxSpec, ExportRefused
from sandbox.channel import Channel
from sandbox.docker import DockerAdapter, chosen_runtime
from sandbox.docker_box import DockerBox
from sandbox.docker_engine import Engine
from sandbox.docker_image import ImageFailed
from sandbox.docker_spec import LABEL_BOX, LABEL_WORKER
from sandbox.lockdown import lockdown
from sandbox.pool import Pool
from tests.support.boxes import GUEST
from tests.support.dockerd import settings
from tests.support.guest_host import GUEST as PROGRAM_GUEST
from tests.support.guest_host import JOB

ROOT = Path(__file__).parents[2]
MB = 1 << 20
SECONDS = 60.0


@pytest.fixture
def adapter(docker_host: str) -> DockerAdapter:
    return DockerAdapter(settings(docker_host))


@pytest.fixture
def engine(docker_host: str) -> Engine:
    return Engine(docker_host)


@pytest.fixture(autouse=True)
async def nothing_is_left(request):
    engine = request.getfixturevalue("engine") if "docker_host" in request.fixturenames else None
    yield
    assert engine is None or await containers(engine) == []


async def containers(engine: Engine) -> list[dict[str, Any]]:
    found = await engine.call("GET", "/containers/json", all="1")
    return [each for each in found if LABEL_WORKER in each["Labels"]]


@contextlib.asynccontextmanager
async def started(adapter: DockerAdapter, **spec: Any) -> AsyncIterator[tuple[DockerBox, Channel]]:
    box = await adapter.start(BoxSpec(**{"name": "test", "guest": GUEST, **spec}))
    try:
        channel = Channel(box)
        await channel.ready()
        yield box, channel
    finally:
        await box.kill()


@contextlib.asynccontextmanager
async def running(adapter: DockerAdapter, source: str, **spec: Any) -> AsyncIterator[tuple[DockerBox, Channel]]:
    async with started(adapter, **spec) as (box, channel):
        limits = spec.get("limits") or BoxLimits()
        await channel.send({"t": "job", "source": textwrap.dedent(source), **lockdown(limits)})
        yield box, channel


async def outcome(adapter: DockerAdapter, source: str, **spec: Any) -> Any:
    async with running(adapter, source, **spec) as (box, channel), asyncio.timeout(SECONDS):
        async for frame in channel.frames():
            if frame["t"] == "done":
                return frame["result"]
        raise AssertionError(f"the box ended: cause {box.cause}, exit code {box.exit_code}, noise {box.noise!r}")


async def ended(channel: Channel) -> None:
    async with asyncio.timeout(SECONDS):
        async for _ in channel.frames():
            pass


async def rest_of(box: DockerBox) -> bytes:
    """What is left after the end: reads to it."""
    async with asyncio.timeout(SECONDS):
        while data := await box.read():
            assert data
        return data


# what works


async def test_a_box_echoes_frames_of_any_size(adapter):
    async with running(adapter, "while True: send({'t': 'echo', 'v': receive()['v']})") as (_, channel):
        for value in ("one", "zwei ü 😀", [1, {"a": None}], "0123456789" * 300_000):
            await channel.send({"t": "x", "v": value})
            async with asyncio.timeout(SECONDS):
                assert await channel.receive() == {"t": "echo", "v": value}


async def test_the_guest_of_programs_runs_here_as_anywhere(adapter):
    async with started(adapter, guest=PROGRAM_GUEST) as (box, channel), asyncio.timeout(SECONDS):
        await channel.send({**JOB, "source": "print('hello')\nresult = __name__", **lockdown(BoxLimits())})
        frames = [frame async for frame in channel.frames()]
        assert "".join(frame["d"] for frame in frames if frame["t"] == "out") == "hello\n"
        assert frames[-1]["result"] == "__main__"
        assert box.exit_code == 0


async def test_a_box_sees_its_inputs_and_cannot_change_them(adapter):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "a.txt").write_text("hello")
        source = """
            result = [open('/ws/in/a.txt').read()]
            try: open('/ws/in/b.txt', 'w')
            except OSError as exc: result.append(exc.strerror)
        """
        assert await outcome(adapter, source, inputs=Path(folder)) == ["hello", "Read-only file system"]


async def test_ten_boxes_live_at_once_and_each_starts_threads(adapter):
    source = "from concurrent.futures import ThreadPoolExecutor as P\nresult = sum(P(20).map(int, '12345' * 20))"
    assert await asyncio.gather(*(outcome(adapter, source) for _ in range(10))) == [300] * 10


# what holds


async def test_a_program_sees_the_variables_of_its_box_only(adapter):
    found = await outcome(adapter, "import os\nresult = dict(os.environ)", environment={"TRACE_ID": "ab12"})
    assert found == {**bwrap.ENVIRONMENT, "TRACE_ID": "ab12"}


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_VSOCK"])
async def test_a_program_has_no_network(adapter, family):
    assert await outcome(adapter, f"import socket\nsocket.socket(socket.{family}, socket.SOCK_DGRAM)") == "OSError"


async def test_a_program_writes_in_its_workspace_only(adapter):
    source = """
        import os
        result = []
        for root, folders, files in os.walk('/'):
            if root == '/proc': folders.clear()
            try: open(os.path.join(root, 'x'), 'w'); result.append(root)
            except OSError: pass
        result = sorted({*result} - {'/ws'})
    """
    assert await outcome(adapter, source) == []


async def test_a_program_is_under_both_filters_of_ours_and_that_of_the_engine(adapter):
    source = "result = open('/proc/self/status').read()"
    rows = dict(line.split(":\t", 1) for line in (await outcome(adapter, source)).splitlines() if ":\t" in line)
    assert {int(rows[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (rows["NoNewPrivs"], rows["Seccomp"], rows["Seccomp_filters"]) == ("1", "2", "3")
    assert int(rows["Uid"].split()[0]) >= 61001


async def test_a_program_can_neither_read_nor_end_the_process_that_keeps_its_box(adapter):
    source = """
        import os
        result = []
        for attempt in (lambda: open('/proc/1/environ').read(), lambda: os.listdir('/proc/1/fd'),
                        lambda: open('/proc/1/mem')):
            try: attempt(); result.append('did it')
            except PermissionError: pass
        try: os.kill(1, 9)
        except PermissionError: pass
        result.append(os.path.exists('/proc/1'))
    """
    assert await outcome(adapter, source) == [True]


# what is stopped


async def test_a_memory_hog_meets_a_memory_error(adapter):
    source = "hog = []\nwhile True: hog.append(bytearray(1 << 20))"
    assert await outcome(adapter, source, limits=BoxLimits(memory_bytes=128 * MB)) == "MemoryError"


async def test_memory_that_rlimits_do_not_bound_is_bounded_by_the_engine(adapter):
    """On a busy machine the engine may see the end before it sees why, and never tell."""
    source = "import time\nhog = bytearray(b'x') * (300 << 20)\ntime.sleep(60)"
    allows_all = "06000000" + "0000ff7f"
    causes = list[str | None]()
    while "memory" not in causes and len(causes) < 4:
        async with started(adapter, limits=BoxLimits(memory_bytes=64 * MB)) as (box, channel):
            await channel.send({"t": "job", "source": source, "rlimits": {"AS": 1 << 40}, "filter": allows_all})
            await ended(channel)
        assert box.exit_code == 128 + signal.SIGKILL
        causes.append(box.cause)
    assert causes[-1] == "memory"


async def test_files_are_bounded_in_size_and_number(adapter):
    source = """
        import itertools
        result = []
        try:
            for n in itertools.count(): open(f'/ws/{n}', 'w').close()
        except OSError as exc: result += [n, exc.strerror]
        try: open('/ws/0', 'wb').write(b'x' * (3 << 20)); open('/ws/1', 'wb').write(b'x' * (3 << 20))
        except OSError as exc: result.append(exc.strerror)
    """
    found = await outcome(adapter, source, limits=BoxLimits(inodes=500, disk_bytes=4 * MB))
    assert found == [499, "No space left on device", "No space left on device"]


@pytest.mark.parametrize("flood", ["write(b'x' * 65536)", "import os; os.write(2, b'x' * 65536)"])
async def test_an_output_flood_is_stopped(adapter, flood):
    async with running(adapter, f"while True:\n    {flood}", limits=BoxLimits(output_bytes=4 * MB)) as (box, channel):
        await ended(channel)
        assert box.cause == "output"


# how it ends


async def test_kill_leaves_no_container_and_may_be_called_again(adapter, engine):
    async with running(adapter, "import time\nsend({'t': 'up'})\ntime.sleep(60)") as (box, channel):
        assert await channel.receive() == {"t": "up"}
        assert [each["Labels"][LABEL_BOX] for each in await containers(engine)] == ["test"]
        await asyncio.gather(box.kill(), box.kill())
        await box.kill()
        assert await containers(engine) == []
        assert box.exit_code == 128 + signal.SIGKILL
        with pytest.raises(BoxLost, match="gone"):
            await channel.send({"t": "x"})
        assert await channel.receive() is None


async def test_kill_ends_a_writer_that_waits_for_a_guest_that_does_not_read(adapter):
    async with running(adapter, "import time\ntime.sleep(60)") as (box, channel):
        writer = asyncio.ensure_future(channel.send({"v": "x" * 8 * MB}))
        await asyncio.sleep(0.1)
        await box.kill()
        async with asyncio.timeout(SECONDS):
            with pytest.raises(BoxLost):
                await writer


async def test_a_container_killed_from_outside_is_a_lost_box_with_its_code(adapter, engine):
    async with running(adapter, "import time\nsend({'t': 'up'})\ntime.sleep(60)") as (box, channel):
        await channel.receive()
        await engine.call("POST", f"/containers/{box.container}/kill")
        await ended(channel)
        assert (box.cause, box.exit_code) == (None, 128 + signal.SIGKILL)


@pytest.mark.parametrize(
    ("last", "code"),
    [("os._exit(7)", 7), ("os.kill(os.getpid(), 15)", 143), ("os.kill(os.getpid(), 9)", 137)],
)
async def test_the_exit_code_of_a_guest_is_known_at_the_end_of_its_stream(adapter, last, code):
    async with running(adapter, f"import os\nwrite(b'last words without an end')\n{last}") as (box, channel):
        await ended(channel)
        assert (box.exit_code, box.cause) == (code, None)


async def test_a_guest_that_fails_at_start_is_quoted(adapter, tmp_path):
    guest = tmp_path / "guest.py"
    guest.write_text("raise RuntimeError('no such moon')")
    with pytest.raises(BoxLost, match=r"the guest ended with 1 at start; it wrote .*no such moon"):
        async with started(adapter, guest=guest):
            pass


async def test_a_cancelled_start_leaves_nothing(adapter, engine):
    for delay in (0.0, 0.02, 0.1):
        starting = asyncio.ensure_future(adapter.start(BoxSpec(name="test", guest=GUEST)))
        await asyncio.sleep(delay)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await starting).kill()
        assert await containers(engine) == []


async def test_a_later_attempt_ends_the_box_of_the_one_before(adapter, engine):
    first = await adapter.start(BoxSpec(name="task", guest=GUEST, key="workflow-1/3"))
    async with started(adapter, key="workflow-1/3") as (second, _):
        assert [each["Id"] for each in await containers(engine)] == [second.container]
        assert (await containers(engine))[0]["Labels"][LABEL_BOX] == "workflow-1/3"
        assert await rest_of(first) == b""
        await first.kill()
        assert [each["Id"] for each in await containers(engine)] == [second.container]


def key_of(run: str, attempt: int) -> str:
    info = ActivityEnvironment.default_info()
    return box_key(replace(info, workflow_id="default/task", workflow_run_id=run, activity_id="3", attempt=attempt))


async def test_a_retried_activity_ends_its_box_and_none_of_another_run_of_the_workflow(adapter, engine):
    async with started(adapter, key=key_of("run-a", 1)) as (other, channel):
        first = await adapter.start(BoxSpec(name="task", guest=GUEST, key=key_of("run-b", 1)))
        async with started(adapter, key=key_of("run-b", 2)) as (second, _):
            assert await rest_of(first) == b""
            assert {each["Id"] for each in await containers(engine)} == {other.container, second.container}
            await first.kill()
            await channel.send({"t": "job", "source": "result = 1", **lockdown(BoxLimits())})
            assert await channel.receive() == {"t": "done", "result": 1}


async def test_an_idle_box_that_is_given_a_key_ends_the_box_that_had_it(adapter, engine):
    first = await adapter.start(BoxSpec(name="task", guest=GUEST, key="workflow-2/1"))
    async with started(adapter) as (idle, _):
        adapter.assign(idle, BoxSpec(name="task", guest=GUEST, key="workflow-2/1"))
        async with asyncio.timeout(SECONDS):
            await rest_of(first)
            assert idle._naming is not None
            await idle._naming
        (only,) = await containers(engine)
        assert only["Names"] == [f"/{docker_spec.container_name(BoxSpec(name='', guest=GUEST, key='workflow-2/1'))}"]
        await first.kill()


async def test_a_pool_of_containers_serves_twelve_at_once_and_leaves_none(adapter, engine):
    template = BoxSpec(name="warm", guest=GUEST)
    async with Pool(adapter, template, max_sessions=4, warm=2, free=lambda: 1.0) as pool:
        async with asyncio.timeout(SECONDS):
            while pool.warm < 2:
                await asyncio.sleep(0.02)
            found = await asyncio.gather(*(program(pool, number) for number in range(12)))
        assert found == list(range(12))
        assert len(await containers(engine)) <= 4
    assert await containers(engine) == []


async def program(pool: Pool, number: int) -> Any:
    async with pool.session(BoxSpec(name=f"task-{number}", guest=GUEST, key=f"workflow-{number}/1")) as session:
        assert pool.live <= 4
        await session.channel.send({"t": "job", "source": f"result = {number}", **lockdown(BoxLimits())})
        return (await session.channel.receive() or {}).get("result")


WORKER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from tests.support.boxes import GUEST
from tests.support.dockerd import settings
from sandbox.base import BoxLimits, BoxSpec
from sandbox.channel import Channel
from sandbox.docker import DockerAdapter
from sandbox.lockdown import lockdown

async def main():
    box = await DockerAdapter(settings(sys.argv[2])).start(BoxSpec(name="w", guest=GUEST))
    channel = Channel(box)
    await channel.ready()
    await channel.send({"t": "job", "source": "while True: pass", **lockdown(BoxLimits(cpu_seconds=1000))})
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_workers_box_ends_by_itself_and_is_removed_by_the_next_worker(adapter, engine, docker_host):
    pipe = asyncio.subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, str(ROOT), docker_host, stdout=pipe)
    assert worker.stdout is not None
    async with asyncio.timeout(SECONDS):
        assert await worker.stdout.readline() == b"up\n"
        worker.kill()
        await worker.wait()
        while (await containers(engine))[0]["State"] != "exited":
            await asyncio.sleep(0.05)
    async with started(adapter) as (mine, _):
        assert await docker_leftovers.reap(engine) == 1
        assert [each["Id"] for each in await containers(engine)] == [mine.container]


def test_a_box_that_ended_long_ago_is_a_leftover_whoever_made_it():
    theirs = "holdfast-box/1/1/1/1"
    row = {"State": "exited", "Created": 0, "Labels": {LABEL_WORKER: theirs}}
    assert docker_leftovers._is_left(row)
    assert not docker_leftovers._is_left({**row, "State": "running"})
    assert not docker_leftovers._is_left({**row, "State": "running", "Labels": {LABEL_WORKER: procs.new_title()}})


# export


FILES = """
import os
os.makedirs('/ws/out/deep')
open('/ws/out/deep/a.txt', 'w').write('hello')
open('/ws/plain', 'w').write('x')
os.symlink('/etc/shadow', '/ws/shadow')
os.symlink('/', '/ws/root')
os.link('/ws/plain', '/ws/second')
open('/ws/two\\nlines', 'w').write('x')
open('/ws/big', 'wb').truncate(3 << 20)
open('/ws/other', 'wb').truncate(3 << 20)
send({'t': 'up'})
receive()
"""
REFUSED = [
    ("shadow", "without links"),
    ("root/etc/passwd", "without links"),
    ("plain", "2 names"),
    ("../etc/passwd", "without '..'"),
    ("/etc/passwd", "a path relative to /ws"),
    ("two\nlines", "unprintable"),
    ("\ud800", "unprintable"),
    ("out", "a plain file is expected"),
    ("gone", "No such file"),
    ("in/a.txt", "mounted in it"),
]


async def test_only_plain_files_of_the_workspace_are_exported_also_after_the_end(adapter):
    with tempfile.TemporaryDirectory() as inputs:
        Path(inputs).chmod(0o755)
        (Path(inputs) / "a.txt").write_text("hello")
        limits = BoxLimits(disk_bytes=5 * MB)
        async with running(adapter, FILES, inputs=Path(inputs), limits=limits) as (box, channel):
            assert await channel.receive() == {"t": "up"}
            for path, reason in REFUSED:
                with pytest.raises(ExportRefused, match=reason):
                    await box.export(["out/deep/a.txt", path])
            with pytest.raises(ExportRefused, match="'other': found 3145728 bytes; 2097152 are left"):
                await box.export(["big", "other"])
            await channel.send({"t": "end"})
            await ended(channel)
            assert box.exit_code == 0
            assert await box.export(["out/deep/a.txt", "big"]) == {"out/deep/a.txt": b"hello", "big": bytes(3 * MB)}
            assert await box.export([]) == {}
        with pytest.raises(ExportRefused, match="was killed"):
            await box.export(["out/deep/a.txt"])


# probing and choosing


async def test_the_probe_tries_to_get_out(adapter):
    found = await adapter.probe()
    assert found.ok, found.problem
    assert found.version.startswith("docker ")
    assert "cannot read a host file" in found.capabilities


async def test_a_machine_without_an_engine_is_refused_with_the_fix(tmp_path):
    found = await DockerAdapter(settings(f"unix://{tmp_path}/docker.sock")).probe()
    assert not found.ok
    assert f"no docker engine answers at {tmp_path}/docker.sock" in found.problem
    assert "apt-get install docker.io" in found.problem


async def test_an_engine_across_the_network_is_refused():
    found = await DockerAdapter(settings("tcp://10.0.0.1:2375")).probe()
    assert found.problem == ("DOCKER_HOST is 'tcp://10.0.0.1:2375'; only unix:///path will do. Forward the socket here")


async def test_an_engine_without_the_image_is_refused_with_the_fix(docker_host, engine):
    found = await DockerAdapter(settings(docker_host, sandbox_docker_image="moon:7")).probe()
    assert not found.ok
    assert "docker has no image 'moon:7'. Make it with `holdfast sandbox build`" in found.problem


async def test_a_runtime_that_the_engine_does_not_have_is_refused(docker_host, engine):
    found = await DockerAdapter(settings(docker_host, sandbox_docker_runtime="moon")).probe()
    assert not found.ok
    assert "docker has no runtime 'moon'; it has " in found.problem


@pytest.mark.parametrize("image", ["holdfast-test", "holdfast/test:7"])
async def test_an_image_of_this_machines_python_is_made_by_one_command(docker_host, engine, image):
    variables = os.environ | {"DOCKER_HOST": docker_host, "SANDBOX_DOCKER_IMAGE": image}
    line = [sys.executable, "-m", "cli.main", "sandbox", "build", "--from-system"]
    made = await asyncio.create_subprocess_exec(*line, env=variables, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert (await made.communicate())[0].decode().strip() == image
    found = DockerAdapter(settings(docker_host, sandbox_docker_image=image))
    assert (
        await outcome(found, "import json, sqlite3, decimal, zoneinfo\nresult = zoneinfo.ZoneInfo('Asia/Tokyo').key")
        == "Asia/Tokyo"
    )
    await engine.call("DELETE", f"/images/{image}")


async def test_a_build_that_fails_says_what_to_do_without_a_registry(engine, monkeypatch, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM nowhere.invalid/moon:1\n")
    monkeypatch.setattr(docker_image, "_FOLDER", tmp_path)
    with pytest.raises(ImageFailed, match=r"could not make the image.*holdfast sandbox build --from-system"):
        await docker_image.build(engine, "holdfast-moon")


async def test_the_dockerfile_makes_an_image_that_boxes_run_on(engine, adapter, docker_host, monkeypatch, tmp_path):
    """With our own image as its base: no registry can be reached here."""
    text = (Path(docker_image.__file__).parent / "image/Dockerfile").read_text()
    base, ours = "FROM python:3.11-slim", f"FROM {adapter.image}"
    assert base in text
    # There is no shell in our base: its layers of clean-up are what python:slim has to lose.
    kept = text.replace(base, ours).replace(text[text.index("RUN ") : text.index("WORKDIR")], "")
    (tmp_path / "Dockerfile").write_text(kept)
    monkeypatch.setattr(docker_image, "_FOLDER", tmp_path)
    await docker_image.build(engine, "holdfast-built:1")
    assert (
        await outcome(DockerAdapter(settings(docker_host, sandbox_docker_image="holdfast-built:1")), "result = 1") == 1
    )
    await engine.call("DELETE", "/images/holdfast-built:1")


def test_gvisor_is_taken_where_the_engine_has_it():
    assert chosen_runtime("auto", ["runc", "runsc"]) == "runsc"
    assert chosen_runtime("auto", ["runc"]) == ""
    assert chosen_runtime("runc", ["runc", "runsc"]) == "runc"
    with pytest.raises(NoIsolation, match="no runtime 'runsc'; it has runc"):
        chosen_runtime("runsc", ["runc"])


def test_each_box_is_a_user_of_its_own():
    spec = BoxSpec(name="x", guest=GUEST)
    users = {docker_spec.container(spec, "i", "", "w")["User"] for _ in range(20)}
    assert len(users) == 20
