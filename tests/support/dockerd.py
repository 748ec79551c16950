"""A docker engine for tests: the one that answers here, or a private one, and the image of this machine's Python."""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.config import Settings
from holdfast.errors import NoIsolation
from sandbox.docker_engine import Engine
from sandbox.docker_image import build_from_system
from sandbox.docker_leftovers import reap

WITHOUT = "HOLDFAST_TEST_WITHOUT"
"""Names, separated by commas, of what this machine is known not to have. What is not named and is missing, fails."""

IMAGE = "holdfast-sandbox-test:1"
"""Not the default: whoever runs the tests may have that one, made of something else."""

_PROGRAMS = ("dockerd", "containerd", "runc")
_START_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


def is_absent(name: str) -> bool:
    return name in os.environ.get(WITHOUT, "").split(",")


def settings(host: str, **more: object) -> Settings:
    given = {"project": Path("/"), "home": Path("/"), "docker_host": host, "sandbox_docker_image": IMAGE, **more}
    return Settings.model_validate(given)


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """DOCKER_HOST of an engine that has the image. An engine of ours ends with the tests, also if they are killed."""
    if is_absent("docker"):
        pytest.skip(f"{WITHOUT} says that there is no docker")
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if answers(host):
        prepare(host)
        yield host
        return
    with tempfile.TemporaryDirectory(prefix="hf-docker-", ignore_cleanup_errors=True) as folder:
        engine = _begun(Path(folder))
        try:
            host = f"unix://{folder}/docker.sock"
            _await(engine, host, Path(folder, "log"))
            prepare(host)
            yield host
        finally:
            engine.terminate()
            engine.wait(60)


def answers(host: str) -> bool:
    try:
        asyncio.run(Engine(host).version())
    except NoIsolation:
        return False
    return True


def prepare(host: str) -> None:
    """No leftovers, and the image, made anew: it is cheap, and an old one may be of another layout."""
    asyncio.run(reap(Engine(host)))
    asyncio.run(build_from_system(Engine(host), IMAGE, None))


def _begun(folder: Path) -> subprocess.Popen[bytes]:
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        why = f"{', '.join(missing)} not installed (apt-get install docker.io runc)" if missing else "we are not root"
        pytest.fail(f"no docker engine answers, and none can be started: {why}. Without docker: {WITHOUT}=docker")
    line = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    line += ["-H", f"unix://{folder}/docker.sock", "--iptables=false", "--bridge=none", "--ip-forward=false"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(line, stdout=log, stderr=log, preexec_fn=_end_with_us)  # noqa: PLW1509


def _end_with_us() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    sys.stdin.close()


def _await(engine: subprocess.Popen[bytes], host: str, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and engine.poll() is None:
        if answers(host):
            return
        time.sleep(0.05)
    pytest.fail(f"dockerd did not start: {log.read_text('utf-8', 'replace')[-3000:]}")
