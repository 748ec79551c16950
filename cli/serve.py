"""`worker` and `serve`: the processes that `up` starts, also on their own."""

import ctypes
import os
import signal
import sys

from cli.up import leave
from holdfast import log
from holdfast.config import Settings
from holdfast.contracts.program import QUEUE_AGENTS, QUEUE_LLM, QUEUE_SANDBOX, QUEUE_SKILLS
from holdfast.errors import UserError

QUEUES = (QUEUE_AGENTS, QUEUE_LLM, QUEUE_SKILLS, QUEUE_SANDBOX)
_PR_SET_PDEATHSIG = 1


def worker(settings: Settings, queues: str, parent: int | None) -> None:
    """Serve task queues until SIGTERM or SIGINT; what runs is drained first."""
    import worker as program

    chosen = _queues(queues)
    _tie_to(parent)
    leave(program.main(settings, chosen))


def api(settings: Settings, parent: int | None) -> None:
    """Serve HTTP until SIGTERM or SIGINT."""
    from api.server import serve

    _tie_to(parent)
    log.configure("api", settings.log_level, settings.log_format)
    serve(settings)


def _queues(text: str) -> list[str]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in QUEUES]
    if unknown or not chosen:
        raise UserError(f"--queues {text!r}: no queue {', '.join(unknown) or 'given'}; known: {', '.join(QUEUES)}")
    return chosen


def _tie_to(parent: int | None) -> None:
    """End by SIGTERM when the process that started us dies, however it dies. Only Linux can do that."""
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)
