"""The demo's task, from its submission to its proof, told as it happens."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cli import screen
from cli.client import Client
from cli.flags import temporal_url
from cli.groups import grouped, line, money
from cli.processes import boxes
from cli.stack import Stack
from holdfast.client import asks
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import Task
from holdfast.contracts.work import program_workflow_id
from holdfast.errors import HoldfastError
from holdfast.ids import workflow_id

if TYPE_CHECKING:
    from cli.proof import Proof

PROJECT = "examples/inventory"
SENTENCE = f"Review {PROJECT} for bugs, security problems and bad data, and write the report to report.md"
BOX_DIES_AFTER, WORKER_DIES_AFTER = 2, 4
_LOOK_S = 0.05
_TOO_LONG_S = 300.0
_REPORT_LINES = 25


class Story:
    """One task from its submission to its proof, told as it happens."""

    def __init__(self, stack: Stack, workspace: Path) -> None:
        self._stack = stack
        self._workspace = workspace
        self._client = Client(stack.settings)
        self._began = time.monotonic()
        self._dead: list[int] = []
        self._done = 0

    async def run(self) -> bool:
        """Whether the proof holds."""
        task = await self._submit()
        before = {path: path.stat().st_mtime_ns for path in self._files()}
        await self._begin(task.id)
        await self._kill_box(task.id)
        await self._kill_worker(task.id)
        task = await self._wait(task.id)
        self._tell(f"{task.state} after {task.calls_done} skill calls")
        if task.state != "DONE":
            screen.fail(HoldfastError(task.error or f"the task ended as {task.state}; logs: {self._stack.logs}"))
            return False
        self._report([path for path in self._files() if before.get(path) != path.stat().st_mtime_ns], task)
        return await self._prove(task)

    async def _submit(self) -> Task:
        screen.say(f'\n  holdfast run "{SENTENCE}"', "bold")
        task = await asyncio.to_thread(self._client.send, asks.of_agent(SENTENCE, {}))
        screen.say(f"task {task.id}", "bold")
        screen.say(temporal_url(self._stack.settings, task.id))
        return task

    async def _begin(self, task_id: str) -> None:
        """Tell plan and program as they come, up to the first call of a skill."""
        told = 0
        deadline = time.monotonic() + _TOO_LONG_S
        while time.monotonic() < deadline:
            task = await asyncio.to_thread(self._client.task, task_id)
            steps = await asyncio.to_thread(self._client.steps, task_id)
            groups = grouped([step for step in steps if step.kind in ("llm", "program")])
            for group in groups[told:]:
                self._tell(line(group, time.time()).strip())
            told = len(groups)
            if task.calls_done or task.state in FINAL:
                return
            await asyncio.sleep(_LOOK_S)

    async def _kill_box(self, task_id: str) -> None:
        """SIGKILL to the sandbox in the middle of the program."""
        box, worker = await self._victims(task_id, BOX_DIES_AFTER)
        if not self._killed(box):
            return
        self._tell(f"{self._done} calls done: killed the sandbox (SIGKILL, process {box} of worker {worker})")
        self._tell("  a new sandbox runs the program from its first line; finished calls answer from the journal")

    async def _kill_worker(self, task_id: str) -> None:
        """SIGKILL to the worker that runs the program, and with it to its sandbox and the skills in flight."""
        _, worker = await self._victims(task_id, WORKER_DIES_AFTER)
        if not self._killed(worker):
            return
        self._tell(f"{self._done} calls done: killed the worker (SIGKILL, process {worker}), sandbox and all")
        self._tell("  the other worker takes over as soon as Temporal misses a heartbeat")

    def _killed(self, pid: int) -> bool:
        if not pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._dead.append(pid)
            return True
        self._tell(f"process {pid} ended by itself before it could be killed")
        return False

    async def _victims(self, task_id: str, after: int) -> tuple[int, int]:
        """Process ids of the program's sandbox and its worker, once `after` calls are done; zeros if it ends first."""
        deadline = time.monotonic() + _TOO_LONG_S
        while time.monotonic() < deadline:
            task = await asyncio.to_thread(self._client.task, task_id)
            if task.state in FINAL:
                break
            alive = [worker.pid for worker in self._stack.workers if worker.ended() is None]
            found = [(box, worker) for worker in alive for box in boxes(worker) if box not in self._dead]
            self._done = max(self._done, task.calls_done)
            if self._done >= after and found:
                return found[0]
            await asyncio.sleep(_LOOK_S)
        self._tell(f"the program was over, or stuck, before it could be killed after {after} calls")
        return 0, 0

    async def _wait(self, task_id: str) -> Task:
        deadline = time.monotonic() + _TOO_LONG_S
        while time.monotonic() < deadline:
            task = await asyncio.to_thread(self._client.task, task_id, 0.5)
            if task.state in FINAL:
                return task
            if task.calls_done > self._done:
                self._done = task.calls_done
                self._tell(f"{self._done} calls done")
        return task

    def _files(self) -> list[Path]:
        return [path for path in self._workspace.rglob("*") if path.is_file()]

    def _report(self, written: list[Path], task: Task) -> None:
        """The head of the largest text that the program wrote, else of its result."""
        screen.say()
        if not written:
            screen.result(task.output)
            return
        report = max(written, key=lambda path: path.stat().st_size)
        lines = report.read_text("utf-8").splitlines()
        screen.result("\n".join(lines[:_REPORT_LINES]))
        more = f"({len(lines) - _REPORT_LINES} more lines) " if len(lines) > _REPORT_LINES else ""
        screen.say(f"{more}the whole report: {report}", "dim")

    async def _prove(self, task: Task) -> bool:
        from cli.proof import proof
        from holdfast.temporal.connect import connect

        client = await connect(self._stack.settings)
        own = workflow_id(task.tenant_id, task.id)
        found = await proof(client, own, program_workflow_id(own))
        screen.say("\nthe proof, counted in Temporal's history:", "bold")
        for name, value in _lines(found, len(self._dead)):
            screen.say(f"  {name:<44} {value}")
        holds = found.holds and len(self._dead) == 2
        screen.say("the promise held" if holds else "the promise did NOT hold", "bold green" if holds else "bold red")
        return holds

    def _tell(self, text: str) -> None:
        screen.say(f"  {time.monotonic() - self._began:5.1f}s  {text}")


def _lines(found: "Proof", kills: int) -> list[tuple[str, int | str]]:
    return [
        ("processes killed while the program ran", kills),
        ("times the program was started", found.attempts),
        ("skill calls", found.calls),
        ("answered from the journal by the last re-run", found.from_journal),
        ("skill executions begun", found.begun),
        ("skill executions finished", found.finished.total()),
        ("skill calls answered with an error", found.failed.total()),
        ("finished calls repeated", found.repeated),
        ("LLM calls", found.llm_calls),
        ("money spent twice", money(0.0) if not found.paid_twice else f"for {found.paid_twice} LLM calls"),
    ]
