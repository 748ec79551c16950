"""`holdfast chaos`: every promise holds under faults of every kind, and a promise that is broken on purpose is named."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos.faults import KILLS

ROOT = Path(__file__).parents[2]
FIXED = 20261125

PLANTED = {
    "journal": ("scheduled", ["--scenario", "row", "--faults", "box", "--kills", "3"]),
    "key": ("asked", ["--scenario", "twice", "--faults", "none", "--seconds", "5"]),
    "once": ("once", ["--scenario", "once", "--faults", "once", "--kills", "3"]),
    "order": ("asked", ["--scenario", "race", "--faults", "box", "--kills", "4"]),
    "fence": ("zombie", ["--scenario", "march", "--faults", "stop", "--seconds", "14"]),
}
"""What is broken -> the promise that must be named, and the shortest run that shows it."""

MOST = ["--seconds", "240"]
"""Runs end with their kills: this is for a machine that does not come to them."""


def chaos(home: Path, *words: str, plant: str = "") -> tuple[int, dict[str, Any], str]:
    """Exit code, what `--json` wrote, and all that was printed."""
    report = home / "report.json"
    home.mkdir()
    module = "tests.support.plants" if plant else "cli.main"
    words = words if "--seconds" in words else (*words, *MOST)
    command = [sys.executable, "-m", module, "--home", str(home), "chaos", "--json", str(report), *words]
    environment = {**os.environ, "HOLDFAST_TEST_PLANT": plant}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert report.exists(), ran.stdout + ran.stderr
    return ran.returncode, json.loads(report.read_text()), ran.stdout


def broken(found: dict[str, Any]) -> set[str]:
    return {promise["name"] for promise in found["promises"] if not promise["holds"]}


@pytest.mark.slow
@pytest.mark.timeout(960)
@pytest.mark.parametrize(("kills", "seed"), [(20, FIXED), (15, None)], ids=["fixed", "random"])
def test_every_promise_holds_whatever_dies(
    tmp_path: Path, say: Callable[[str], None], kills: int, seed: int | None
) -> None:
    number = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    code, found, told = chaos(tmp_path / "home", "--kills", str(kills), "--seed", str(number))
    say(told)
    assert (code, broken(found)) == (0, set()), told
    assert sum(strike["kind"] in KILLS for strike in found["strikes"]) >= kills


@pytest.mark.slow
@pytest.mark.timeout(960)
@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_broken_on_purpose_is_found(tmp_path: Path, plant: str) -> None:
    promise, words = PLANTED[plant]
    code, found, told = chaos(tmp_path / "home", "--seed", "1", *words, plant=plant)
    assert code == 1 and promise in broken(found), told


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_the_same_scenarios_and_faults_break_nothing_by_themselves(tmp_path: Path) -> None:
    """Also not where workers hear late that they were overtaken, which the plant of the fence needs to be seen."""
    names = [word for name in ("row", "twice", "once", "race", "march") for word in ("--scenario", name)]
    kinds = [word for name in ("box", "once", "stop") for word in ("--faults", name)]
    code, found, told = chaos(tmp_path / "home", "--seed", "1", *names, *kinds, "--seconds", "30", plant="deaf")
    assert (code, broken(found)) == (0, set()), told
    assert {strike["kind"] for strike in found["strikes"]} == {"box", "worker", "stop"}
