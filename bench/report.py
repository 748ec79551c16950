"""What was measured as Markdown, and docs/performance.md made of it."""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from bench.goals import Goal
from bench.growth import Growth
from bench.measure import Measured, Row
from bench.recovery import Recovery
from bench.site import ROOT
from bench.tables import table

TEMPLATE = ROOT / "bench" / "performance.md.in"
DOCUMENT = ROOT / "docs" / "performance.md"


def goals(found: Sequence[Goal]) -> str:
    rows = [[one.text, one.measured, "yes" if one.is_met else "**no**"] for one in found]
    return table(["goal", "measured", "met?"], rows)


def wall(measured: Measured) -> str:
    """One workload: a row an engine, ratios to `raw` with intervals of 95 %."""
    workload = measured.workload
    size = f", n={workload.n}" if workload.n > 1 else ""
    title = f"#### {workload.name}{size}: {workload.title}; the model takes {workload.latency_ms} ms\n"
    head = ["engine", "median ms", "x raw", "rounds", "LLM requests", "prompt tokens", "lookups"]
    head += ["CPU ms a run", "of the server", "worker MB", "stored bytes", "events or rows"]
    rows = [_row(name, row, measured) for name, row in measured.rows.items()]
    return f"{title}\n{table(head, rows)}"


def _row(name: str, row: Row, measured: Measured) -> list[str]:
    is_base = name == "raw"
    stored = [f"{row.stored.size_bytes}", f"{row.stored.records}"] if row.stored else ["-", "-"]
    return [
        name,
        f"{row.median_ms:.0f}" if row.median_ms >= 100 else f"{row.median_ms:.1f}",
        "1" if is_base else str(measured.ratio(name)),
        str(len(row.times_ms)),
        str(row.asked.requests),
        str(row.asked.size_bytes // 4),
        str(row.lookups),
        f"{statistics.mean(row.engine_cpu_ms):.0f}",
        f"{statistics.mean(row.server_cpu_ms):.0f}",
        f"{row.peak_mb:.0f}",
        *stored,
    ]


def growth(found: Sequence[Growth]) -> str:
    sizes = sorted(found[0].stored)
    head = ["", *(f"{n} calls: events / kB / s" for n in sizes)]
    head += ["exponent of bytes", "a call: events", "bytes", "ms"]
    rows = [
        [
            one.name,
            *(_grown(one, n) for n in sizes),
            f"{one.bytes_exponent:.2f}",
            f"{one.added('records'):.1f}",
            f"{one.added('size_bytes'):.0f}",
            f"{one.ms_a_call:.1f}",
        ]
        for one in found
    ]
    return table(head, rows)


def _grown(one: Growth, n: int) -> str:
    stored = one.stored[n]
    return f"{stored.records} / {stored.size_bytes / 1000:.0f} / {one.times_ms[n] / 1000:.2f}"


def recovery(found: Sequence[Recovery]) -> str:
    head = ["engine", "complete", "s without a kill", "boot s: median / worst", "lost less boot s: median / worst"]
    head += ["lookups repeated: all / worst", "LLM requests repeated: all / worst"]
    return table(head, [_recovered(one) for one in found])


def _recovered(one: Recovery) -> list[str]:
    again = [kill.lookups_repeated for kill in one.complete]
    asked = [kill.requests_repeated for kill in one.complete]
    boots = [kill.boot_s for kill in one.kills]
    return [
        one.name,
        f"{len(one.complete)} of {len(one.kills)}",
        f"{one.undisturbed_s:.2f}",
        f"{statistics.median(boots):.1f} / {max(boots):.1f}",
        f"{one.median_lost_s:.1f} / {one.worst_lost_s:.1f}" if one.complete else "-",
        f"{sum(again)} / {max(again, default=0)}",
        f"{sum(asked)} / {max(asked, default=0)}",
    ]


def machine(server: Path) -> str:
    """What it ran on, without names of hosts and paths."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"[Ss]erver\D*(\d+\.\d+\.\d+)", said)
    temporal = found[1] if found else said.strip()
    return (
        f"{cores} cores, {memory:.0f} GiB, {platform.system()} on {platform.machine()}, Python "
        f"{platform.python_version()}, temporalio {version('temporalio')}, Temporal {temporal} on SQLite"
    )


def filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with each `{{name}}` replaced.

    Raises:
        KeyError: a name without a part.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]].strip(), template)
