"""What is asked of every engine, and the one tool there is. Imported by the workers of all engines: stdlib only."""

import asyncio
import dataclasses
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

Dialect = Literal["loop", "plain", "gather", "monty", "smol"]
"""How the stub has its tool called: one tool call a reply (`loop`), or by a program. `plain` programs call a bare
function, `gather` ten at once, `monty` is CodeMode's Python, `smol` ends in `final_answer`."""

ANSWER_BYTES = 200
SYSTEM = (
    "You are a careful assistant. Use the tools that you are given to look items up, one call per item, "
    "never guess a value, and finish with one short line that states the sum of all the values. "
)
TOOL_DOC = "Look up one item by its key and return its record."
LOOKUP_SPEC: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": TOOL_DOC,
        "parameters": {
            "type": "object",
            "properties": {"key": {"type": "string"}},
            "required": ["key"],
            "additionalProperties": False,
        },
    },
}
DELEGATE_SPEC: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "delegate",
        "description": "Give a task to another agent and return its answer.",
        "parameters": {
            "type": "object",
            "properties": {"task": {"type": "string"}},
            "required": ["task"],
            "additionalProperties": False,
        },
    },
}
_MARK = re.compile(
    r"\[\[BENCH run=(?P<run>\S+) workload=(?P<workload>\w+) n=(?P<n>\d+) latency_ms=(?P<latency_ms>\d+) "
    r"sleep_ms=(?P<sleep_ms>\d+) dialect=(?P<dialect>\w+) tool=(?P<tool>\w+) first=(?P<first>\d+)\]\]"
)


@dataclass(frozen=True)
class Task:
    """One run. The stub reads all of it from the prompt, so it needs no state, and a request that is repeated gets
    the same reply. `latency_ms` is the model's, `sleep_ms` the tool's; `n` the number of lookups, from item `first` on.
    """

    run: str
    workload: str = "W1"
    n: int = 1
    latency_ms: int = 0
    sleep_ms: int = 0
    dialect: Dialect = "loop"
    tool: str = "lookup"
    first: int = 0

    @property
    def prompt(self) -> str:
        fields = " ".join(f"{name}={value}" for name, value in dataclasses.asdict(self).items())
        return f"[[BENCH {fields}]] Look up all the items and report the sum of their values."

    @property
    def expected(self) -> str:
        return "ANSWER 42" if self.workload == "W1" else f"ANSWER {sum(value(i) for i in range(self.n))}"

    def shares(self) -> list[str]:
        """Its prompts for as many agents as it has lookups."""
        return [replace(self, workload="W2", n=1, dialect="loop", first=i).prompt for i in range(self.n)]

    def key(self, i: int) -> str:
        return f"{self.run}/{i}/{self.sleep_ms}"

    @classmethod
    def found_in(cls, text: str) -> "Task | None":
        if (found := _MARK.search(text)) is None:
            return None
        fields: dict[str, Any] = found.groupdict()
        return cls(**fields | {name: int(fields[name]) for name in ("n", "latency_ms", "sleep_ms", "first")})


def value(i: int) -> int:
    return i * 7 + 3


async def lookup(key: str) -> dict[str, Any]:
    """The tool. It is counted where it starts: its effect stands at its beginning, as that of a POST would."""
    i, pause_s = _begun(key, Path(os.environ["BENCH_DIR"]))
    if pause_s:
        await asyncio.sleep(pause_s)
    return record(i)


def lookup_blocking(key: str, folder: Path | None = None) -> dict[str, Any]:
    """The same for engines whose tools block. `folder`: the scratch folder, where the environment is not to be had."""
    i, pause_s = _begun(key, folder or Path(os.environ["BENCH_DIR"]))
    if pause_s:
        time.sleep(pause_s)
    return record(i)


def record(i: int) -> dict[str, Any]:
    text = (f"lorem ipsum {i} " * 60)[:ANSWER_BYTES]
    return {"i": i, "value": value(i), "name": f"item-{i}", "text": text}


def _begun(key: str, folder: Path) -> tuple[int, float]:
    run, i, sleep_ms = key.split("/")
    with (folder / "tools" / f"{run}.log").open("ab", buffering=0) as log:
        log.write(f"{i} {time.time():.6f}\n".encode())
    return int(i), int(sleep_ms) / 1000


def starts(folder: Path, run: str) -> list[tuple[int, float]]:
    """Every start of the tool in a run: item, and time since the epoch."""
    path = folder / "tools" / f"{run}.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), float(line.split()[1])) for line in lines]
