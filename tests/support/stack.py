"""A whole holdfast for tests: a dev server, workers as processes of their own, and a client. No part is a stand-in."""

import asyncio
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from holdfast.blobs import BlobStore
from holdfast.catalogue import load
from holdfast.config import Settings
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import (
    PROGRAM_WORKFLOW,
    QUEUE_AGENTS,
    Limits,
    ProgramResult,
    ProgramSpec,
    Progress,
    Tuning,
)
from holdfast.ids import new_task_id, new_trace_id
from holdfast.ports import free_port
from holdfast.temporal import devserver
from holdfast.temporal.connect import connect
from store.address import Address
from workflows import policies

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"
READY = b'"worker.up"'


@dataclass
class WorkerProcess:
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_up(self, seconds: float = 60) -> "WorkerProcess":
        deadline = time.monotonic() + seconds
        while READY not in self.log.read_bytes():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Stack:
    """Everything below one folder. `home` holds the data; `close` ends what this object started, by pid."""

    home: Path
    port: int = field(default_factory=free_port)
    project: Path = PROJECT
    server: devserver.DevServer | None = None
    workers: list[WorkerProcess] = field(default_factory=list)
    started: int = 0

    @property
    def settings(self) -> Settings:
        return Settings.load(self.project, home=self.home, temporal_address=f"127.0.0.1:{self.port}")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        own = {"HOLDFAST_HOME": str(self.home), "TEMPORAL_ADDRESS": f"127.0.0.1:{self.port}", "PYTHONPATH": str(ROOT)}
        return kept | own | more

    def start_server(self) -> None:
        self.server = asyncio.run(devserver.start(self.settings, headless=True))

    def start_worker(self, *queues: str, **more: str) -> WorkerProcess:
        self.started += 1
        self.home.mkdir(parents=True, exist_ok=True)
        log = self.home / f"worker-{self.started}.log"
        code = f"import os, worker; os._exit(worker.main(queues={list(queues)!r} or worker.QUEUES))"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", code], cwd=self.project, env=self.environment(**more), stdout=out, stderr=out
            )
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        if self.server is not None:
            self.server.kill()

    # programs

    async def client(self) -> Client:
        deadline = time.monotonic() + 30
        while True:
            try:
                return await connect(self.settings)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    def spec(self, source: str, **fields: Any) -> ProgramSpec:
        """A program over the project's skills; `limits` and `tuning` may be dicts."""
        catalogue = load(self.project, ROOT / "skills" / "builtin").catalogue
        fields["limits"] = Limits(**fields.get("limits", {}))
        fields["tuning"] = Tuning(**fields.get("tuning", {}))
        task = TaskRef(task_id=new_task_id(), trace_id=new_trace_id())
        sha = catalogue.save(BlobStore(self.settings.blobs))
        granted = catalogue.granted(fields.pop("skills", None))
        return ProgramSpec(task=task, source=source, catalogue=sha, skills=granted, **fields).pinned()

    async def start(self, client: Client, source: str, **fields: Any) -> "WorkflowHandle[Any, ProgramResult]":
        spec = self.spec(source, **fields)
        return await client.start_workflow(
            PROGRAM_WORKFLOW,
            spec,
            id=spec.task.workflow_id,
            task_queue=QUEUE_AGENTS,
            task_timeout=policies.TASK_TIMEOUT,
            result_type=ProgramResult,
        )

    async def run(self, client: Client, source: str, **fields: Any) -> ProgramResult:
        return await (await self.start(client, source, **fields)).result()

    def value(self, result: ProgramResult) -> Any:
        assert result.value is not None
        if result.value.ref is None:
            return result.value.inline
        return BlobStore(self.settings.blobs).get_json(result.value.ref)

    @contextlib.contextmanager
    def locked_store(self) -> Iterator[None]:
        """As long as it lasts, nobody else can write to the database."""
        held = sqlite3.connect(str(Address.of(self.settings)), isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            held.execute("ROLLBACK")
            held.close()

    # what can be seen from outside

    def effects(self, task_id: str | None = None) -> list[tuple[str, str, str, int, float]]:
        """Lines that the test skills wrote: (begin | end, task, call, attempt, time)."""
        path = self.home / "workspaces" / "default" / "default" / "effects.log"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [tuple(line[:5]) for line in lines if task_id in (None, line[1])]

    def begins(self, handle: "WorkflowHandle[Any, Any]") -> Counter[str]:
        return self._counted("begin", handle)

    def ends(self, handle: "WorkflowHandle[Any, Any]") -> Counter[str]:
        return self._counted("end", handle)

    def _counted(self, what: str, handle: "WorkflowHandle[Any, Any]") -> Counter[str]:
        task_id = handle.id.partition("/")[2]
        return Counter(call for kind, _, call, _, _ in self.effects(task_id) if kind == what)

    async def scheduled(self, client: Client, handle: "WorkflowHandle[Any, Any]") -> Counter[str]:
        """How often each call stands in the history as scheduled, over all runs of the task."""
        found: Counter[str] = Counter()
        async for events in runs_of(client, handle):
            attributes = [event.activity_task_scheduled_event_attributes for event in events]
            found.update(one.activity_id for one in attributes if one.activity_type.name == "skill.run")
        return found

    def boxes(self, idle: bool = False) -> list[int]:
        """Pids of guests of our workers, also if they outlived theirs: those with a program; `idle`: all of them."""
        owners = {str(worker.pid) for worker in self.workers}
        return [pid for pid, owner in _guests() if owner in owners and (idle or _is_locked_down(pid))]


@contextlib.contextmanager
def running(stack: Stack) -> Iterator[None]:
    """With its server and one worker."""
    try:
        stack.start_server()
        stack.start_worker().wait_up()
        yield
    finally:
        stack.close()


def _guests() -> list[tuple[int, str]]:
    """Every guest of this machine, and the worker whose number its bubblewrap bears as a title."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    guests = [pid for pid in pids if b"/guest.py" in _read(Path(f"/proc/{pid}/cmdline")) and not _owner(pid)]
    return [(pid, owner) for pid in guests for owner in {_owner(parent) for parent in parents_of(pid)} if owner]


def _owner(pid: int) -> str:
    title = _read(Path(f"/proc/{pid}/cmdline")).partition(b"\0")[0].decode("utf-8", "replace").split("/")
    return title[2] if title[0] == "holdfast-box" and len(title) > 2 else ""


def _is_locked_down(pid: int) -> bool:
    """Whether it has its second filter: then there is a program in it."""
    found = re.search(rb"^Seccomp_filters:\s*(\d+)", _read(Path(f"/proc/{pid}/status")), re.MULTILINE)
    return found is not None and int(found[1]) > 1


def parents_of(pid: int) -> list[int]:
    parents: list[int] = []
    while pid > 1:
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
        if len(fields) < 2:
            break
        pid = int(fields[1])
        parents.append(pid)
    return parents


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def runs_of(client: Client, handle: "WorkflowHandle[Any, Any]") -> AsyncIterator[list[Any]]:
    """Events of every run in the chain of a task."""
    run = handle.first_execution_run_id
    while run:
        events = [event async for event in client.get_workflow_handle(handle.id, run_id=run).fetch_history_events()]
        yield events
        run = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id


async def result_of(handle: "WorkflowHandle[Any, ProgramResult]") -> ProgramResult:
    """The result, waited for over restarts of the server: the client's long poll breaks with its connection."""
    while True:
        try:
            return await handle.result()
        except RPCError:
            await asyncio.sleep(0.1)


async def progress(handle: "WorkflowHandle[Any, Any]") -> Progress:
    return await handle.query("progress", result_type=Progress)


async def until(condition: Any, seconds: float = 20, every: float = 0.02) -> Any:
    """The first true answer of `condition` (a function, sync or async); fails with its last answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        await asyncio.sleep(every)
