"""Hostile programs in real boxes, judged from outside: nothing comes out, nothing is changed, nothing is left."""

import asyncio
import os
from collections.abc import Callable

import pytest

from sandbox import interpreter
from tests.support import containment
from tests.support.conformance import NOBODY, PLACES, Report, as_nobody
from tests.support.dockerd import WITHOUT, is_absent
from tests.support.hostile import PROGRAMS

pytestmark = pytest.mark.slow

RUNS = ("local", "docker", "landlock", "landlock unprivileged")
"""The last shares its user with the worker, and so has the most to reach."""

reports: dict[str, Report] = {}


def report_of(run: str, request: pytest.FixtureRequest, say: Callable[[str], None]) -> Report:
    """All programs are run at once, by the first test that asks."""
    name, _, unprivileged = run.partition(" ")
    if is_absent(name):
        pytest.skip(f"{WITHOUT} says that {name} is absent here")
    if run not in reports:
        reports[run] = as_somebody_else(name) if unprivileged else in_this_process(name, request)
        say(f"contained by {run}: {sum(not why for why in reports[run].values())}/{len(reports[run])}")
    return reports[run]


def in_this_process(name: str, request: pytest.FixtureRequest) -> Report:
    return asyncio.run(containment.containment(PLACES[name](request)))


def as_somebody_else(name: str) -> Report:
    if os.geteuid() != 0:
        pytest.skip("we are unprivileged: the run without that word has shown it")
    return as_nobody(name, asyncio.run(interpreter.find(None, NOBODY)).path, containment.__name__)


@pytest.mark.parametrize("program", [*PROGRAMS, containment.NOTHING_LEFT])
@pytest.mark.parametrize("run", RUNS)
def test_a_hostile_program_is_contained(run, program, request, say):
    """But for what docs/security.md concedes to landlock, which is asserted to be as it says."""
    why = report_of(run, request, say)[program]
    assert not why, why


def test_all_kinds_of_hostile_programs_are_tried():
    assert len(PROGRAMS) >= 60
    kinds = {name.partition(":")[0] for name in PROGRAMS}
    assert kinds == {"secrets", "paths", "network", "kernel", "exhaustion", "life", "channel"}
