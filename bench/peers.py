"""The other engines, each a worker process in the environment that has its libraries."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench import venvs
from bench.engines import Stored, WrongAnswer
from bench.processes import Process
from bench.site import Site
from bench.task import Dialect, Task

EVERY = ("W1", "W2", "W3", "W4")


@dataclass
class Peer:
    """What they have in common: a worker of `bench.workers`, one dialect, the workloads they can do."""

    name: str
    module: str
    venv: str | None = None
    dialect: Dialect = "loop"
    workloads: tuple[str, ...] = EVERY
    env: dict[str, str] = field(default_factory=dict)
    site: Site = field(init=False)
    process: Process = field(init=False)

    def takes(self, workload: str) -> bool:
        return workload in self.workloads

    def task(self, workload: str, n: int, latency_ms: int = 0, sleep_ms: int = 0) -> Task:
        return Task(uuid.uuid4().hex[:12], workload, n, latency_ms, sleep_ms, self.dialect)

    async def start(self, site: Site) -> float:
        self.site = site
        python = venvs.python(self.venv) if self.venv else Path(sys.executable)
        self.process = Process(
            self.name,
            [str(python), "-m", f"bench.workers.{self.module}"],
            site.scratch / "path",
            site.environment(**self.told(), **self.env),
            site.scratch / f"{self.name}.log",
            b"ready",
        )
        return await self.restart()

    def told(self) -> dict[str, str]:
        return {}

    async def restart(self) -> float:
        began = time.perf_counter()
        await self.process.start()
        return time.perf_counter() - began

    def worker_pid(self) -> int:
        return self.process.pid

    def pids(self) -> list[int]:
        return [self.process.pid]

    async def kill(self) -> None:
        await self.process.kill()

    async def stop(self) -> None:
        await self.process.stop()


@dataclass
class OnTemporal(Peer):
    """A workflow named `bench` on the same server as ours. `task_timeout_s`: of a workflow task; the server's is 10."""

    task_timeout_s: float | None = None

    def told(self) -> dict[str, str]:
        return {"BENCH_QUEUE": self.name}

    async def run(self, task: Task) -> str:
        handle: Any = await self.site.client.start_workflow(
            "bench",
            asdict(task),
            id=self._id(task),
            task_queue=self.name,
            task_timeout=timedelta(seconds=self.task_timeout_s) if self.task_timeout_s else None,
            result_type=str,
        )
        return str(await handle.result())

    async def resume(self, task: Task) -> str:
        return str(await self.site.client.get_workflow_handle(self._id(task), result_type=str).result())

    def _id(self, task: Task) -> str:
        return f"{self.name}-{task.run}"

    async def stored(self, task: Task) -> Stored:
        children = [f"{self._id(task)}/call_{at}" for at in range(task.n)] if task.workload == "W5" else []
        found = [await self._info(one) for one in (self._id(task), *children)]
        return Stored(sum(one.history_size_bytes for one in found), sum(one.history_length for one in found))

    async def _info(self, workflow_id: str) -> Any:
        description = await self.site.client.get_workflow_handle(workflow_id).describe()
        return description.raw_description.workflow_execution_info


_OUTPUT = "sum(length(coalesce(output, '')))"
_LANGGRAPH = (
    "select sum(length(checkpoint) + length(metadata)), count(*) from checkpoints where thread_id = ?",
    "select sum(length(value)), count(*) from writes where thread_id = ?",
)
_DBOS = (
    f"select {_OUTPUT} + sum(length(inputs)), count(*) from workflow_status where workflow_uuid like ? || '%'",  # noqa: S608
    f"select {_OUTPUT}, count(*) from operation_outputs where workflow_uuid like ? || '%'",  # noqa: S608
)
ROWS = {"langgraph": _LANGGRAPH, "dbos": _DBOS}
"""What a run left in an engine's SQLite file."""


@dataclass
class InProcess(Peer):
    """A library: tasks go to its process by a pipe."""

    waiting: dict[str, "asyncio.Future[str]"] = field(default_factory=dict)
    child: asyncio.subprocess.Process | None = None
    listening: "asyncio.Task[None] | None" = None

    @property
    def database(self) -> Path:
        return self.site.scratch / f"{self.name}.db"

    def told(self) -> dict[str, str]:
        return {"BENCH_DB": str(self.database)}

    async def restart(self) -> float:
        began = time.perf_counter()
        process = self.process
        with process.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                *process.command,
                cwd=process.folder,
                env=process.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.child.stdout is not None
        if await self.child.stdout.readline() != b"ready\n":
            raise WrongAnswer(f"{self.name} did not start: {process.log.read_text()[-800:]}")
        self.listening = asyncio.create_task(self._listen(self.child.stdout))
        return time.perf_counter() - began

    async def _listen(self, answers: asyncio.StreamReader) -> None:
        while line := await answers.readline():
            said = json.loads(line)
            future = self.waiting.pop(said["run"])
            if "error" in said:
                future.set_exception(WrongAnswer(said["error"]))
            else:
                future.set_result(said["answer"])
        for future in self.waiting.values():
            future.set_exception(ConnectionError(f"{self.name} died"))
        self.waiting.clear()

    async def run(self, task: Task) -> str:
        return await self._asked(task, resume=False)

    async def resume(self, task: Task) -> str:
        return await self._asked(task, resume=True)

    async def _asked(self, task: Task, resume: bool) -> str:
        assert self.child is not None
        assert self.child.stdin is not None
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.waiting[task.run] = future
        self.child.stdin.write(json.dumps({"task": asdict(task), "resume": resume}).encode() + b"\n")
        return await future

    async def stored(self, task: Task) -> Stored | None:
        if self.module not in ROWS:
            return None
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            found = [database.execute(query, (task.run,)).fetchone() for query in ROWS[self.module]]
        return Stored(sum(size or 0 for size, _ in found), sum(count for _, count in found))

    def worker_pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def pids(self) -> list[int]:
        return [self.worker_pid()]

    async def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        await self.child.wait()

    async def stop(self) -> None:
        if self.child is not None and self.child.returncode is None:
            await self.kill()
        if self.listening is not None:
            await self.listening
