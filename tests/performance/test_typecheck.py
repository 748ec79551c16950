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


def test_calls_whose_text_shows_all_cost_a_fifth_of_that(say: Callable[[str], None]) -> None:
    skills = list(load(ROOT / "tests/support/project", BUILTIN).catalogue.skills.values())
    source = normalise("for i in range(9):\n    skills.read_file(path=f'a/{i}.txt', max_lines=20)\nresult = 1")
    costs = []
    for _ in range(20):
        worked = work()
        assert check_calls(source, skills) == []
        costs.append((work() - worked) * 1000)
    say(f"check of calls that are written out: median {statistics.median(costs):.1f} ms of the processors")
    assert statistics.median(costs) < 20


def work() -> float:
    """Seconds of processors, ours and those of processes that ended: a loaded machine does not lengthen them."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
