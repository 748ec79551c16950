"""The `exec` profile: what shell commands can do, what they cannot, and that nothing of them stays."""

import asyncio
import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from holdfast.errors import NoIsolation
from sandbox import exec_box, exec_memory, procs
from sandbox.base import BoxLost
from sandbox.exec_box import Exec
from sandbox.exec_bwrap import Command, CommandLimits
from sandbox.exec_run import Finished
from sandbox.local import LocalAdapter
from tests.support.conformance import SETTINGS

CGROUPS = Path("/sys/fs/cgroup")
ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-worker"


@pytest.fixture(scope="module")
def place() -> Exec:
    """Where nothing bounds memory there is nothing to try: `test_refusal_says_what_to_set_up` is what holds then."""
    try:
        return asyncio.run(exec_box.find())
    except NoIsolation as exc:
        pytest.skip(f"exec profile: refused on this machine, as it must be: {exc}")


@pytest.fixture
def workspace(place: Exec):
    """A folder that the commands' user can reach and write to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.chmod(top, 0o711)  # noqa: PTH101
        folder = Path(top) / "ws"
        folder.mkdir()
        if place.uid is not None:
            os.chown(folder, place.uid, place.uid)
        yield folder


async def ran(place: Exec, text: str, **options) -> Finished:
    limits = options.pop("limits", CommandLimits(wall_seconds=60))
    return await place.run(Command(text, limits=limits, **options))


async def test_pipes_and_streams_work_and_are_told_apart(place: Exec):
    finished = await ran(place, "printf 'b\\na\\n' | sort; echo oh >&2; exit 7")
    assert (finished.stdout, finished.stderr, finished.exit_code) == (b"a\nb\n", b"oh\n", 7)
    assert finished.cause is None


async def test_words_are_run_without_a_shell(place: Exec):
    finished = await place.run(Command(["echo", "$HOME; exit 3"]))
    assert (finished.stdout, finished.exit_code) == (b"$HOME; exit 3\n", 0)


async def test_missing_program_is_exit_code_127(place: Exec):
    finished = await place.run(Command(["no-such-program"]))
    assert (finished.exit_code, finished.cause) == (127, None)
    assert b"no-such-program" in finished.stderr


async def test_death_by_signal_is_128_and_its_number(place: Exec):
    assert (await ran(place, "kill -TERM $$")).exit_code == 128 + 15


async def test_stdin_reaches_the_command(place: Exec):
    data = b"x" * 3_000_000
    assert (await ran(place, "wc -c", stdin=data)).stdout.strip() == b"3000000"


async def test_unread_stdin_holds_nothing_up(place: Exec):
    assert (await ran(place, "exit 0", stdin=b"x" * 3_000_000)).exit_code == 0


async def test_script_with_a_shebang_runs_in_its_folder(place: Exec):
    script = b"#!/usr/bin/env python3\nimport os, sys\nprint(os.getcwd(), sys.argv[1])\n"
    finished = await place.run(Command(["./run.py", "one"], files={"pack/run.py": script}, cwd="pack"))
    assert (finished.stdout, finished.stderr) == (b"/ws/pack one\n", b"")


async def test_git_and_python_of_the_system_work(place: Exec):
    text = (
        "git init -q r && cd r && echo 1 > a && git add a && git -c user.name=a -c user.email=a@b commit -qm first"
        " && git log --format=%s && python3 -c 'import sqlite3, subprocess; print(subprocess.getoutput(\"echo sub\"))'"
    )
    finished = await ran(place, text)
    assert (finished.stdout, finished.stderr) == (b"first\nsub\n", b"")


async def test_workspace_of_the_caller_is_read_and_written(place: Exec, workspace: Path):
    (workspace / "in.txt").write_text("hello")
    finished = await ran(place, "tr a-z A-Z < in.txt > out.txt", workspace=workspace)
    assert (finished.exit_code, finished.stderr) == (0, b"")
    assert (workspace / "out.txt").read_text() == "HELLO"


async def test_workspace_of_another_is_refused(place: Exec):
    with pytest.raises(BoxLost, match="has to be a folder that belongs to uid"):
        await ran(place, "true", workspace=Path("/nowhere"))


@pytest.mark.parametrize("path", ["../up", "/etc/x", "a/../../b"])
def test_files_outside_of_the_workspace_are_refused(path: str):
    with pytest.raises(ValueError, match="lie in its workspace"):
        Command("true", files={path: b""})


async def test_only_the_given_environment_is_seen(place: Exec, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODEL_KEY", SECRET)
    finished = await ran(place, "env; cat /proc/*/environ", environment={"LEVEL": "3"})
    assert b"LEVEL=3" in finished.stdout
    assert SECRET.encode() not in finished.stdout


async def test_the_given_environment_is_in_no_command_line(place: Exec):
    running = asyncio.ensure_future(ran(place, "sleep 2", environment={"KEY": SECRET}))
    seen = []
    while not running.done():
        seen += [line for _, line in _command_lines() if line.startswith(_title().encode())]
        await asyncio.sleep(0.1)
    await running
    assert seen
    assert not [line for line in seen if SECRET.encode() in line]


@pytest.mark.parametrize("path", ["/etc/shadow", "/root", "/home", "/proc/1/environ", "/sys", "/run", "/var", "/opt"])
async def test_file_of_the_machine_is_not_there(place: Exec, path: str):
    finished = await ran(place, f"ls -la {path}")
    assert finished.exit_code != 0
    assert b"No such file" in finished.stderr


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/bin/x", "/etc/x", "/dev/x", "/etc/passwd"])
async def test_write_outside_of_the_workspace_is_refused(place: Exec, path: str):
    finished = await ran(place, f"echo 1 > {path}")
    assert finished.exit_code != 0
    assert b"cannot create" in finished.stderr


async def test_there_is_no_network_not_even_loopback(place: Exec):
    text = "import socket\ntry: socket.create_connection(('127.0.0.1', 1))\nexcept OSError as exc: print(exc.errno)"
    finished = await place.run(Command(["python3", "-c", text]))
    assert finished.stdout.strip() == b"97"  # EAFNOSUPPORT: not even a socket


async def test_no_privilege_is_to_be_had(place: Exec):
    finished = await ran(place, "unshare -U true; unshare -n true; mount -t tmpfs t /tmp; chroot / true; su -c id")
    assert finished.exit_code != 0
    assert b"uid=0" not in finished.stdout


async def test_no_descriptor_but_three_is_inherited(place: Exec):
    text = "import os\nfor fd in range(256):\n    try: os.fstat(fd); print(fd)\n    except OSError: pass\n"
    finished = await place.run(Command(["python3", "-c", text], files={"a": b"1"}))
    assert finished.stdout.split() == [b"0", b"1", b"2"]


async def test_fork_bomb_is_contained_and_gone_afterwards(place: Exec):
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    running = asyncio.ensure_future(place.run(Command(["python3", "-c", bomb], limits=CommandLimits(wall_seconds=3))))
    most = 0
    while not running.done():
        most = max(most, len(_processes()))
        await asyncio.sleep(0.05)
    assert (await running).cause == "timeout"
    assert 60 <= most <= 64 + 1  # bubblewrap itself is outside of the box's own count
    assert not _processes()


async def test_memory_of_all_processes_together_is_bounded(place: Exec):
    """Each takes less than the limit."""
    hog = "for i in 1 2 3 4 5 6; do python3 -c 'import time; x = b\"1\" * 40_000_000; time.sleep(20)' & done; wait"
    finished = await ran(place, hog, limits=CommandLimits(memory_bytes=128 << 20, wall_seconds=60))
    assert (finished.cause, finished.seconds < 20) == ("memory", True)


async def test_files_in_tmp_count_as_memory(place: Exec):
    text = "head -c 60000000 /dev/zero > /tmp/a; sleep 5; echo survived"
    finished = await ran(place, text, limits=CommandLimits(memory_bytes=32 << 20))
    assert finished.cause == "memory"
    assert b"survived" not in finished.stdout


async def test_full_workspace_is_an_error_of_the_command(place: Exec):
    text = "for i in 1 2 3 4; do head -c 3000000 /dev/zero > $i || exit 9; done"
    finished = await ran(place, text, limits=CommandLimits(disk_bytes=8 << 20))
    assert (finished.exit_code, finished.cause) == (9, None)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("for i in 1 2 3 4; do head -c 3000000 /dev/zero > $i; done; sleep 30", "disk"),
        ("exec 5> a 6> b 7> c; rm a b c; for i in 5 6 7; do head -c 4000000 /dev/zero >&$i; done; sleep 30", "disk"),
        ("i=0; while [ $i -lt 400 ]; do : > $i; i=$((i+1)); done; sleep 30", "inodes"),
    ],
)
async def test_flood_into_a_workspace_of_the_caller_is_stopped(place: Exec, workspace: Path, text: str, cause: str):
    limits = CommandLimits(disk_bytes=8 << 20, inodes=300, wall_seconds=30)
    finished = await ran(place, text, workspace=workspace, limits=limits)
    assert (finished.cause, finished.seconds < 25) == (cause, True)


async def test_endless_output_is_stopped(place: Exec):
    finished = await ran(place, "yes & yes >&2", limits=CommandLimits(output_bytes=1 << 20))
    assert finished.cause == "output"
    assert len(finished.stdout) + len(finished.stderr) == 1 << 20


async def test_timeout_ends_grandchildren_and_daemons(place: Exec):
    text = "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 &) ; sh -c 'sleep 1000' "
    finished = await ran(place, text, limits=CommandLimits(wall_seconds=1.5))
    assert (finished.cause, finished.exit_code) == ("timeout", 137)
    assert finished.seconds < 20
    assert not _processes()


async def test_command_that_closes_its_streams_still_has_a_timeout(place: Exec):
    finished = await ran(place, "exec <&- >&- 2>&-; sleep 1000", limits=CommandLimits(wall_seconds=1))
    assert (finished.cause, finished.seconds < 20) == ("timeout", True)
    assert not _processes()


async def test_daemon_ends_with_its_command(place: Exec):
    finished = await ran(place, "setsid sleep 1000 & echo started")
    assert (finished.stdout, finished.cause) == (b"started\n", None)
    assert not _processes()


async def test_cpu_seconds_end_a_process(place: Exec):
    finished = await ran(place, "while :; do :; done", limits=CommandLimits(cpu_seconds=1, wall_seconds=60))
    assert finished.exit_code in (128 + 9, 128 + 24)
    assert finished.cause is None


async def test_cancelled_command_leaves_nothing(place: Exec):
    for delay in (0.0, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.3):
        running = asyncio.ensure_future(ran(place, "sleep 1000 & sleep 1000"))
        await asyncio.sleep(delay)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not _processes()
    assert not _cgroups()


async def test_command_ends_with_a_killed_worker_and_the_next_one_clears_away(place: Exec):
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    worker.stdout.readline()
    title = procs.new_title().split("/")[:2]
    ours = "/".join([*title, str(worker.pid)]) + "/"
    while not (inside := [pid for pid, line in _command_lines() if line.startswith(ours.encode())]):
        await asyncio.sleep(0.05)
    first = [os.pidfd_open(pid) for pid in inside]
    worker.kill()
    worker.communicate()
    for fd in first:
        assert select.select([fd], [], [], 20)[0]
        os.close(fd)
    async with asyncio.timeout(20):  # those inside end after bubblewrap: the kernel sees to it
        while _cgroups(ours):
            procs.reap_orphans()
            exec_memory.controller()
            await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_fifty_commands_leave_nothing_behind(place: Exec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await ran(place, "true")
    before, zombies = _left(), _zombies(place.uid)
    for texts in (["sleep 100 & echo $$ > /tmp/a; exit 3"] * 5,) * 10:
        await asyncio.gather(*(ran(place, text) for text in texts))
    assert _left() == before
    assert _zombies(place.uid) <= zombies


async def test_probe_of_local_tells_whether_commands_can_be_run(place: Exec):
    found = await LocalAdapter(SETTINGS).probe()
    assert (found.ok, "exec" in found.capabilities) == (True, True)


async def test_refusal_says_what_to_set_up(tmp_path: Path):
    (tmp_path / "mounts").write_text("proc /proc proc rw 0 0\n")
    with pytest.raises(NoIsolation) as refused:
        await exec_box.find(mounts=tmp_path / "mounts", systemd_run="/nonexistent/systemd-run")
    for word in ("nothing bounds the memory", "root", "/sys/fs/cgroup", "loginctl enable-linger"):
        assert word in str(refused.value)


_BEFORE: set[int] = set()
"""What fixtures of other files have started and keep: a container engine, a server, its workers."""


@pytest.fixture(autouse=True, scope="module")
def what_was_there() -> None:
    _BEFORE.update(procs.tree(os.getpid()))


def _processes() -> set[int]:
    """Below this one, and boxes of it that have lost their parent. Tests of others may run beside."""
    titled = {pid for pid, line in _command_lines() if line.startswith(_title().encode())}
    return {*procs.tree(os.getpid()), *titled} - {os.getpid()} - _BEFORE


def _zombies(uid: int | None) -> set[str]:
    """What no one waited for, and was left to the machine's init."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if state == "Z" and parent == "1" and path.stat().st_uid == uid:
                found.add(path.parent.name)
    return found


def _title() -> str:
    return procs.new_title().rpartition("/")[0] + "/"


def _command_lines() -> list[tuple[int, bytes]]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append((int(path.parent.name), path.read_bytes()))
    return lines


def _cgroups(title: str = "") -> set[Path]:
    ours = (title or _title()).partition("/")[2].replace("/", ":")
    return {Path(folder) for folder, _, _ in os.walk(CGROUPS) if f"holdfast-box:{ours}" in folder}


def _left() -> dict[str, object]:
    time.sleep(0.2)  # a child watcher of asyncio's may still hold a descriptor
    return {
        "processes": len(_processes()),
        "cgroups": _cgroups(),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "files": os.listdir(tempfile.gettempdir()),
    }


WORKER = """
import asyncio
from sandbox import exec_box
from sandbox.exec_bwrap import Command, CommandLimits

async def main():
    place = await exec_box.find()
    print("up", flush=True)
    await place.run(Command("setsid sleep 1000 & sleep 1000", limits=CommandLimits(wall_seconds=1000)))

asyncio.run(main())
"""

STAND_IN = """#!/bin/sh
# Does what systemd-run --scope does: bind itself, then become the command.
while [ "$1" != -- ]; do case "$1" in MemoryMax=*) echo ${1#MemoryMax=} > CGROUP/memory.limit_in_bytes;; esac; shift; done
shift
echo $$ > CGROUP/cgroup.procs
exec "$@"
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A stand-in for a user's systemd, which this machine may not have: a cgroup made before, and a script."""
    where = exec_memory.controller()
    if where is None or where.is_v2:
        pytest.skip("exec profile: the stand-in for systemd needs a writable memory cgroup of version 1")
    cgroup = exec_memory.create(where, 1 << 30)
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        for folder in (Path(top), Path(top, "systemd")):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        Path(top, "systemd", "private").touch()
        script = Path(top, "systemd-run")
        script.write_text(STAND_IN.replace("CGROUP", str(cgroup.path)))
        script.chmod(0o755)
        for name in ("memory.limit_in_bytes", "cgroup.procs"):
            os.chown(cgroup.path / name, exec_box.EXEC_UID, -1)
        monkeypatch.setenv("XDG_RUNTIME_DIR", top)
        (tmp_path / "mounts").write_text("")
        yield str(script), tmp_path / "mounts"
    cgroup.path.rmdir()


async def test_scope_of_systemd_bounds_memory_where_no_cgroup_can_be_made(systemd: tuple[str, Path]):
    script, mounts = systemd
    place = await exec_box.find(mounts=mounts, systemd_run=script)
    assert place.bound == "systemd scope"
    assert not _processes()
