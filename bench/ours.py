"""holdfast, driven as a user would: its API and its worker are processes of their own, with shipped defaults."""

import asyncio
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from temporalio.api.history.v1 import HistoryEvent
from temporalio.service import RPCError

from bench.engines import Stored, WrongAnswer
from bench.processes import Process
from bench.site import ROOT, Site
from bench.task import Dialect, Task
from holdfast.ports import free_port

_FAILED = ("ERROR", "TIMED_OUT", "CANCELLED")
_UP_S = 60
EVERY = ("W1", "W2", "W3", "W4")
LOOPS = ("W2", "W3")
"""Workloads in which the model calls by itself."""


class Installation:
    """One API and one worker over one project folder: every variant of ours is an agent of that project."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.url = f"http://127.0.0.1:{free_port()}"
        self.home = site.scratch / "holdfast"
        self.project = site.scratch / "project"
        self.env = site.environment(
            PYTHONPATH=str(ROOT),
            HOLDFAST_HOME=str(self.home),
            HOLDFAST_PORT=self.url.rpartition(":")[2],
            HOLDFAST_URL=self.url,
            TEMPORAL_ADDRESS=site.temporal,
            DEFAULT_LLM_PROVIDER="openai-compatible",
            DEFAULT_LLM_MODEL="stub",
            LLM_BASE_URL=f"{site.model}/v1",
            LLM_API_KEY="none",
        )
        self.api = self._process("api", "import os, api.server; os._exit(api.server.main())", None)
        self.worker = self._process("worker", "import os, worker; os._exit(worker.main())", b'"worker.up"')

    def _process(self, name: str, code: str, ready: bytes | None) -> Process:
        command = [sys.executable, "-P", "-c", code]
        return Process(f"holdfast {name}", command, self.project, self.env, self.site.scratch / f"{name}.log", ready)

    async def start(self) -> float:
        """Seconds until the worker was ready."""
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "bench" / "project", self.project, ignore=skipped, dirs_exist_ok=True)
        self.home.mkdir(exist_ok=True)
        await self.api.start()
        async with asyncio.timeout(_UP_S):
            while not await self._listens():  # noqa: ASYNC110 (another process: there is no event to wait for)
                await asyncio.sleep(0.02)
        return await self.start_worker()

    async def start_worker(self) -> float:
        began = time.perf_counter()
        await self.worker.start()
        return time.perf_counter() - began

    async def _listens(self) -> bool:
        try:
            return (await self.site.http.get(f"{self.url}/health/live")).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    async def stop(self) -> None:
        await self.worker.stop()
        await self.api.stop()


@dataclass
class Holdfast:
    """One variant: an agent of the project for W4, the direct one for W1, one with a loop for W2 and W3. Tasks go over
    HTTP."""

    name: str
    shared: "Shared"
    agent: str = "split"
    tool: str = "lookup"
    dialect: Dialect = "plain"
    workloads: tuple[str, ...] = EVERY
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def house(self) -> Installation:
        assert self.shared.installation is not None
        return self.shared.installation

    def takes(self, workload: str) -> bool:
        return workload in self.workloads

    def task(self, workload: str, n: int, latency_ms: int = 0, sleep_ms: int = 0) -> Task:
        dialect = "loop" if workload in (*LOOPS, "W5") else self.dialect
        return Task(uuid.uuid4().hex[:12], workload, n, latency_ms, sleep_ms, dialect, self.tool)

    def agent_for(self, task: Task) -> str:
        """The agent of `bench/project` that does it."""
        if task.workload in LOOPS:
            return "loop" if self.tool == "lookup" else "loop-activity"
        return {"W1": "one", "W5": "chief"}.get(task.workload, self.agent)

    async def start(self, site: Site) -> float:
        return await self.shared.start(site)

    async def run(self, task: Task) -> str:
        await self.ask(task)
        return await self.resume(task)

    async def ask(self, task: Task) -> None:
        """Returns once the task is recorded and started."""
        body = {"type": f"agent:{self.agent_for(task)}", "input": task.prompt}
        made = await self.house.site.http.post(f"{self.house.url}/tasks", json=body)
        if made.status_code != httpx2.codes.CREATED:
            raise WrongAnswer(f"{self.name}: {made.status_code} {made.text[:400]}")
        self.ids[task.run] = made.json()["id"]

    async def resume(self, task: Task) -> str:
        while True:
            url = f"{self.house.url}/tasks/{self.ids[task.run]}"
            got: dict[str, Any] = (await self.house.site.http.get(url, params={"wait": 60})).json()
            if got["state"] == "DONE":
                return str(got["output"])
            if got["state"] in _FAILED:
                raise WrongAnswer(f"{self.name}: {str(got)[:600]}")

    def workflow_ids(self, task: Task) -> list[str]:
        """Its own, and that of its program, which an answer without a program does not have; or of its children."""
        own = f"default/{self.ids[task.run]}"
        if task.workload == "W5":
            return [own, *(f"{own}/chief-sub{f'-{at}' if at > 1 else ''}" for at in range(1, task.n + 1))]
        return [own, f"{own}/program"]

    async def history(self, workflow_id: str) -> list[HistoryEvent]:
        """Its events; none if there is no such workflow."""
        handle = self.house.site.client.get_workflow_handle(workflow_id)
        try:
            return [event async for event in handle.fetch_history_events()]
        except RPCError:
            return []

    async def stored(self, task: Task) -> Stored:
        found = [one for workflow_id in self.workflow_ids(task) async for one in self._runs(workflow_id)]
        return Stored(sum(one.size_bytes for one in found), sum(one.records for one in found))

    async def _runs(self, workflow_id: str) -> AsyncIterator[Stored]:
        """Each run of a workflow, the last first (a long program continues as new); none without such a workflow."""
        run_id: str | None = None
        while run_id != "":
            handle = self.house.site.client.get_workflow_handle(workflow_id, run_id=run_id)
            try:
                info = (await handle.describe()).raw_description.workflow_execution_info
            except RPCError:
                return
            yield Stored(info.history_size_bytes, info.history_length)
            first = await anext(aiter(handle.fetch_history_events(page_size=1)))
            run_id = first.workflow_execution_started_event_attributes.continued_execution_run_id

    def worker_pid(self) -> int:
        return self.house.worker.pid

    def pids(self) -> list[int]:
        return [self.house.worker.pid, self.house.api.pid]

    async def kill(self) -> None:
        await self.house.worker.kill()

    async def restart(self) -> float:
        return await self.house.start_worker()

    async def stop(self) -> None:
        await self.shared.stop()


@dataclass
class Shared:
    """The one installation that all variants use: the first that starts it does, the first that stops it too."""

    installation: Installation | None = None
    boot_s: float = 0.0

    async def start(self, site: Site) -> float:
        if self.installation is None:
            self.installation = Installation(site)
            self.boot_s = await self.installation.start()
        return self.boot_s

    async def stop(self) -> None:
        if self.installation is not None:
            await self.installation.stop()
            self.installation = None
