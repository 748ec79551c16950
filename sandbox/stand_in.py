"""What isolates programs where user namespaces are blocked: less, and never silently."""

from typing import TYPE_CHECKING

import structlog

from holdfast.errors import NoIsolation
from sandbox.base import Adapter, Probe, load

if TYPE_CHECKING:
    from holdfast.config import Settings

STAND_IN = "landlock"

log = structlog.stdlib.get_logger(__name__)


async def stand_in(name: str, settings: "Settings", failed: Probe) -> Adapter:
    """
    Raises:
        NoIsolation: it does not pass its probe either.
    """
    adapter = load(STAND_IN, settings)
    adapter.stands_in_for = name
    probe = await adapter.probe()
    if not probe.ok:
        raise NoIsolation(
            f"sandbox {name!r} cannot isolate programs on this machine, nor can {STAND_IN!r} in its place, so none are "
            f"run. {name}: {failed.problem} {STAND_IN}: {probe.problem}"
        )
    log.warning("sandbox.downgraded", wanted=name, used=STAND_IN, problem=failed.problem, isolation=adapter.isolation)
    return adapter
