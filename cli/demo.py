"""`demo`: a real program over a real project, its sandbox and its worker killed on the way, and the proof."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from cli import screen
from cli.client import Client
from cli.flags import temporal_ui, temporal_url
from cli.processes import boxes
from cli.proof import Proof, proof
from cli.request import program_request
from cli.stack import Stack, running
from cli.up import cancel_on_signals, leave
from holdfast.config import Settings
from holdfast.contracts.program import FINAL
from holdfast.contracts.task import Task
from holdfast.errors import HoldfastError, NotFound
from holdfast.ids import workflow_id
from holdfast.temporal.connect import connect

BOX_DIES_AFTER, WORKER_DIES_AFTER = 6, 14
_LOOK_S = 0.05
_TOO_LONG_S = 300.0
_REPORT_LINES = 25


def demo(settings: Settings, keep: bool) -> None:
    """Run the demo; exit code 0 if the proof holds, 1 if not. Never returns: see `up.leave`."""
    leave(asyncio.run(_guarded(own(settings), keep)))


def own(settings: Settings) -> Settings:
    """Settings of the demo's own world: data folder, database and ports that no running `up` has."""
    home = settings.home / "demo"
    api, temporal, ui = free_ports(3)
    update = {
        "home": home,
        "host": "127.0.0.1",
        "port": api,
        "url": f"http://127.0.0.1:{api}",
        "temporal_address": f"127.0.0.1:{temporal}",
        "temporal_namespace": "default",
        "temporal_ui_port": ui,
        "database_url": f"sqlite:///{home / 'holdfast.db'}",
    }
    return settings.model_copy(update=update)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened at a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


async def _guarded(settings: Settings, keep: bool) -> int:
    cancel_on_signals("\nstopping")
    try:
        return await _demo(settings, keep)
    except asyncio.CancelledError:
        screen.say("stopped; run it again with: holdfast demo")
        return screen.INTERRUPTED
    except HoldfastError as exc:
        screen.fail(exc)
        return screen.exit_code(exc)


async def _demo(settings: Settings, keep: bool) -> int:
    project, program = examples()
    screen.say("holdfast demo: review a small shop's code and data, kill what can be killed, repeat nothing", "bold")
    screen.say("  no model is used: the program was written beforehand, as a model would write it")
    stack = Stack(settings, 2, screen.say)
    async with running(stack):
        workspace = seed(settings, project)
        screen.ok("running", f"Temporal {settings.temporal_address}, 2 workers, API {settings.url}")
        holds = await Story(stack, program, workspace).run()
        if keep:
            await _keep(settings)
    return 0 if holds else screen.FAILED


async def _keep(settings: Settings) -> None:
    """Until ctrl-c, which here is no interruption: the demo's own exit code stays."""
    screen.say("\nEverything stays up until ctrl-c. Look at each call in the Temporal UI:")
    screen.say(temporal_ui(settings))
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def examples() -> tuple[Path, Path]:
    """The project that is reviewed, and the program that reviews it.

    Raises:
        NotFound: this is an installation without the examples.
    """
    folder = Path(__file__).parent.parent / "examples"
    project, program = folder / "inventory", folder / "inventory.review.py"
    if not (project.is_dir() and program.is_file()):
        raise NotFound(f"the demo needs {project} and {program.name}: they come with a clone of holdfast; run it there")
    return project, program


def seed(settings: Settings, project: Path) -> Path:
    """A fresh copy of the example in the workspace that programs of the tenant `default` share."""
    workspace = settings.home / "workspaces" / "default" / "default"
    shutil.rmtree(workspace, ignore_errors=True)
    shutil.copytree(project, workspace, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    return workspace


class Story:
    """One task from its submission to its proof, told as it happens."""

    def __init__(self, stack: Stack, program: Path, workspace: Path) -> None:
        self._stack = stack
        self._program = program
        self._workspace = workspace
        self._client = Client(stack.settings)
        self._began = time.monotonic()
        self._kills = 0

    async def run(self) -> bool:
        """Whether the proof holds."""
        task = await self._submit()
        before = {path: path.stat().st_mtime_ns for path in self._files()}
        await self._kill_box(task.id)
        await self._kill_worker(task.id)
        task = await self._wait(task.id)
        self._tell(f"{task.state} after {task.calls_done} calls")
        if task.state != "DONE":
            screen.fail(HoldfastError(task.error or f"the task ended as {task.state}; logs: {self._stack.logs}"))
            return False
        self._report([path for path in self._files() if before.get(path) != path.stat().st_mtime_ns], task)
        return await self._prove(task)

    async def _submit(self) -> Task:
        request = program_request(str(self._program), None, None, "fail", None, [])
        task = await asyncio.to_thread(self._client.submit, request)
        screen.say(f"task {task.id}", "bold")
        screen.say(temporal_url(self._stack.settings, task.id))
        self._tell(f"{self._program.name} begins, in a sandbox without network, over a copy of {self._workspace.name}")
        return task

    async def _kill_box(self, task_id: str) -> None:
        """SIGKILL to the sandbox in the middle of the program."""
        task, pid, worker = await self._victim(task_id, BOX_DIES_AFTER)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        self._kills += 1
        self._tell(f"{task.calls_done} calls done: killed the sandbox (SIGKILL, process {pid} of worker {worker})")
        self._tell("  a new sandbox runs the program from its first line; finished calls answer from the journal")

    async def _kill_worker(self, task_id: str) -> None:
        """SIGKILL to the worker that runs the program, and with it to its sandbox and the skills in flight."""
        task, pid, worker = await self._victim(task_id, WORKER_DIES_AFTER)
        if pid is None:
            return
        os.kill(worker, signal.SIGKILL)
        self._kills += 1
        self._tell(f"{task.calls_done} calls done: killed the worker (SIGKILL, process {worker}), sandbox and all")
        self._tell("  the other worker takes over as soon as Temporal misses a heartbeat")

    async def _victim(self, task_id: str, after: int) -> tuple[Task, int | None, int]:
        """The program's sandbox and its worker, once `after` calls are done. No sandbox if the task ends first."""
        deadline = time.monotonic() + _TOO_LONG_S
        while time.monotonic() < deadline:
            task = await asyncio.to_thread(self._client.task, task_id)
            if task.state in FINAL:
                break
            alive = [worker.pid for worker in self._stack.workers if worker.ended() is None]
            found = [(box, worker) for worker in alive for box in boxes(worker)]
            if task.calls_done >= after and found:
                return task, *found[0]
            await asyncio.sleep(_LOOK_S)
        self._tell(f"the program was over, or stuck, before it could be killed after {after} calls")
        return task, None, 0

    async def _wait(self, task_id: str) -> Task:
        done, deadline = 0, time.monotonic() + _TOO_LONG_S
        while time.monotonic() < deadline:
            task = await asyncio.to_thread(self._client.task, task_id, 0.5)
            if task.state in FINAL:
                return task
            if task.calls_done > done + 5:
                done = task.calls_done
                self._tell(f"{done} calls done")
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
        client = await connect(self._stack.settings)
        found = await proof(client, workflow_id(task.tenant_id, task.id))
        screen.say("\nthe proof, counted in Temporal's history:", "bold")
        for name, value in _lines(found, self._kills):
            screen.say(f"  {name:<44} {value}")
        holds = found.holds and self._kills == 2
        screen.say("the promise held" if holds else "the promise did NOT hold", "bold green" if holds else "bold red")
        return holds

    def _tell(self, text: str) -> None:
        screen.say(f"  {time.monotonic() - self._began:5.1f}s  {text}")


def _lines(found: Proof, kills: int) -> list[tuple[str, int]]:
    return [
        ("processes killed while the program ran", kills),
        ("times the program was started", found.attempts),
        ("skill calls", found.calls),
        ("answered from the journal by the last re-run", found.from_journal),
        ("skill executions begun", found.begun),
        ("skill executions finished", found.finished.total()),
        ("finished calls repeated", found.repeated),
    ]
