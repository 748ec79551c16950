"""`chaos`: a mix of tasks under faults of every kind, and the verdict."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from cli import screen
from cli.up import cancel_on_signals, leave
from holdfast.config import Settings
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from chaos.run import Options


def chaos(
    settings: Settings,
    seconds: float,
    kills: int | None,
    seed: int,
    scenarios: list[str],
    faults: list[str],
    json: Path | None,
) -> None:
    """Exit code 0 if every promise held, 1 if not. Never returns: see `up.leave`."""
    from chaos.run import Options

    options = Options(seconds=seconds, seed=seed, kills=kills, scenarios=scenarios, kinds=faults, json=json)
    leave(asyncio.run(_guarded(settings, options)))


async def _guarded(settings: Settings, options: "Options") -> int:
    from chaos.run import run

    cancel_on_signals("\nstopping")
    screen.say(f"holdfast chaos --seed {options.seed}", "bold")
    try:
        holds = await run(settings, options, lambda text: screen.say(f"  {text}", "dim"))
    except asyncio.CancelledError:
        return screen.INTERRUPTED
    except HoldfastError as exc:
        screen.fail(exc)
        return screen.exit_code(exc)
    return 0 if holds else screen.FAILED
