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

# The first test of an adapter runs all of its programs.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUNS = ("local", "docker", "landlock")

reports: dict[str, Report] = {}


def report_of(run: str, request: pytest.FixtureRequest, say: Callable[[str], None]) -> Report:
    """All programs are run at once, by the first test that asks."""
    if is_absent(run):
        pytest.skip(f"{WITHOUT} says that {run} is absent here")
    if run not in reports:
        reports[run] = sharing_a_user(run) if run == "landlock" and os.geteuid() == 0 else by_this_user(run, request)
        say(f"contained by {run}: {sum(not why for why in reports[run].values())}/{len(reports[run])}")
    return reports[run]


def by_this_user(name: str, request: pytest.FixtureRequest) -> Report:
    return asyncio.run(containment.containment(PLACES[name](request)))


def sharing_a_user(name: str) -> Report:
    """As an unprivileged worker, whose boxes have its own uid, and so the most to reach."""
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
    known = {"secrets", "paths", "network", "kernel", "exhaustion", "life", "channel", "tricks", "frames", "machinery"}
    assert kinds == known
