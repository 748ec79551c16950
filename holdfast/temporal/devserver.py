"""A Temporal server for one machine: one process, its history in one file that outlives it."""

import asyncio
import contextlib
import fcntl
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from holdfast.config import Settings
from holdfast.errors import NoTemporal
from holdfast.temporal import attributes, binary
from holdfast.temporal.tied import tied

START_SECONDS = 20.0
TRIES = 3
RETENTION_SECONDS = 30 * 86400

DYNAMIC_CONFIG = {
    # The default of 20 polls a second makes each hop wait 50 ms: a call 100 -> 21-27 ms (measured).
    "history.transferProcessorMaxPollRPS": "2000",
    # One partition: no forwarding between four of them; batches 30 -> 110 calls a second (measured).
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # Work that waits is taken by priority, then tenant by tenant, instead of first come, first served.
    "matching.enableFairness": "true",
}


@dataclass(frozen=True)
class DevServer:
    """A running dev server. It dies with the thread that started it (on Linux), and is stopped by `stop` or `kill`."""

    address: str
    ui_url: str | None
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        return self.process.pid

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """SIGTERM, and SIGKILL after the grace. Its history is on disk either way."""
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would. What was acknowledged is kept."""
        self.process.kill()
        self.process.wait()


async def start(settings: Settings, *, headless: bool = False, say: binary.Say = binary.to_stderr) -> DevServer:
    """Find (or build) the dev server and start it at `settings.temporal_address`; returns when it is healthy.

    Raises:
        NoTemporal: no program, a port or the database file in use, or not healthy within 20 s (shows its log's end).
    """
    program = await binary.find(settings, say)
    for _ in range(TRIES - 1):
        try:
            return await _started(settings, program, headless)
        except _PortLost:
            continue
    return await _started(settings, program, headless)


class _PortLost(NoTemporal):
    """The server picks one more port of its own, and another process was faster."""


async def _started(settings: Settings, program: Path, headless: bool) -> DevServer:
    host, port = _local(settings.temporal_address)
    with await _owned(settings.home) as lock:
        _refuse_taken(host, port, "TEMPORAL_ADDRESS")
        if not headless:
            _refuse_taken(host, settings.temporal_ui_port, "HOLDFAST_TEMPORAL_UI_PORT")
        server = _launch(settings, program, host, port, headless, lock)
    try:
        await _healthy(server, settings.temporal_namespace)
    except BaseException:
        server.kill()
        raise
    return server


def _local(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit():
        raise NoTemporal(
            f"TEMPORAL_ADDRESS is {address!r}: a dev server runs on 127.0.0.1:<port> only. "
            "If that is a server of yours, start it there; holdfast will connect to it"
        )
    return "127.0.0.1", int(port)


async def _owned(home: Path) -> IO[str]:
    """The lock on the database file. The server inherits it, so that it is held for exactly as long as one runs."""
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "temporal.lock").open("a+")
    deadline = time.monotonic() + 3
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A server whose parent was just killed is gone within milliseconds.
            if time.monotonic() > deadline:
                lock.close()
                raise NoTemporal(_in_use(home)) from None
            await asyncio.sleep(0.05)
        else:
            return lock


def _in_use(home: Path) -> str:
    owner = (home / "temporal.lock").read_text().strip() or "unknown"
    return (
        f"{home / 'temporal.db'} is in use by another dev server ({owner}). "
        "Connect to that one, stop it, or take another folder with HOLDFAST_HOME"
    )


def _refuse_taken(host: str, port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise NoTemporal(
                f"port {port} on {host} cannot be used by the Temporal dev server: {exc.strerror}. Most likely another "
                f"`holdfast up` or a Temporal server of yours has it (`ss -ltnp 'sport = :{port}'` names the process). "
                f"Stop that, or set {variable} to a free port"
            ) from None


def _launch(settings: Settings, program: Path, host: str, port: int, headless: bool, lock: IO[str]) -> DevServer:
    log = settings.home / "logs" / "temporal.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = tied([str(program), *_arguments(settings, host, port, headless)])
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    lock.truncate(0)
    lock.write(f"pid {process.pid}, {host}:{port}")
    ui_url = None if headless else f"http://{host}:{settings.temporal_ui_port}"
    return DevServer(f"{host}:{port}", ui_url, log, process)


def _arguments(settings: Settings, host: str, port: int, headless: bool) -> list[str]:
    ui = ["--headless"] if headless else ["--ui-port", str(settings.temporal_ui_port)]
    named = [] if settings.temporal_namespace == "default" else ["--namespace", settings.temporal_namespace]
    files = ["--db-filename", str(settings.home / "temporal.db")]
    config = [part for key, value in DYNAMIC_CONFIG.items() for part in ("--dynamic-config-value", f"{key}={value}")]
    search = [part for key in attributes.ALL for part in ("--search-attribute", f"{key.name}=Keyword")]
    place = ["--ip", host, "--port", str(port), "--log-level", "error"]
    return ["server", "start-dev", *place, *ui, *named, *files, *config, *search]


async def _healthy(server: DevServer, namespace: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(RuntimeError, RPCError, TimeoutError):
            async with asyncio.timeout(deadline - time.monotonic()):
                client = await Client.connect(server.address, namespace=namespace)
                await _keep_history(client)
                await attributes.ensure(client)
                return
        await asyncio.sleep(0.05)
    lost = server.process.poll() is not None and any("address already in use" in line for line in _end_of(server.log))
    raise (_PortLost if lost else NoTemporal)(_unhealthy(server))


async def _keep_history(client: Client) -> None:
    """Closed workflows stay for 30 days; the dev server's own default is one."""
    config = NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=RETENTION_SECONDS))
    await client.workflow_service.update_namespace(UpdateNamespaceRequest(namespace=client.namespace, config=config))


def _unhealthy(server: DevServer) -> str:
    code = server.process.poll()
    what = f"is not healthy after {START_SECONDS:.0f} s" if code is None else f"ended at once with {code}"
    lines = _end_of(server.log)
    return "\n".join([f"the Temporal dev server at {server.address} {what}. The end of {server.log}:", *lines])


def _end_of(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-20:]
