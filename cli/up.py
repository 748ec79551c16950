"""`up`: everything on this machine, in one terminal."""

import asyncio
import os
import signal
import sys
from typing import Any

from cli import model, screen
from cli.client import Client
from cli.flags import is_open, temporal_ui
from cli.stack import Stack, running
from holdfast import __version__
from holdfast.config import Settings
from holdfast.errors import HoldfastError


def up(settings: Settings, workers: int, json_logs: bool) -> None:
    """Run until SIGINT or SIGTERM, drain, and end with 0. Never returns: see `leave`."""
    leave(asyncio.run(_guarded(settings, workers, json_logs)))


def leave(code: int) -> None:
    """End this process now. Temporal's SDK aborts at interpreter exit in 3 of 20 short runs."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _guarded(settings: Settings, workers: int, json_logs: bool) -> int:
    cancel_on_signals("\nstopping: what runs is finished first; tasks continue at the next start")
    try:
        await _up(Stack(settings, workers, screen.say, "json" if json_logs else "text"))
    except asyncio.CancelledError:
        screen.say("stopped")
    except HoldfastError as exc:
        screen.fail(exc)
        return screen.exit_code(exc)
    return 0


async def _up(stack: Stack) -> None:
    screen.say(f"holdfast {__version__:<24} data in {stack.settings.home}", "bold")
    async with running(stack) as watch:
        _told(stack)
        await watch


def cancel_on_signals(words: str) -> None:
    """The first SIGINT or SIGTERM says `words` and cancels the running asyncio task; later ones change nothing."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: screen.say("still stopping", "dim"))
        screen.say(words)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _told(stack: Stack) -> None:
    settings = stack.settings
    with Client(settings) as client:
        skills, workers = client.skills(), client.workers()
    note = "started, history kept" if stack.temporal else "was running already, not ours to stop"
    screen.ok("Temporal server", settings.temporal_address, note)
    screen.ok("worker", _worker_line(stack, workers, len(skills)))
    screen.ok("API", settings.url)
    model.say(settings, workers)
    if is_open(settings):
        place = f"{settings.host}:{settings.port}"
        screen.warn("open door", f"anyone who reaches {place} can run code here", "unset HOLDFAST_OPEN, set API_KEY")
    _try_it(settings)


def _worker_line(stack: Stack, rows: list[dict[str, Any]], skills: int) -> str:
    ours = [row for row in rows if any(f":{worker.pid}:" in row["id"] for worker in stack.workers)]
    queues = sorted({queue for row in ours for queue in row["queues"]})
    adapters = sorted({adapter["isolation"].partition(":")[0] for row in ours for adapter in row["adapters"]})
    many = f"{len(stack.workers)} processes, " if len(stack.workers) > 1 else ""
    return f"{many}{len(queues)} task queues, {skills} skills, sandbox: {', '.join(adapters) or 'none'}"


def _try_it(settings: Settings) -> None:
    there = (settings.project / "examples" / "inventory").is_dir()
    screen.say("\nTry it:")
    screen.say(
        f'  holdfast run "Review {"examples/inventory" if there else "."} for bugs and security problems"', "bold"
    )
    screen.say("\nTemporal UI:")
    screen.say(temporal_ui(settings))
    screen.say("\nCtrl-C stops everything; running tasks continue at the next start.", "dim")
