"""Every sandbox adapter does the same: one suite over all of them, as root and as nobody."""

import asyncio
import os
from collections.abc import Callable

import pytest

from sandbox import interpreter
from tests.support.conformance import ALSO_UNPRIVILEGED, NOBODY, PLACES, Report, as_nobody, conformance
from tests.support.conformance_checks import CHECKS
from tests.support.dockerd import WITHOUT, is_absent

# The first test of an adapter runs all of its checks.
pytestmark = pytest.mark.timeout(300)

RUNS = [*PLACES, *(f"{name} unprivileged" for name in ALSO_UNPRIVILEGED)]

reports: dict[str, Report] = {}


def report_of(run: str, request: pytest.FixtureRequest, say: Callable[[str], None]) -> Report:
    """All checks of an adapter are run at once, by the first test that asks."""
    name, _, unprivileged = run.partition(" ")
    if is_absent(name):
        pytest.skip(f"{WITHOUT} says that {name} is absent here")
    if run not in reports:
        reports[run] = as_nobody(name, python_for_nobody()) if unprivileged else in_this_process(name, request)
        passed = sum(not why for why in reports[run].values())
        say(f"conformance: {run} {passed}/{len(reports[run])}")
    return reports[run]


def in_this_process(name: str, request: pytest.FixtureRequest) -> Report:
    return asyncio.run(conformance(PLACES[name](request)))


def python_for_nobody() -> str:
    if os.geteuid() != 0:
        pytest.skip("we are unprivileged: the run without that word has shown it")
    return asyncio.run(interpreter.find(None, NOBODY)).path


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("run", RUNS)
def test_an_adapter_conforms(run, check, request, say):
    why = report_of(run, request, say)[check]
    assert not why, why
