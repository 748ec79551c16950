"""holdfast at scale, without containers: PostgreSQL, a real Temporal server on it, workers for each queue, the API twice.

Every part is a process of this machine, with its log below `home`, and is killed, stopped and started again by its pid.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from holdfast.contracts.program import QUEUE_AGENTS, QUEUE_LLM, QUEUE_SANDBOX, QUEUE_SKILLS
from holdfast.errors import NoTemporal
from holdfast.ports import free_port
from holdfast.temporal import attributes, binary
from tests.support import postgres
from tests.support.stack import ROOT, Stack

QUEUES = (QUEUE_AGENTS, QUEUE_LLM, QUEUE_SKILLS, QUEUE_SANDBOX)
READY_MADE = "HOLDFAST_TEST_TEMPORAL"
"""A folder that holds `temporal-server` and `temporal-sql-tool`, as Temporal's own images do: then none is built."""

RETENTION_S = 30 * 86400
_SERVICES = ("frontend", "history", "matching", "worker")


class Part(Protocol):
    """Something that can die. `start` also starts it again, as it was."""

    name: str

    def start(self) -> None: ...
    def wait_up(self) -> None: ...
    def kill(self) -> None: ...


@dataclass
class Process:
    """A process of ours. `is_up` looks at what it wrote since it was started, and at its port."""

    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path
    is_up: Callable[[bytes], bool]
    process: "subprocess.Popen[bytes] | None" = None
    _from: int = 0

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.argv, cwd=self.cwd, env=self.env, stdout=out, stderr=out)

    def wait_up(self, seconds: float = 90) -> None:
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while not self.is_up(self.said()):
            assert self.process.poll() is None, f"{self.name} ended: {self.said().decode()[-3000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not up: {self.said().decode()[-3000:]}"
            time.sleep(0.05)

    def said(self) -> bytes:
        return self.log.read_bytes()[self._from :]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)


@dataclass
class Postgres:
    """The database as a part that can be killed."""

    server: postgres.Cluster
    name: str = "postgres"

    def start(self) -> None:
        """The backends of a killed server notice it within moments; until then their memory is in use."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.server.resume()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def wait_up(self) -> None:
        """`start` has waited."""

    def kill(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)


@dataclass
class Cluster:
    """`look` sees what skills and histories say. `workers` are those that were started, of whatever version."""

    home: Path
    project: Path
    database: Postgres
    port: int = field(default_factory=free_port)
    temporal: Process = field(init=False)
    apis: list[Process] = field(init=False)
    workers: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.look = Stack(self.home, self.port, self.project)
        self.api_ports = [free_port(), free_port()]
        self.apis = [self._api(number, port) for number, port in enumerate(self.api_ports, 1)]

    @property
    def parts(self) -> list[Part]:
        return [*self.workers, *self.apis, self.temporal, self.database]

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.api_ports]

    def start(self) -> None:
        """Everything but workers."""
        server, schema = programs()
        self._make_tables(schema)
        self.temporal = self._temporal(server)
        self.temporal.start()
        self.temporal.wait_up()
        asyncio.run(_furnish(f"127.0.0.1:{self.port}"))
        for api in self.apis:
            api.start()
        for api in self.apis:
            api.wait_up()

    def start_workers(
        self, build_id: str, numbers: Sequence[int] = (1, 2), queues: Sequence[str] = QUEUES, source: Path = ROOT
    ) -> list[Process]:
        """Processes of these numbers for each queue, that run the code below `source`."""
        found = [self._worker(queue, number, build_id, source) for queue in queues for number in numbers]
        self.workers += found
        for worker in found:
            worker.start()
        for worker in found:
            worker.wait_up()
        return found

    def holdfast(self, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """The command line, as an operator of this cluster uses it."""
        argv = [sys.executable, "-m", "cli.main", *words]
        env = self.environment(ROOT, **variables)
        return subprocess.run(argv, cwd=self.project, env=env, capture_output=True, text=True, timeout=120)

    def close(self) -> None:
        for part in (*self.workers, *self.apis, getattr(self, "temporal", None)):
            if part is not None and part.process is not None and part.process.poll() is None:
                part.kill()

    def environment(self, source: Path = ROOT, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.endswith("API_KEY")}
        own = {
            "HOLDFAST_HOME": str(self.home),
            "DATABASE_URL": self.database.server.url("holdfast"),
            "DB_POOL_SIZE": "5",
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self.port}",
            "SANDBOX_MAX_SESSIONS": "30",
            "PYTHONPATH": str(source),
        }
        return kept | own | more

    def _make_tables(self, tool: Path) -> None:
        server = self.database.server
        flags = ["--plugin", "postgres12", "--ep", "127.0.0.1", "--port", str(server.port), "--user", "holdfast"]
        for name in ("temporal", "visibility"):
            base = [str(tool), *flags, "--db", f"temporal_{name}"]
            _ran([*base, "create-database", "--defaultdb", "postgres"])
            _ran([*base, "setup-schema", "--version", "0.0"])
            _ran([*base, "update-schema", "--schema-name", f"postgresql/v12/{name}"])
        _ran([str(tool), *flags, "--db", "holdfast", "create-database", "--defaultdb", "postgres"])

    def _temporal(self, server: Path) -> Process:
        folder = self.home / "temporal"
        folder.mkdir(parents=True)
        (folder / "cluster.yaml").write_text(yaml.safe_dump(server_config(self.port, self.database.server.port)))
        argv = [str(server), "--root", str(folder), "--config", ".", "--env", "cluster", "--allow-no-auth", "start"]
        log = self.home / "logs" / "temporal.log"
        return Process("temporal", argv, dict(os.environ), folder, log, lambda _said: listens(self.port))

    def _api(self, number: int, port: int) -> Process:
        env = self.environment(HOLDFAST_PORT=str(port), HOLDFAST_URL=f"http://127.0.0.1:{port}")
        argv = [sys.executable, "-m", "cli.main", "serve"]
        log = self.home / "logs" / f"api-{number}.log"
        return Process(f"api {number}", argv, env, self.project, log, lambda _said: listens(port))

    def _worker(self, queue: str, number: int, build_id: str, source: Path) -> Process:
        env = self.environment(source, HOLDFAST_BUILD_ID=build_id)
        argv = [sys.executable, "-m", "cli.main", "worker", "--queues", queue]
        name = f"{queue} {build_id}{number}"
        log = self.home / "logs" / f"{name.replace(' ', '-')}.log"
        return Process(name, argv, env, self.project, log, lambda said: b'"worker.up"' in said)


@contextlib.contextmanager
def cluster(home: Path, project: Path) -> Iterator[Cluster]:
    """A cluster without workers, gone at the end."""
    with postgres.running(postgres.DURABLE) as server:
        one = Cluster(home, project, Postgres(server))
        try:
            one.start()
            yield one
        finally:
            one.close()


def programs() -> tuple[Path, Path]:
    """Temporal's server and schema tool."""
    if folder := os.environ.get(READY_MADE):
        return Path(folder) / "temporal-server", Path(folder) / "temporal-sql-tool"
    return asyncio.run(binary.cluster())


def server_config(port: int, database_port: int) -> dict[str, Any]:
    """One process with all four services, on ports that are free. Its dynamic settings are those of the containers."""
    rpc = {name: {"rpc": _ports(port if name == "frontend" else free_port())} for name in _SERVICES}
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": 4,
            "datastores": {
                "default": {"sql": _database("temporal_temporal", database_port)},
                "visibility": {"sql": _database("temporal_visibility", database_port)},
            },
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}},
        "services": rpc,
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": f"127.0.0.1:{port}",
                }
            },
        },
        "dynamicConfigClient": {"filepath": str(ROOT / "deploy" / "temporal.yaml"), "pollInterval": "60s"},
    }


def _ports(port: int) -> dict[str, Any]:
    return {"grpcPort": port, "membershipPort": _low_port(), "bindOnLocalHost": True}


def _low_port() -> int:
    """A free port that fits into a `smallint`: so Temporal's tables for PostgreSQL keep it."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _database(name: str, port: int) -> dict[str, Any]:
    return {
        "pluginName": "postgres12",
        "databaseName": name,
        "connectAddr": f"127.0.0.1:{port}",
        "connectProtocol": "tcp",
        "user": "holdfast",
        "maxConns": 20,
        "maxIdleConns": 20,
        "maxConnLifetime": "1h",
    }


async def _furnish(address: str) -> None:
    """A namespace that keeps closed workflows for 30 days, with the search attributes of holdfast."""
    deadline = time.monotonic() + 60
    request = RegisterNamespaceRequest(
        namespace="default", workflow_execution_retention_period=Duration(seconds=RETENTION_S)
    )
    while True:
        try:
            client = await Client.connect(address)
            await _register(client, request)
            await attributes.ensure(client)
            await client.count_workflows("TenantId = 'default'")
            return
        except (RPCError, RuntimeError, NoTemporal):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def _register(client: Client, request: RegisterNamespaceRequest) -> None:
    try:
        await client.workflow_service.register_namespace(request)
    except RPCError as exc:
        if exc.status != RPCStatusCode.ALREADY_EXISTS:
            raise


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _ran(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
