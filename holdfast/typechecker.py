"""The type checker `ty` as a process: a program and its stubs in, findings out. It never runs the program.

It is a help, not a gate: where it is missing, slow or breaks, there are no findings, and the log says so once.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from holdfast.log import get_logger

SECONDS = 2.0
"""A program takes 0.05 s, the very first one more; a text made to be slow shall not hold up those behind it."""

_MEMORY_BYTES = 2 << 30
_REMEMBERED = 16
_OPTIONS = ("check", "--output-format", "concise", "--python-version", "3.11", "--exit-zero", "--color", "never")
_ROW = re.compile(r"^program\.py:(\d+):(\d+): \w+\[([\w-]+)\] (.*)$", re.MULTILINE)

log = get_logger(__name__)


@dataclass(frozen=True)
class Finding:
    """Line and column (in characters) count from 1. `rule` is ty's name for the kind of finding."""

    line: int
    column: int
    rule: str
    message: str


def findings(program: str, stubs: Mapping[str, str]) -> list[Finding]:
    """All that ty says of a program beside these stub files (`skills.pyi`: its text)."""
    try:
        said = _said(program, tuple(stubs.items()))
    except (ImportError, OSError, subprocess.SubprocessError) as exc:
        _say_once(str(exc))
        return []
    return [Finding(int(line), int(column), rule, text) for line, column, rule, text in _ROW.findall(said)]


@lru_cache(maxsize=_REMEMBERED)
def _said(program: str, stubs: tuple[tuple[str, str], ...]) -> str:
    """One program sent by the hundred, with other inputs, is checked once."""
    return _run(program, dict(stubs))


def _run(program: str, stubs: Mapping[str, str]) -> str:
    from ty import find_ty_bin

    with tempfile.TemporaryDirectory(prefix="holdfast-types-") as name:
        folder = Path(name)
        for file, text in {**stubs, "program.py": program}.items():
            (folder / file).write_bytes(text.encode())
        command = [find_ty_bin(), *_OPTIONS, "program.py"]
        with subprocess.Popen(
            command,
            cwd=folder,
            env={"TY_MAX_PARALLELISM": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            return _output(process)


def _output(process: subprocess.Popen[bytes]) -> str:
    try:
        _bound(process.pid)
        out, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        raise subprocess.SubprocessError(f"ty ended with {process.returncode}")
    return out.decode("utf-8", "replace")


def _bound(pid: int) -> None:
    if sys.platform == "linux":
        import resource

        resource.prlimit(pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


@cache
def _say_once(why: str) -> None:
    log.warning("typecheck.skipped", why=why)
