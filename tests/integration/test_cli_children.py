"""Processes that the CLI starts and looks at: what it finds, when it starts them again, what it says of them."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.children import FIRST_PAUSE_S, Child, ChildFailed
from cli.flags import Flags, environment
from cli.processes import boxes, descendants
from cli.stack import PortTaken, refuse_taken
from holdfast.config import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Flags().settings()


def child(settings: Settings, *command: str) -> Child:
    return Child("worker", list(command), environment(settings), settings.project, settings.home / "logs" / "w.log")


def test_a_child_that_does_not_start_shows_the_end_of_its_log(settings):
    failing = child(settings, "worker", "--queues", "nowhere")
    failing.start()
    assert failing.process is not None
    assert failing.process.wait(30) == 2
    with pytest.raises(ChildFailed, match=r"worker ended with exit code 2(.|\n)*no queue nowhere; known: agents"):
        failing.refuse_ended()


async def test_a_usage_error_is_not_started_again(settings):
    failing = child(settings, "worker", "--queues", "nowhere")
    failing.start()
    assert failing.process is not None
    failing.process.wait(30)
    with pytest.raises(ChildFailed):
        await failing.again()


async def test_a_killed_child_is_started_again_with_a_growing_pause(settings, monkeypatch):
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    killed = child(settings, "worker")
    killed.start()
    assert killed.process is not None
    killed.process.kill()
    killed.process.wait(30)
    first = killed.pid
    await killed.again()
    assert killed.pid != first
    assert killed.pause_s == 2 * FIRST_PAUSE_S
    assert killed.process.wait(30) == 3


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(settings):
    stubborn = child(settings, "schema")
    code = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    stubborn.process = process
    await stubborn.stop(grace_s=0.1)
    process.stdout.close()
    assert stubborn.ended() == -9


def test_a_child_ends_when_the_process_that_started_it_is_gone(settings):
    """`--parent` names a process that is not its parent (any more)."""
    words = [sys.executable, "-m", "cli.main", "worker", "--parent", "1"]
    env = environment(settings) | {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
    assert subprocess.run(words, env=env, capture_output=True, timeout=60).returncode == 0


def test_settings_reach_a_child_whole(settings, monkeypatch):
    changed = settings.model_copy(update={"port": 4711, "home": settings.home / "ü b", "open_door": True})
    for name, value in environment(changed).items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == changed


def test_the_url_follows_host_and_port(settings, monkeypatch):
    monkeypatch.setenv("HOLDFAST_PORT", "4711")
    assert Flags().settings().url == "http://127.0.0.1:4711"
    assert Flags(url="http://elsewhere:1").settings().url == "http://elsewhere:1"


def test_a_taken_port_is_named_with_its_variable():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} on 127.0.0.1(.|\n)*set HOLDFAST_PORT"):
            refuse_taken("127.0.0.1", port, "HOLDFAST_PORT")


@pytest.fixture
def tree(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process called bwrap below a process called bwrap, below a shell."""
    box = tmp_path / "bwrap"
    shutil.copy(shutil.which("bash") or "/bin/bash", box)
    script = f"'{box}' -c \"'{box}' -c 'echo up; read x'; true\"; true"
    process = subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def test_the_outermost_process_of_a_box_is_found(tree):
    names = [process.name for process in descendants(tree.pid)]
    assert names == ["bwrap", "bwrap"]
    assert boxes(tree.pid) == [descendants(tree.pid)[0].pid]


def test_boxes_of_others_are_not_ours(tree):
    assert boxes(descendants(tree.pid)[1].pid) == []
