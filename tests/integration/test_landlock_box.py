"""What is the adapter landlock's alone; what all adapters do is in test_sandbox_conformance.py."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from holdfast.config import Settings
from holdfast.errors import NoIsolation
from sandbox import base, landlock_folder, probe, procs
from sandbox.base import BoxLimits, BoxSpec
from tests.support.boxes import GUEST, opened
from tests.support.conformance import ROOT, boxes_of_landlock, landlock
from tests.support.containment import CONCEDED

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


@pytest.fixture
def no_namespaces(monkeypatch, tmp_path):
    """A machine where bubblewrap may make no namespace."""
    bwrap = tmp_path / "bwrap"
    answers = "case $1 in --help) echo --size --perms;; --version) echo bubblewrap 0.8.0;;"
    bwrap.write_text(
        f"#!/bin/sh\n{answers} *) echo 'bwrap: No permissions to create new namespace' >&2; exit 1;; esac\n"
    )
    bwrap.chmod(0o755)
    opened(tmp_path)
    # What an earlier test of this process found out was on a machine with namespaces.
    monkeypatch.setattr(probe, "_passed", {})
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


async def test_landlock_stands_in_where_namespaces_are_blocked_and_says_so(no_namespaces, tmp_path, capsys):
    chosen = await base.choose(Settings(project=tmp_path, home=tmp_path))
    assert (chosen.name, chosen.stands_in_for) == ("landlock", "local")
    assert chosen.isolation.startswith("in place of 'local', weaker: Landlock")
    assert "sandbox.downgraded" in capsys.readouterr().out


async def test_nothing_stands_in_if_that_is_forbidden(no_namespaces, tmp_path):
    with pytest.raises(NoIsolation, match=r"'local' cannot isolate .*so none are run.*user namespaces"):
        await base.choose(Settings(project=tmp_path, home=tmp_path, sandbox_fallback=False))


async def test_landlock_chosen_by_name_stands_in_for_nobody(tmp_path):
    chosen = await base.choose(Settings(project=tmp_path, home=tmp_path, sandbox_type="landlock"))
    assert (chosen.name, chosen.stands_in_for) == ("landlock", "")
    assert "see a host file" not in (await chosen.probe()).capabilities


@as_root
async def test_each_box_of_root_has_a_user_of_its_own():
    place = landlock()
    async with place.started() as (one, _), place.started() as (two, _):
        users = {Path(f"/proc/{box.pid}").stat().st_uid for box in (one, two)}
        assert len(users) == 2
        assert not users & {0, 61001}


async def test_mapped_files_without_a_name_end_the_box():
    source = """
        import mmap, os, time
        kept = []
        for n in range(200):
            with open("x", "w+b") as file:
                file.write(b"x" * (1 << 20))
                file.flush()
                kept.append(mmap.mmap(file.fileno(), 4096))
            os.unlink("x")
            time.sleep(0.02)  # else a fast disk comes to the bound on open files first
        time.sleep(60)
    """
    assert await landlock().outcome(source, BoxLimits(disk_bytes=4 << 20)) == ("ended", "disk")


async def test_files_without_a_name_are_found_when_the_first_thread_has_ended_alone():
    source = """
        import ctypes, os, threading
        def fill():
            for _ in range(50):
                file = os.open("x", os.O_CREAT | os.O_WRONLY)
                os.unlink("x")
                os.write(file, b"x" * (1 << 20))
            threading.Event().wait(60)
        threading.Thread(target=fill).start()
        ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
    """
    assert await landlock().outcome(source, BoxLimits(disk_bytes=4 << 20)) == ("ended", "disk")


async def test_the_folder_of_a_dead_worker_is_cleared_away():
    folder = landlock_folder.claim(b"", None)
    title = procs.new_title().split("/")
    title[3] = "1"  # as if by an earlier process of our number
    (folder.path / "owner").write_text("/".join(title))
    deep = folder.workspace
    for _ in range(60):
        deep = deep / ("d" * 50)
        deep.mkdir()
    (deep / "file").write_text("x")
    landlock_folder.reap()
    assert not folder.path.exists()


WORKER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from tests.support.conformance import landlock

async def main():
    async with landlock().running("import time\\nsend({'t': 'up'})\\ntime.sleep(60)") as (box, channel):
        await channel.receive()
        print(box.pid, box.folder.path, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_worker_leaves_no_process_and_the_next_one_no_folder():
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(ROOT), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert worker.stdout is not None
    async with asyncio.timeout(20):
        pid, folder = (await worker.stdout.readline()).decode().split()
    worker.kill()
    assert await worker.wait() == -signal.SIGKILL
    worker._transport.close()  # type: ignore[attr-defined]
    async with asyncio.timeout(3):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)
    assert Path(folder).exists()
    landlock_folder.reap()
    assert not Path(folder).exists()


def test_the_page_concedes_to_landlock_what_is_asserted():
    page = (ROOT / "docs/security.md").read_text()
    rows = [line for line in page.splitlines() if line.count("|") == 5 and "**can**" in line.split("|")[-2]]
    assert len(rows) == len(CONCEDED)
    assert set(CONCEDED.values()) == {"landlock"}


async def test_a_box_that_did_not_start_leaves_no_folder():
    with pytest.raises(base.BoxLost):
        await landlock().adapter.start(BoxSpec(name="x", guest=GUEST.with_name("gone.py")))
    assert await boxes_of_landlock() == []
