"""Where a bench runs: a scratch folder, the stub model, and the Temporal dev server that holdfast ships, for all."""

import fcntl
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from temporalio.client import Client

from bench.processes import Process
from bench.stub import Asked
from holdfast.config import Settings
from holdfast.ports import free_port
from holdfast.temporal import devserver

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".holdfast" / "bench"


@dataclass(frozen=True)
class Site:
    """`scratch` is emptied at the start. One server, with the flags that holdfast ships, serves every engine."""

    scratch: Path
    model: str
    temporal: str
    server_pid: int
    client: Client
    http: httpx2.AsyncClient

    def environment(self, **more: str) -> dict[str, str]:
        """What every worker is told. Keys of model providers of this machine are not."""
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        told = {"BENCH_DIR": str(self.scratch), "BENCH_MODEL": f"{self.model}/v1", "BENCH_TEMPORAL": self.temporal}
        return {**kept, **told, "PYTHONWARNINGS": "ignore", **more}

    async def asked(self, run: str) -> Asked:
        """What a run asked of the model so far."""
        reply = await self.http.get(f"{self.model}/stats", params={"run": run})
        return Asked(**reply.json())


@asynccontextmanager
async def opened(scratch: Path = DATA / "scratch") -> AsyncIterator[Site]:
    """All that engines stand on; stopped at the end.

    Raises:
        Busy: another bench uses the folder.
    """
    with _alone(scratch):
        async with _opened(scratch) as site:
            yield site


class Busy(Exception):
    """Two benches at once would measure each other, and have one scratch folder."""


@contextmanager
def _alone(scratch: Path) -> Iterator[None]:
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with scratch.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another bench runs in {scratch}; wait for its end") from None
        yield


@asynccontextmanager
async def _opened(scratch: Path) -> AsyncIterator[Site]:
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "tools").mkdir(parents=True)
    # Workers of other engines run in their own environments, and must find this folder and nothing else of ours.
    (scratch / "path").mkdir()
    (scratch / "path" / "bench").symlink_to(ROOT / "bench")
    port = free_port()
    command = [sys.executable, "-m", "bench.stub", str(port)]
    stub = Process("stub", command, scratch / "path", dict(os.environ), scratch / "stub.log", b"ready")
    home = scratch / "temporal"
    settings = Settings(project=scratch, home=home, temporal_address=f"127.0.0.1:{free_port()}")
    await stub.start()
    try:
        server = await devserver.start(settings, headless=True)
        try:
            client = await Client.connect(server.address)
            async with httpx2.AsyncClient(timeout=600) as http:
                yield Site(scratch, f"http://127.0.0.1:{port}", server.address, server.pid, client, http)
        finally:
            await server.stop()
    finally:
        await stub.stop()
