"""`make bench` itself: the whole way, with few rounds."""

import subprocess
import sys

import pytest

from tests.support.stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_quick_bench_measures_ours_beside_a_bare_workflow_and_its_copy() -> None:
    command = [sys.executable, "-m", "bench", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line[:1] == "|"
    ]
    for workload, events in (("W1", 11), ("W2", 47), ("W3", 29), ("W4", 47)):
        assert f"#### {workload}" in done.stdout
        assert any(row[0] == "raw" and row[-1] == str(events) for row in rows), rows
    assert "#### W5" in done.stdout
    for engine in ("raw_again", "holdfast"):
        measured = [row for row in rows if row[0] == engine]
        assert len(measured) == 5, rows
        assert all(float(row[1]) > 0 and "[" in row[2] for row in measured)
    assert any(row[0] == "W1 at 0 ms: holdfast <= 1.3 x raw" for row in rows), rows
