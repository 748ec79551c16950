"""Packages for programs: a folder of them, built once by uv for the interpreter of the box, which sees it read-only.

Only wheels are installed: building a package from its source would run its code outside of any box.
"""

import asyncio
import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import structlog

from holdfast.errors import SettingsInvalid
from sandbox.interpreter import Interpreter, closed_at, shared_objects

IN_BOX = "/packages"
"""Beside the guest, which looks for them there."""

LISTED = "holdfast-packages.json"
"""A file in the folder: what is installed, `name version`. The guest tells it a program that misses something."""

_OPEN_TO_ALL = Path("/var/lib/holdfast/packages")
_SECONDS = 600
_OPTIONS = ("pip", "install", "--only-binary", ":all:", "--compile-bytecode", "--no-progress", "--color", "never")

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Packages:
    """`binds` are pairs (path here, path in the box): the folder, and what is in it needs of the system."""

    folder: Path
    installed: tuple[str, ...]
    binds: tuple[tuple[str, str], ...]


async def ready(wanted: Sequence[str], python: Interpreter, home: Path, uid: int | None) -> Packages | None:
    """The packages, built now if no earlier worker did; None if none are wanted. `uid`: as for `interpreter.find`.

    Raises:
        SettingsInvalid: they cannot be installed; names them, and says what uv said.
    """
    if not wanted:
        return None
    folder = await built(wanted, python, home, uid)
    installed = tuple(json.loads((folder / LISTED).read_text("utf-8")))
    libraries = await asyncio.to_thread(shared_objects, sorted(map(str, folder.rglob("*.so*"))), uid)
    more = [pair for pair in libraries if pair not in python.binds and not Path(pair[0]).is_relative_to(folder)]
    return Packages(folder, installed, ((str(folder), IN_BOX), *more))


async def built(wanted: Sequence[str], python: Interpreter, home: Path, uid: int | None) -> Path:
    """The folder of the packages alone. `python.path` runs here, and may be of another version than the box's.

    Raises:
        SettingsInvalid: as `ready`.
    """
    name = hashlib.sha256(json.dumps([sorted(wanted), python.path, python.version]).encode()).hexdigest()[:16]
    folder = await asyncio.to_thread(_place, home / "packages", name, uid)
    if not (folder / LISTED).is_file():
        await _build(wanted, python, folder)
    return folder


def _place(root: Path, name: str, uid: int | None) -> Path:
    """Where they lie: in the data folder; in /var, where boxes of a worker that is root may not enter that."""
    roots = [root] if uid is None else [root, _OPEN_TO_ALL]
    for each in roots:
        with contextlib.suppress(OSError):
            each.mkdir(parents=True, exist_ok=True)
            if not closed_at(each / name, uid):
                return each / name
    raise SettingsInvalid(
        f"sandbox_packages: {closed_at(root / name, uid) or f'{root} cannot be made'}; "
        "set HOLDFAST_HOME to a folder that boxes can reach"
    )


async def _build(wanted: Sequence[str], python: Interpreter, folder: Path) -> None:
    began = asyncio.get_running_loop().time()
    log.info("packages.building", packages=list(wanted), python=python.version, folder=str(folder))
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        await _install(wanted, python, building)
        installed = _listed(building)
        (building / LISTED).write_text(json.dumps(installed), "utf-8")
        # mkdtemp makes it private; the box's user must see it.
        building.chmod(0o755)
        # Another worker may have been quicker: its folder is as good.
        with contextlib.suppress(FileExistsError, OSError):
            building.rename(folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)
    seconds = round(asyncio.get_running_loop().time() - began, 1)
    log.info("packages.built", packages=installed, seconds=seconds)


async def _install(wanted: Sequence[str], python: Interpreter, folder: Path) -> None:
    which = ["--python", python.path, "--python-version", python.version]
    command = [_uv(), *_OPTIONS, *which, "--target", str(folder), *wanted]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=pipe, umask=0o022
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(_SECONDS):
            async for line in process.stderr:
                said.append(line.decode("utf-8", "replace").strip())
                log.info("packages.progress", says=said[-1])
            code = await process.wait()
    except TimeoutError:
        code = None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code != 0:
        raise SettingsInvalid(_refusal(wanted, python, code, said))


def _refusal(wanted: Sequence[str], python: Interpreter, code: int | None, said: list[str]) -> str:
    how = f"did not end within {_SECONDS} s" if code is None else f"ended with {code}"
    told = " / ".join(line for line in said if line and not line.startswith("Using "))[-1500:].rstrip(".")
    return (
        f"sandbox_packages {list(wanted)}: uv could not install them for Python {python.version} of the sandbox; "
        f"it {how} and said: {told}. Correct the list (packages with a wheel for this Python only), or the index"
    )


def _listed(folder: Path) -> list[str]:
    found = {f"{each.metadata['Name']} {each.version}" for each in distributions(path=[str(folder)])}
    return sorted(found, key=str.lower)


def _uv() -> str:
    """
    Raises:
        SettingsInvalid: it is not installed.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise SettingsInvalid(
            "sandbox_packages: uv installs them, and is not here. Install holdfast's extra `packages`, or uv itself"
        )
    return found
