"""The port: what holdfast asks of a place that runs code it did not write, and how such a place is chosen.

A box is single-use: one guest, one program, then `kill`.
"""

import importlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

from holdfast.errors import HoldfastError, NoIsolation, shown

if TYPE_CHECKING:
    from holdfast.config import Settings

Cause = Literal["memory", "disk", "inodes", "output"]
"""Why *we* stopped a box. `disk` is for adapters whose workspace no kernel limit bounds."""

ENVIRONMENT = frozenset({"TRACE_ID"})
"""The only variables that may be added to a box: anything else could carry a secret."""

adapters: dict[str, str] = {
    "docker": "sandbox.docker:DockerAdapter",
    "landlock": "sandbox.landlock:LandlockAdapter",
    "local": "sandbox.local:LocalAdapter",
}
"""Setting `sandbox_type` -> where its adapter is. Imported when chosen: no adapter's SDK is needed by another."""


class ProtocolViolation(HoldfastError):
    """The guest's side of the channel broke its rules: a result for the program, never a reason to retry."""

    code = "PROTOCOL_VIOLATION"


class BoxLost(HoldfastError):
    """The box did not start, or died under us. Another one may do better."""

    code = "BOX_LOST"
    retryable = True


class MemoryShort(HoldfastError):
    """The machine has too little free memory to begin a box. Later, or on another machine, there may be more."""

    code = "MEMORY_SHORT"
    retryable = True


class ExportRefused(HoldfastError):
    """A file that the program wanted to hand out is no plain, small file of its own workspace."""

    code = "EXPORT_REFUSED"


@dataclass(frozen=True)
class BoxLimits:
    """Bounds of one box. `cpu_seconds` is a backstop; a program's own running time is counted by who runs it.

    `files_bytes` bounds what is exported at once: the host holds that in memory.
    """

    memory_bytes: int = 512 << 20
    disk_bytes: int = 32 << 20
    output_bytes: int = 8 << 20
    cpu_seconds: int = 31
    inodes: int = 10_000
    files_bytes: int = 64 << 20

    @property
    def export_bytes(self) -> int:
        return min(self.disk_bytes, self.files_bytes)


@dataclass(frozen=True)
class BoxSpec:
    """What a box is started with. `name` is for people (messages); nothing inside sees it.

    `guest` is a Python file of the standard library only; it becomes `/guest.py`. `inputs` is a folder that is
    mounted read-only at `/ws/in`; it must be readable by the user that the box runs as. `key` names an activity of a
    workflow: an adapter whose boxes could outlive their worker ends the box that an earlier attempt left.
    """

    name: str
    guest: Path
    limits: BoxLimits = field(default_factory=BoxLimits)
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: Path | None = None
    key: str = ""

    def __post_init__(self) -> None:
        if extra := sorted(set(self.environment) - ENVIRONMENT):
            raise ValueError(f"environment of a box: found {shown(extra)}; only {sorted(ENVIRONMENT)} may be set")


@dataclass(frozen=True)
class Probe:
    """What an adapter found on this machine. `problem` says what is wrong and how to mend it; empty if `ok`.

    `lacks_namespaces`: the problem is that user namespaces are blocked here.
    """

    ok: bool
    version: str = ""
    capabilities: tuple[str, ...] = ()
    problem: str = ""
    lacks_namespaces: bool = False


class Box(Protocol):
    """A started guest. Whoever started it must call `kill`, also after it ended by itself."""

    @property
    def cause(self) -> Cause | None:
        """Why we stopped it; None if we did not, or if `kill` was simply called."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs. A death by signal is 128 + its number."""

    @property
    def noise(self) -> str:
        """The last of what came out beside the channel: says why a guest did not start."""

    async def write(self, data: bytes) -> None:
        """
        Raises:
            BoxLost: the box is gone.
        """

    async def read(self) -> bytes:
        """Some bytes, at least one; b"" once the box has ended."""

    def count_output(self, size: int) -> None:
        """Count bytes that the program printed; above `output_bytes` the box is stopped with cause "output"."""

    async def kill(self) -> None:
        """End it. Returns when no process of it is left. May be called again, and at the same time."""

    async def export(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Contents of files below /ws, by path relative to it. All or nothing; valid until `kill`.

        Raises:
            ExportRefused: a path leaves /ws, a file is missing, not plain, a link, or they are too large or too many.
        """


class Adapter(Protocol):
    """A way to isolate. Made from the settings; making it does nothing yet.

    `stands_in_for` is the adapter that was wanted, if that did not pass its probe; else empty.
    """

    stands_in_for: str

    @property
    def name(self) -> str: ...

    @property
    def isolation(self) -> str:
        """One line for people: what stands between a program and the machine."""

    async def probe(self) -> Probe:
        """Start a real box, try to get out of it, and tell. A pass is remembered for the life of the process."""

    async def start(self, spec: BoxSpec) -> Box:
        """
        Raises:
            BoxLost: it did not start (nothing of it is left; the message holds what it said).
            NoIsolation: this machine lacks what the adapter needs.
        """


@runtime_checkable
class Warming(Protocol):
    """What an adapter has beside `Adapter` if its boxes can be up before it is known for which program."""

    def start_key(self, spec: BoxSpec) -> Hashable:
        """What of a spec its start depends on. A box that was started for one spec may serve any with the same key."""

    def assign(self, box: Box, spec: BoxSpec) -> None:
        """Let an idle box serve `spec`: name and limits of that hold from now on.

        Raises:
            BoxLost: it has ended meanwhile.
        """


async def choose(settings: "Settings") -> Adapter:
    """The adapter that the settings name, once it has passed its probe. There is no unisolated fallback.

    Where user namespaces are blocked, `landlock` stands in for `local`, unless the setting `sandbox_fallback` is off:
    it keeps less out, so it is logged as a warning, and its `isolation` says so wherever that is shown.

    Raises:
        NoIsolation: it did not pass; the message says what was found and what to do.
    """
    name = settings.sandbox_type
    adapter = load(name, settings)
    probe = await adapter.probe()
    if probe.ok:
        return adapter
    if probe.lacks_namespaces and settings.sandbox_fallback:
        from sandbox.stand_in import stand_in  # it logs: who chooses nothing needs no structlog

        return await stand_in(name, settings, probe)
    raise NoIsolation(f"sandbox {name!r} cannot isolate programs on this machine, so none are run. {probe.problem}")


def load(name: str, settings: "Settings") -> Adapter:
    """
    Raises:
        NoIsolation: no adapter has that name.
    """
    if name not in adapters:
        raise NoIsolation(f"no sandbox of type {shown(name)}; known: {', '.join(sorted(adapters))}. Set SANDBOX_TYPE")
    module, _, attribute = adapters[name].partition(":")
    return cast(Adapter, getattr(importlib.import_module(module), attribute)(settings))
