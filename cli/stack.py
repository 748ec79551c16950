"""All that a task needs on one machine: Temporal dev server, API, workers, each a process that is kept alive."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from cli.children import Child, ChildFailed, how_it_ended
from cli.client import Client
from cli.flags import environment
from holdfast.config import Settings
from holdfast.errors import HoldfastError, NoTemporal, OperatorError

START_S = 90.0
GRACE_S = 30.0
_LOOK_S = 0.1

Say = Callable[[str], None]


class PortTaken(OperatorError):
    """A port that we are to listen at belongs to somebody else."""

    code = "PORT_TAKEN"


class Stack:
    """The processes of one data folder. `start` returns when all of them work; `keep` restarts what dies."""

    def __init__(self, settings: Settings, workers: int, say: Say, log_format: str = "json") -> None:
        self.settings = settings
        self.say = say
        logs = settings.home / "logs"
        env = environment(settings) | {"LOG_FORMAT": log_format}
        self.api = Child("API", ["serve"], env, settings.project, logs / "api.log")
        self.workers = [
            Child(f"worker {n}", ["worker"], env, settings.project, logs / f"worker-{n}.log")
            for n in range(1, workers + 1)
        ]
        self.temporal: Any = None

    @property
    def children(self) -> list[Child]:
        return [self.api, *self.workers]

    @property
    def logs(self) -> Path:
        return self.settings.home / "logs"

    async def start(self) -> None:
        """Start what is not there and wait until all of it works. On failure, nothing is left running.

        Raises:
            PortTaken: the API's port is in use (names the variable).
            NoTemporal: no dev server can be found, built or started.
            ChildFailed: a process ended, or did not work within 60 s (shows the end of its log).
        """
        refuse_taken(self.settings.host, self.settings.port, "HOLDFAST_PORT")
        try:
            await self.start_temporal()
            for child in self.children:
                child.start()
            await self._ready()
        except BaseException:
            await self.stop(grace_s=2)
            raise

    async def start_temporal(self) -> None:
        """A server that answers at TEMPORAL_ADDRESS already is used as it is."""
        from holdfast.temporal import devserver

        if not await answers(self.settings):
            self.temporal = await devserver.start(self.settings, say=self.say)

    async def keep(self) -> None:
        """Watch, and start again what dies, until cancelled.

        Raises:
            ChildFailed: a process ended with a usage error: starting it again cannot help.
        """
        async with asyncio.TaskGroup() as group:
            for child in self.children:
                group.create_task(self._keep_child(child))
            if self.temporal:
                group.create_task(self._keep_temporal())

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Workers drain first (they need the server to report what they finished), then the server stops."""
        await asyncio.gather(*(child.stop(grace_s) for child in self.children))
        if self.temporal:
            await self.temporal.stop()

    async def _keep_child(self, child: Child) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if (code := child.ended()) is not None:
                what = f"{child.name} {how_it_ended(code)}"
                self.say(f"{what}; starting it again in {child.pause_s:.1f} s (log: {child.log})")
                await child.again()

    async def _keep_temporal(self) -> None:
        from holdfast.temporal import devserver

        while True:
            await asyncio.sleep(_LOOK_S)
            if (code := self.temporal.process.poll()) is not None:
                self.say(f"the Temporal dev server {how_it_ended(code)}; starting it again (its history is kept)")
                with contextlib.suppress(NoTemporal):
                    self.temporal = await devserver.start(self.settings, say=self.say)

    async def _ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not await asyncio.to_thread(self._works):
            for child in self.children:
                child.refuse_ended()
            if time.monotonic() > deadline:
                raise ChildFailed(f"not ready after {START_S:.0f} s: {self._missing()}; look at {self.logs}")
            await asyncio.sleep(_LOOK_S)

    def _works(self) -> bool:
        return not self._missing()

    def _missing(self) -> str:
        """What does not work yet, in words; empty when all does."""
        try:
            with Client(self.settings) as client:
                if ailing := client.ailing():
                    return f"API ({ailing})"
                rows = [row["id"] for row in client.workers()]
        except HoldfastError as exc:
            return f"API ({exc})"
        return ", ".join(worker.name for worker in self.workers if not any(f":{worker.pid}:" in row for row in rows))


async def answers(settings: Settings) -> bool:
    """Whether a Temporal server is at the configured address.

    Raises:
        PortTaken: something listens there, and it is not Temporal.
    """
    from holdfast.temporal.connect import connect, connection

    host, _, port = connection(settings)["target_host"].rpartition(":")
    if not await asyncio.to_thread(listens, host or "127.0.0.1", int(port)):
        return False
    try:
        await connect(settings)
    except NoTemporal as exc:
        what = f"something that is not Temporal listens at {host}:{port}"
        raise PortTaken(f"{what}; stop it, or set TEMPORAL_ADDRESS to a free port. {exc}") from None
    return True


def listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def refuse_taken(host: str, port: int, variable: str) -> None:
    """Raises:
    PortTaken: we could not listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise PortTaken(
                f"port {port} on {host} cannot be used: {exc.strerror}. Most likely another `holdfast up` has it "
                f"(`ss -ltnp 'sport = :{port}'` names the process). Stop that, or set {variable} to a free port"
            ) from None


@contextlib.asynccontextmanager
async def running(stack: Stack) -> AsyncIterator[asyncio.Task[None]]:
    """A started stack with its watch; everything is stopped at the end, whatever happens within."""
    await stack.start()
    watch = asyncio.create_task(stack.keep())
    try:
        yield watch
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await stack.stop()
