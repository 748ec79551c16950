"""Runs `conformance_checks` over one adapter: in this process, or as another user in one of its own.

A new adapter adds a line to `PLACES`, and a function that makes its place. Standard library, `sandbox/` and the
checks only, as far as another user runs it: `python -m tests.support.conformance local`.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import structlog

from tests.support.conformance_checks import CHECKS, Place

ROOT = Path(__file__).parents[2]
NOBODY = 65534
OURS = ("__init__", "conformance", "conformance_checks", "containment", "box_guest")

SETTINGS = cast(Any, SimpleNamespace(sandbox_python_path=None, sandbox_packages=(), home=Path("/")))
"""What adapters read of the settings, without pydantic."""

Report = dict[str, str]
"""Check -> why it failed; empty if it passed."""


def local(_: Any = None) -> Place:
    from sandbox.local import LocalAdapter

    return Place(LocalAdapter(SETTINGS), boxes_of_local)


def landlock(_: Any = None) -> Place:
    from sandbox.landlock import LandlockAdapter

    return Place(LandlockAdapter(SETTINGS), boxes_of_landlock)


def docker(request: Any) -> Place:
    from sandbox.docker import DockerAdapter
    from sandbox.docker_engine import Engine
    from sandbox.docker_spec import LABEL_WORKER
    from tests.support.dockerd import settings

    host = request.getfixturevalue("docker_host")

    async def left() -> list[str]:
        found = await Engine(host).call("GET", "/containers/json", all="1")
        return [str(each["Names"]) for each in found if LABEL_WORKER in each["Labels"]]

    return Place(DockerAdapter(settings(host)), left)


PLACES: dict[str, Callable[[Any], Place]] = {"local": local, "landlock": landlock, "docker": docker}
"""Name -> how to make it, given pytest's request."""
ALSO_UNPRIVILEGED = ("local", "landlock")


async def boxes_of_local() -> list[str]:
    mine = f"/{os.getpid()}/"
    return [title for title in titles() if title.startswith("holdfast-box/") and mine in title]


async def boxes_of_landlock() -> list[str]:
    folder = Path(tempfile.gettempdir()) / f"holdfast-boxes-{os.geteuid()}"
    mine = f"/{os.getpid()}/"
    owners = {path: path / "owner" for path in folder.iterdir()} if folder.exists() else {}
    return [str(path) for path, owner in owners.items() if owner.exists() and mine in owner.read_text("utf-8")]


def titles() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes().split(b"\0")[0]
            except OSError:
                continue
            found.append(title.decode("utf-8", "replace"))
    return found


async def conformance(place: Place) -> Report:
    report = {}
    for name, check in CHECKS.items():
        try:
            await check(place)
            report[name] = await left_behind(place)
        except Exception:  # noqa: BLE001  (the edge: what failed is the report)
            report[name] = traceback.format_exc()
    return report


async def left_behind(place: Place) -> str:
    left = await place.left()
    return f"left behind: {left}" if left else ""


def as_nobody(adapter: str, python: str, module: str = __name__) -> Report:
    """The checks as an unprivileged user, of a copy that anybody can read: this working copy may lie in a closed folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        copy(folder)
        line = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", python, "-m", module, adapter]
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return cast(Report, json.loads(done.stdout))


def copy(folder: Path) -> None:
    for path in (*(ROOT / name for name in ("sandbox", "holdfast")), Path(structlog.__file__).parent):
        shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests/support").mkdir(parents=True)
    for name in ("tests/__init__.py", *(f"tests/support/{name}.py" for name in OURS)):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "tests/support/hostile", folder / "tests/support/hostile")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(conformance(PLACES[sys.argv[1]](None)))))
