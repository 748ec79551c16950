"""What the bench knows of an engine: it is started, given tasks, killed, and tells what it stored."""

from dataclasses import dataclass
from typing import Protocol

from bench.site import Site
from bench.task import Task


@dataclass(frozen=True)
class Stored:
    """What a finished run left behind. `records`: events of histories, or rows."""

    size_bytes: int
    records: int


class WrongAnswer(Exception):
    """An engine is measured only while it is right."""


class Engine(Protocol):
    """An engine as the bench drives it. `name` is its row."""

    name: str

    def takes(self, workload: str) -> bool: ...

    def task(self, workload: str, n: int, latency_ms: int = 0, sleep_ms: int = 0) -> Task:
        """A new task in the best mode that the engine has for this workload."""

    async def start(self, site: Site) -> float:
        """Seconds until its worker is ready."""

    async def run(self, task: Task) -> str:
        """The answer's text."""

    async def resume(self, task: Task) -> str:
        """The answer of a task whose worker was killed and started again, after `run` broke or while it waits."""

    async def stored(self, task: Task) -> Stored | None: ...

    def worker_pid(self) -> int: ...

    def pids(self) -> list[int]:
        """Its processes: the worker, and what else works for it, without the Temporal server."""

    async def kill(self) -> None:
        """SIGKILL to the worker."""

    async def restart(self) -> float:
        """Start the killed worker again; seconds until it is ready."""

    async def stop(self) -> None: ...


async def checked(engine: Engine, task: Task) -> None:
    """Run a task to its end.

    Raises:
        WrongAnswer: the engine said something else than the sum of the tool's answers.
    """
    refuse_wrong(engine, task, await engine.run(task))


def refuse_wrong(engine: Engine, task: Task, said: str) -> None:
    if task.expected.split()[-1] not in said:
        raise WrongAnswer(f"{engine.name} answered {said[:200]!r} to {task}; expected {task.expected!r}")
