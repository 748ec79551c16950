"""Where Temporal's programs come from: those that are there, else the SDK's download, else a build with Go. Once."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from holdfast.config import Settings
from holdfast.errors import NoTemporal
from holdfast.temporal.tied import tied


@dataclass(frozen=True)
class Tool:
    """A Go program of Temporal's, in the version that holdfast is tested with."""

    name: str
    module: str
    version: str
    what: str

    @property
    def source(self) -> str:
        return f"{self.module}@v{self.version}"


DEV_SERVER = Tool("temporal", "github.com/temporalio/cli/cmd/temporal", "1.5.1", "dev server")
VERSION, MODULE = DEV_SERVER.version, DEV_SERVER.source
CLUSTER = (
    Tool("temporal-server", "go.temporal.io/server/cmd/server", "1.29.1", "server"),
    Tool("temporal-sql-tool", "go.temporal.io/server/cmd/tools/sql", "1.29.1", "schema tool"),
)
"""A real server, and what makes its tables in PostgreSQL. There is no download of these for every machine."""

Say = Callable[[str], None]
Source = Callable[[Path, Say], Awaitable[Path]]

_CHECK_SECONDS = 5.0
_TICK_SECONDS = 5.0
_ADVICE = (
    "Install the Temporal CLI (`temporal` on PATH), or name it in HOLDFAST_TEMPORAL_BIN, or install Go so that it can "
    "be built, or use a server that runs already (TEMPORAL_ADDRESS)"
)


class _Unusable(Exception):
    """Why one source gave no program that runs."""


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def cache_path(tool: Tool = DEV_SERVER) -> Path:
    """Where a downloaded or built program is kept, for all projects of this user."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "holdfast" / "temporal" / f"{tool.name}-{tool.version}"


async def find(
    settings: Settings, say: Say = to_stderr, *, download_seconds: float = 30.0, build_seconds: float = 900.0
) -> Path:
    """The dev server's program. Takes milliseconds when there is one; else up to both limits, with progress by `say`.

    Only one process of a user downloads or builds at a time; the others wait and take what it made.

    Raises:
        NoTemporal: none was found or made; lists all that was tried and why each failed.
    """
    if settings.temporal_bin:
        return await _configured(settings.temporal_bin)

    async def download(target: Path, say: Say) -> Path:
        return await _made(target, say, download_seconds, _download)

    async def build(target: Path, say: Say) -> Path:
        return await _made(target, say, build_seconds, partial(_build, DEV_SERVER))

    sources: dict[str, Source] = {
        "PATH": _on_path,
        "cache": _cached,
        "download by the Temporal SDK": download,
        f"go install {MODULE}": build,
    }
    return await _first(sources, cache_path(), say)


async def cluster(say: Say = to_stderr, *, build_seconds: float = 900.0) -> tuple[Path, Path]:
    """Server and schema tool of a real cluster, from the cache or built with Go, once: about 3 minutes.

    Raises:
        NoTemporal: there is no Go, or a build failed.
    """
    server, schema = [await _built(tool, say, build_seconds) for tool in CLUSTER]
    return server, schema


async def _built(tool: Tool, say: Say, limit_s: float) -> Path:
    try:
        return await _made(cache_path(tool), say, limit_s, partial(_build, tool))
    except _Unusable as exc:
        raise NoTemporal(f"no {tool.name} {tool.version}: go install {tool.source}: {exc}") from None


async def _first(sources: dict[str, Source], target: Path, say: Say) -> Path:
    tried = []
    for name, source in sources.items():
        try:
            return await source(target, say)
        except _Unusable as exc:
            tried.append(f"- {name}: {exc}")
    raise NoTemporal("\n".join(["no Temporal dev server found. Tried, in this order:", *tried, _ADVICE]))


async def _configured(path: str) -> Path:
    """A program that was named is used or refused; silently taking another would surprise."""
    try:
        return await _checked(Path(path).expanduser().absolute())
    except _Unusable as exc:
        raise NoTemporal(f"HOLDFAST_TEMPORAL_BIN (temporal_bin): {exc}. {_ADVICE}") from None


async def _on_path(_target: Path, _say: Say) -> Path:
    found = shutil.which("temporal")
    if not found:
        raise _Unusable("no `temporal` there")
    return await _checked(Path(found).absolute())


async def _cached(target: Path, _say: Say) -> Path:
    if not target.exists():
        raise _Unusable(f"no {target}")
    return await _checked(target)


async def _checked(path: Path) -> Path:
    said = await _run([str(path), "--version"], _CHECK_SECONDS)
    if "temporal" not in said.lower():
        raise _Unusable(f"{path}: `--version` says {said[:80]!r}, which is not the Temporal CLI")
    return path


Maker = Callable[[Path, Say, float], Awaitable[Path]]


async def _made(target: Path, say: Say, limit_s: float, make: Maker) -> Path:
    """What `make` leaves in a fresh folder, checked, then moved into the cache in one step."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        async with _alone(target.parent, say):
            with contextlib.suppress(_Unusable):
                return await _cached(target, say)
            _sweep(target.parent)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as folder:
                new = await _checked(await make(Path(folder), say, limit_s))
                new.replace(target)
                return target
    except OSError as exc:
        raise _Unusable(f"{target.parent}: {exc.strerror}") from exc


def _sweep(folder: Path) -> None:
    """Remove what a killed process left half made. We hold the lock, so nobody is at it."""
    for left in folder.glob(".new-*"):
        shutil.rmtree(left, ignore_errors=True)


async def _download(folder: Path, say: Say, limit_s: float) -> Path:
    say(f"No Temporal dev server here; trying to download version {VERSION} (at most {limit_s:.0f} s)")
    await _run(tied([sys.executable, "-m", "holdfast.temporal.download", str(folder), VERSION]), limit_s)
    files = [path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK)]
    if len(files) != 1:
        raise _Unusable(f"the download left {len(files)} programs, not one")
    return files[0]


async def _build(tool: Tool, folder: Path, say: Say, limit_s: float) -> Path:
    go = shutil.which("go")
    if not go:
        raise _Unusable("no `go` on PATH")
    say(f"Building the Temporal {tool.what} {tool.version} with Go: about 3 minutes, once")
    began = time.monotonic()

    def tick() -> None:
        say(f"  still building: {time.monotonic() - began:.0f} s (about 3 minutes, once)")

    await _run(tied([go, "install", tool.source]), limit_s, {**os.environ, "GOBIN": str(folder)}, tick)
    say(f"  built in {time.monotonic() - began:.0f} s")
    return folder / tool.module.rpartition("/")[2]


@contextlib.asynccontextmanager
async def _alone(folder: Path, say: Say) -> AsyncIterator[None]:
    with (folder / ".lock").open("w") as lock:
        if not _locked(lock):
            say("Another process fetches or builds a program of Temporal; waiting for it")
        while not _locked(lock):  # noqa: ASYNC110 (another process holds it: there is no event to wait for)
            await asyncio.sleep(0.2)
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _run(
    argv: list[str], limit_s: float, env: dict[str, str] | None = None, tick: Callable[[], None] = lambda: None
) -> str:
    """What a command prints when it ends well and in time. Whatever happens, its process group is gone afterwards."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env=env,
        )
    except OSError as exc:
        raise _Unusable(f"{argv[0]}: {exc.strerror}") from None
    try:
        output = await _communicated(process, limit_s, tick)
    except TimeoutError:
        raise _Unusable(f"no end within {limit_s:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode != 0:
        raise _Unusable(
            f"`{' '.join(argv[-3:])}` ended with {process.returncode}: {output.strip()[-300:] or 'no output'}"
        )
    return output.strip()


async def _communicated(process: asyncio.subprocess.Process, limit_s: float, tick: Callable[[], None]) -> str:
    ending = asyncio.ensure_future(process.communicate())
    try:
        async with asyncio.timeout(limit_s):
            while not (await asyncio.wait([ending], timeout=_TICK_SECONDS))[0]:
                tick()
        return (await ending)[0].decode(errors="replace")
    finally:
        ending.cancel()
