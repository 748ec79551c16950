"""docker-compose.yml as Docker Compose itself reads it. No engine is needed for that, and nothing is started."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from holdfast.temporal.binary import cache_path
from tests.support.stack import ROOT

VERSION = "5.0.2"
SOURCE = f"github.com/docker/compose/v5/cmd@v{VERSION}"
KEY = {"API_KEY": "k"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """Docker Compose: the plugin that is here, else the one in our cache, else one built with Go, once: a minute."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    program = cache_path().with_name(f"docker-compose-{VERSION}")
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent, prefix=".compose-") as folder:
            subprocess.run(["go", "install", SOURCE], env={**os.environ, "GOBIN": folder}, check=True)
            (Path(folder) / "cmd").replace(program)
    return [str(program)]


def read(compose: list[str], *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """`compose WORDS` on a copy of the tree's files, so that no `.env` of the tree is seen."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "docker-compose.yml", folder)
        shutil.copytree(ROOT / "deploy", Path(folder) / "deploy")
        env = {"PATH": os.environ["PATH"], "HOME": folder, **variables}
        return subprocess.run([*compose, *words], cwd=folder, env=env, capture_output=True, text=True)


def services(compose: list[str], **variables: str) -> dict[str, dict[str, Any]]:
    done = read(compose, "config", "--format", "json", **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return found


def test_compose_takes_the_file_and_says_nothing(compose: list[str]) -> None:
    done = read(compose, "config", "--quiet", **KEY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_refuses_to_start_an_api_without_a_key(compose: list[str]) -> None:
    done = read(compose, "config")
    assert done.returncode != 0 and "set API_KEY in .env to a long random text" in done.stderr


def test_workers_inherit_what_all_have_and_only_sandboxes_have_the_profile(compose: list[str]) -> None:
    found = services(compose, **KEY)
    workers = {name: one for name, one in found.items() if (one.get("command") or [""])[0] == "worker"}
    assert len(workers) == 5
    for name, one in workers.items():
        assert one["environment"]["DATABASE_URL"].startswith("postgresql://"), name
        assert one["depends_on"]["temporal"]["condition"] == "service_healthy", name
        assert any("seccomp" in rule for rule in one["security_opt"]) == (
            name in ("worker-sandbox", "autonomous-agent-pool")
        )
    assert workers["autonomous-agent-pool"]["deploy"]["replicas"] == 0


def test_several_apis_have_a_range_of_ports_on_this_machine(compose: list[str]) -> None:
    [port] = services(compose, **KEY, HOLDFAST_PORT="8000-8003")["api"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8000-8003", 8000)
