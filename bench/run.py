"""The parts of a bench in their order, and what is printed and written of them."""

import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench import channels, goals, growth, recovery, registry, report, site, venvs, workloads
from bench.engines import Engine
from bench.measure import measure
from bench.ours import Holdfast, Shared
from bench.peers import OnTemporal
from bench.profile import profiled
from bench.site import Site
from holdfast.config import Settings
from holdfast.temporal import binary

PARTS = ("walls", "growth", "recovery", "profile", "channels")
_SIZES = {"W1": 1, "W2": 10, "W3": 20, "W4": 10, "W5": 3}
_TOOLS = {"split": "lookup", "fused": "lookup", "activity": "lookup_activity"}


async def quick() -> None:
    """Seconds: shows that it works, and nothing about how fast anything is."""
    engines = registry.every(quick=True)
    async with site.opened() as here, started(here, engines):
        tables = [await measure(here, engines, workload) for workload in workloads.QUICK]
    _say(*map(report.wall, tables), report.goals(list(goals.of_walls(tables))))


async def profile(workload: str, agent: str, latency_ms: int, runs: int) -> None:
    engine = Holdfast(f"holdfast, {agent}", Shared(), agent, _TOOLS[agent])
    async with site.opened() as here, started(here, [engine]):
        _say(await profiled(engine, workload, _SIZES[workload], runs, latency_ms))


async def full(parts: Sequence[str], kills: int, write: bool) -> None:
    """All parts asked for; with `write`, docs/performance.md is made of them."""
    began = time.monotonic()
    if "walls" in parts:
        venvs.prepare()
    texts: dict[str, str] = dict.fromkeys(PARTS, "")
    found: list[goals.Goal] = []
    async with site.opened() as here:
        steps = {
            "walls": lambda: _walls(here, found),
            "growth": lambda: _growth(here, found),
            "recovery": lambda: _recovery(here, found, kills),
            "profile": lambda: _profiles(here),
            "channels": lambda: _channels(here, kills),
        }
        for part in parts:
            texts[part] = await steps[part]()
            _say(texts[part])
    texts["goals"] = report.goals(found) if found else ""
    texts["machine"] = report.machine(await binary.find(Settings.load()))
    texts["minutes"] = f"{(time.monotonic() - began) / 60:.0f}"
    _say(texts["goals"], texts["machine"])
    if write:
        report.DOCUMENT.write_text(report.filled(report.TEMPLATE.read_text(), texts))


async def _walls(here: Site, found: list[goals.Goal]) -> str:
    engines = registry.every()
    async with started(here, engines):
        tables = []
        for workload in workloads.ALL:
            _note(f"{workload.name}, n={workload.n}, {workload.latency_ms} ms")
            tables.append(await measure(here, engines, workload))
    found += goals.of_walls(tables)
    return "\n".join(map(report.wall, tables))


async def _growth(here: Site, found: list[goals.Goal]) -> str:
    shared = Shared()
    engines: list[Engine] = [
        Holdfast("holdfast, in a row", shared),
        Holdfast("holdfast, in gathers", shared, dialect="gather"),
        Holdfast("holdfast, activities in a row", shared, "activity", "lookup_activity"),
        Holdfast("holdfast, activities in gathers", shared, "activity", "lookup_activity", "gather"),
        OnTemporal("raw_ptc, in a row", "raw", dialect="plain", env=registry.TUNED, task_timeout_s=2),
    ]
    async with started(here, engines):
        grown = []
        for engine in engines:
            _note(f"growth of {engine.name}")
            grown.append(await growth.grow(engine))
    found += goals.of_growth(grown)
    return report.growth(grown)


async def _recovery(here: Site, found: list[goals.Goal], kills: int) -> str:
    """One engine at a time: a worker that is killed must not starve another one's run."""
    shared = Shared()
    engines: list[Engine] = [
        OnTemporal("raw_ptc", "raw", dialect="plain", env=registry.TUNED, task_timeout_s=2),
        Holdfast("holdfast", shared),
        Holdfast("holdfast, activities", shared, "activity", "lookup_activity"),
    ]
    recovered = []
    async with started(here, engines):
        for engine in engines:
            _note(f"{kills} kills of {engine.name}")
            recovered.append(await recovery.recover(here, engine, kills))
    found += goals.of_recovery(recovered)
    return report.recovery(recovered)


async def _profiles(here: Site) -> str:
    engine = Holdfast("holdfast", Shared())
    async with started(here, [engine]):
        _note("profiles")
        return "\n".join([await profiled(engine, name, _SIZES[name], 15) for name in ("W1", "W2", "W4")])


async def _channels(here: Site, kills: int) -> str:
    _note("channels")
    return await channels.measured(here, kills)


@asynccontextmanager
async def started(here: Site, engines: Sequence[Engine]) -> AsyncIterator[None]:
    """Their workers are up within, one after the other, and stopped at the end."""
    up: list[Engine] = []
    try:
        for engine in engines:
            up.append(engine)
            await engine.start(here)
        yield
    finally:
        for engine in reversed(up):
            await engine.stop()


def _note(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _say(*texts: str) -> None:
    print("\n".join(texts), flush=True)
