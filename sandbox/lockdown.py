"""What a guest does to itself before it runs a program: rlimits, then the second filter. The host says how, as data."""

import os
import re
from typing import Any

from sandbox.base import BoxLimits
from sandbox.seccomp import stage2

MEMORY_HEADROOM_BYTES = 128 << 20
"""Address space of the interpreter and the guest (103 MB measured), on top of what the program may use."""

_PROCESSES = 64


def lockdown(limits: BoxLimits) -> dict[str, Any]:
    """The keys `rlimits` and `filter` of a job frame."""
    rlimits = {
        "AS": limits.memory_bytes + MEMORY_HEADROOM_BYTES,
        "NOFILE": 128,
        "NPROC": _PROCESSES if _counts_per_namespace(os.uname().release) else 4096,
        "FSIZE": limits.disk_bytes,
        "CPU": limits.cpu_seconds,
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "STACK": 8 << 20,
    }
    return {"rlimits": rlimits, "filter": stage2().hex()}


def _counts_per_namespace(release: str) -> bool:
    """Linux before 5.14 counts all processes of the user on the machine, so a low NPROC would stop every thread."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is not None and (int(found[1]), int(found[2])) >= (5, 14)
