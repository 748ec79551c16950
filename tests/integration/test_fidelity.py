"""The standard library in a box: 25 ordinary programs give what they give in plain CPython, the same interpreter."""

import asyncio
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.interpreter import find
from tests.support.box_programs import run
from tests.support.boxes import ADAPTER
from tests.support.guest_host import echo

SUPPORT = Path(__file__).parents[1] / "support"
SHIM = SUPPORT / "shim.py"
PROGRAMS = sorted((SUPPORT / "ordinary").glob("*.py"))
"""None prints what differs from run to run: the time, a path, an address."""


@dataclass(frozen=True)
class Plain:
    """What a program printed and left in `result` outside of any box."""

    printed: str
    result: object


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter of the boxes."""
    return asyncio.run(find(None, None)).path


def plain(python: str, source: str, folder: Path) -> Plain:
    """Run it outside of any box, with a shim for `skills`."""
    program, result = folder / "program.py", folder / "result.json"
    program.write_text(source, "utf-8")
    fixed = {"PYTHONHASHSEED": "0", "TZ": "UTC", "LANG": "C.UTF-8", "USER": "program"}
    environment = {**fixed, "HOME": str(folder), "TMPDIR": str(folder)}
    options = ["-s", "-P", "-S", "-X", "utf8"]
    command = [python, *options, str(SHIM), str(program), str(result)]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return Plain(done.stdout + done.stderr, json.loads(result.read_text("utf-8")))


def test_there_are_25_programs() -> None:
    assert len(PROGRAMS) >= 25


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
async def test_an_ordinary_program_does_in_a_box_what_it_does_in_plain_cpython(
    python: str, program: Path, tmp_path: Path
) -> None:
    source = program.read_text("utf-8")
    expected = plain(python, source, tmp_path)
    ended = await run(ADAPTER, source, echo)
    assert ended.error == ""
    assert ended.printed == expected.printed
    assert ended.result == expected.result
