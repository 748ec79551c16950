"""`demo`: from a sentence to a report on a real project, sandbox and worker killed on the way, and the proof."""

import asyncio
import contextlib
import shutil
from pathlib import Path

from cli import model, screen
from cli.client import Client
from cli.flags import temporal_ui
from cli.stack import Stack, running
from cli.story import PROJECT, Story
from cli.up import cancel_on_signals, leave
from holdfast.config import Settings
from holdfast.contracts.program import FINAL
from holdfast.errors import Conflict, HoldfastError, NotFound
from holdfast.ports import free_port


def demo(settings: Settings, keep: bool) -> None:
    """Run the demo; exit code 0 if the proof holds, 1 if not. Never returns: see `up.leave`."""
    leave(asyncio.run(_guarded(own(model.with_ollama(settings)), keep)))


def own(settings: Settings) -> Settings:
    """Settings of the demo's own world: data folder, database and ports that no running `up` has."""
    home = settings.home / "demo"
    api, temporal, ui = (free_port() for _ in range(3))
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
    project = example()
    screen.say("holdfast demo: a sentence becomes a report; kill what can be killed, repeat nothing", "bold")
    screen.say("  starting Temporal, two workers and the API …", "dim")
    stack = Stack(settings, 2, lambda text: screen.say(f"          {text}", "dim"))
    async with running(stack):
        workspace = seed(settings, project)
        screen.ok("running", f"Temporal {settings.temporal_address}, 2 workers, API {settings.url}")
        with Client(settings) as client:
            model.say(settings, client.workers())
            await asyncio.to_thread(_clear, client)
        holds = await Story(stack, workspace).run()
        if keep:
            await _keep(settings)
        else:
            screen.say(
                "stopping; `.venv/bin/holdfast demo --keep` leaves the Temporal UI up, to look at each call", "dim"
            )
    return 0 if holds else screen.FAILED


def _clear(client: Client) -> None:
    """Cancel what a demo left that was stopped: its sandbox would be taken for ours, and killed in its place."""
    for task in client.tasks():
        if task.state not in FINAL:
            with contextlib.suppress(Conflict):
                client.cancel(task.id)
            client.task(task.id, wait_s=10)


async def _keep(settings: Settings) -> None:
    """Until ctrl-c, which here is no interruption: the demo's own exit code stays."""
    screen.say("\nEverything stays up until ctrl-c. Look at each call in the Temporal UI:")
    screen.say(temporal_ui(settings))
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def example() -> Path:
    """The project that is reviewed.

    Raises:
        NotFound: this is an installation without the examples.
    """
    project = Path(__file__).parent.parent / PROJECT
    if not project.is_dir():
        raise NotFound(f"the demo needs {project}: it comes with a clone of holdfast; run it there")
    return project


def seed(settings: Settings, project: Path) -> Path:
    """A fresh copy of the example in the workspace that tasks of the tenant `default` share."""
    workspace = settings.workspaces / "default" / "default"
    shutil.rmtree(workspace, ignore_errors=True)
    shutil.copytree(project, workspace / PROJECT, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    return workspace
