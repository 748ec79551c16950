"""The start-up probe: isolation is believed when a real box has been tried, not when a binary was found."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import NoIsolation, shown
from sandbox.base import Adapter, Box, BoxLimits, BoxLost, BoxSpec, Probe, ProtocolViolation
from sandbox.bwrap import ENVIRONMENT
from sandbox.channel import Channel
from sandbox.lockdown import lockdown

ESCAPES = Path(__file__).with_name("escapes.py")
HOST_FILES = ("/etc/passwd", "/etc/hostname", "/proc/self/environ", "/proc/1")
_SECONDS = 30.0
_GOOD_RESULT = sum(n * n for n in range(10))

_KNOWN = {*ENVIRONMENT, "PWD"}

_passed: dict[Hashable, Probe] = {}


async def remembered(key: Hashable, probe: Callable[[], Awaitable[Probe]]) -> Probe:
    """A pass holds for this process. A failure is tried again: whoever mends the machine need not restart us."""
    if key not in _passed:
        found = await probe()
        if not found.ok:
            return found
        _passed[key] = found
    return _passed[key]


async def try_to_escape(
    adapter: Adapter, host_files: Sequence[str] = HOST_FILES, conceded: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Start a box, try to get out of it, run a good program; returns what was found to hold.

    `host_files` are paths that no box of this adapter may see; `conceded` are attempts that it does not claim to stop.

    Raises:
        NoIsolation: something got out, or the good program failed.
        BoxLost: there was no box to get out of.
    """
    box = await adapter.start(BoxSpec(name="probe", guest=ESCAPES))
    try:
        async with asyncio.timeout(_SECONDS):
            report = await _report(box, host_files)
    except (TimeoutError, ProtocolViolation) as exc:
        raise BoxLost(f"the probe of sandbox {adapter.name!r} did not end well: {shown(str(exc))}") from exc
    finally:
        await box.kill()
    return _judged(adapter.name, report, conceded)


async def _report(box: Box, host_files: Sequence[str]) -> dict[str, Any]:
    channel = Channel(box)
    await channel.ready(_SECONDS)
    await channel.send({"t": "job", "host_files": list(host_files), **lockdown(BoxLimits())})
    report = await channel.receive()
    if report is None:
        raise BoxLost(f"the probe ended with {box.exit_code}; it wrote {shown(box.noise)}")
    return report


def _judged(name: str, report: dict[str, Any], conceded: frozenset[str]) -> tuple[str, ...]:
    seen = [f"see ${name}" for name in sorted(set(report["environment"]) - _KNOWN)]
    if could := [*sorted(set(report["escaped"]) - conceded), *seen]:
        raise NoIsolation(f"a program in sandbox {name!r} could: {', '.join(could)}")
    if report["result"] != _GOOD_RESULT:
        raise NoIsolation(f"a good program in sandbox {name!r} answered {shown(report['result'])}, not {_GOOD_RESULT}")
    return tuple(f"cannot {attempt}" for attempt in report["held"])
