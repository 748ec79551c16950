"""What the check of a program's calls costs before a run."""

import resource
import statistics
import time
from collections.abc import Callable

import pytest

from holdfast.catalogue import BUILTIN, load
from holdfast.source import check, normalise
from holdfast.typecheck import check_calls
from tests.support.stack import ROOT

pytestmark = pytest.mark.slow


def test_checking_the_calls_of_a_program_costs_less_than_a_tenth_of_a_second(say: Callable[[str], None]) -> None:
    skills = list(load(ROOT / "tests/support/project", BUILTIN).catalogue.skills.values())
    source = normalise((ROOT / "examples/inventory.review.py").read_text())
    assert check(source, [skill.name for skill in skills]) == []
    walls, works = [], []
    for _ in range(20):
        began, worked = time.perf_counter(), work()
        assert check_calls(source, skills) == []
        walls.append((time.perf_counter() - began) * 1000)
        works.append((work() - worked) * 1000)
    wall, cpu = statistics.median(walls), statistics.median(works)
    say(f"check of {len(source.source.splitlines())} lines: median {wall:.0f} ms, of the processors {cpu:.0f} ms")
    assert cpu < 100


def work() -> float:
    """Seconds of processors, ours and those of processes that ended: a loaded machine does not lengthen them."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
