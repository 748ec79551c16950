"""The image that boxes of the adapter `docker` are made of: built from `image/Dockerfile`, or of this machine's Python.

The second needs no registry and no network: it holds what bubblewrap binds into a box of the adapter `local`.
"""

import asyncio
import contextlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from holdfast.errors import HoldfastError, shown
from sandbox import interpreter
from sandbox.docker_engine import Engine, EngineRefused
from sandbox.interpreter import Interpreter

_FOLDER = Path(__file__).with_name("image")
_BUILD_SECONDS = 900.0
_CHUNK = 1 << 20
_UNUSED = frozenset({"test", "tests", "idlelib", "turtledemo", "ensurepip", "lib2to3"})
"""Folders of a standard library that no program needs, and that are a third of it."""

_EXPECTED = ("libstdc++.so.6", "libgcc_s.so.1", "librt.so.1", "libpthread.so.0", "libdl.so.2", "libutil.so.1")


class ImageFailed(HoldfastError):
    """The image could not be made; holds the engine's last words."""

    code = "IMAGE_FAILED"


async def build(engine: Engine, image: str) -> None:
    """From the Dockerfile. Pulls its base image.

    Raises:
        ImageFailed: says why, and what to do where there is no registry.
        NoIsolation: no engine answers.
    """
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.add(_FOLDER / "Dockerfile", "Dockerfile")
        async with _replacing(engine, image):
            await _send(engine, "/build", file, t=image, rm="1")


async def build_from_system(engine: Engine, image: str, python: str | None) -> None:
    """From an interpreter of this machine (`python`, or the first that will do) and its shared objects.

    Raises:
        ImageFailed: the engine did not take it.
        NoIsolation: no engine answers, or no Python will do.
    """
    found = await interpreter.find(python, None)
    repository, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "latest")
    with tempfile.TemporaryFile() as file:
        await asyncio.to_thread(_write, file, found)
        async with _replacing(engine, image):
            await _send(engine, "/images/create", file, fromSrc="-", repo=repository, tag=tag)


@contextlib.asynccontextmanager
async def _replacing(engine: Engine, image: str) -> AsyncIterator[None]:
    """Forget the image that had the name before; one that is still in use stays."""
    before = await _id(engine, image)
    yield
    if before and before != await _id(engine, image):
        with contextlib.suppress(EngineRefused):
            await engine.call("DELETE", f"/images/{before}")


async def _id(engine: Engine, image: str) -> str:
    try:
        return str((await engine.call("GET", f"/images/{image}/json"))["Id"])
    except EngineRefused:
        return ""


async def _send(engine: Engine, path: str, file: IO[bytes], **parameters: str) -> None:
    file.seek(0)
    try:
        said = await engine.upload(path, _chunks(file), _BUILD_SECONDS, **parameters)
    except EngineRefused as exc:
        raise ImageFailed(str(exc)) from exc
    for line in said.splitlines():
        if line.strip() and (error := json.loads(line).get("error")):
            hint = "Where no registry can be reached: holdfast sandbox build --from-system"
            raise ImageFailed(f"docker could not make the image: {shown(error)}. {hint}")


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _write(file: IO[bytes], python: Interpreter) -> None:
    with tarfile.open(fileobj=file, mode="w") as tar:
        written: set[str] = set()
        for here, there in [*python.binds, *_beside_libc(python), ("/usr/share/zoneinfo", "/usr/share/zoneinfo")]:
            for path, name in _files(here, there, python.hidden):
                if name not in written:
                    written.add(name)
                    _add(tar, path, name)
        _link(tar, "usr/local/bin/python3", python.path)
        _folder(tar, "ws")


def _beside_libc(python: Interpreter) -> list[tuple[str, str]]:
    """What wheels expect of any Linux, and Python itself may not need."""
    folders = {Path(there).parent for _, there in python.binds if Path(there).name.startswith("libc.so")}
    return [(str(folder / name), str(folder / name)) for folder in folders for name in _EXPECTED]


def _files(here: str, there: str, hidden: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    if not Path(here).is_dir():
        if Path(here).is_file():
            yield Path(here), there
        return
    for folder, folders, files in os.walk(here):
        folders[:] = [each for each in folders if _is_used(each) and f"{folder}/{each}" not in hidden]
        inside = Path(there) / Path(folder).relative_to(here)
        yield from ((Path(folder) / name, str(inside / name)) for name in files if (Path(folder) / name).is_file())


def _is_used(folder: str) -> bool:
    """`config-*` holds what only building an extension needs."""
    return folder not in _UNUSED and not folder.startswith("config-")


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """With the content that a link leads to, and as root's: what it was here does not matter there."""
    with path.open("rb") as content:
        found = tar.gettarinfo(arcname=name.lstrip("/"), fileobj=content)
        found.type, found.uid, found.gid, found.uname, found.gname = tarfile.REGTYPE, 0, 0, "", ""
        found.size, found.linkname = os.fstat(content.fileno()).st_size, ""
        found.mode = 0o755 if found.mode & 0o100 else 0o644
        tar.addfile(found, content)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    tar.addfile(link)


def _folder(tar: tarfile.TarFile, name: str) -> None:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(folder, io.BytesIO())
