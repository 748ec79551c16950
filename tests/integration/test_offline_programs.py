"""Offline programs in the real box, over real files: their reports name the flaws that are planted there."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from holdfast.catalogue import BUILTIN, load
from holdfast.contracts.program import ProgramResult
from providers.offline.choose import choose
from providers.offline.program import write
from tests.support.builtin import SHOP
from tests.support.offline_skills import put_skill, skills
from tests.support.stack import Stack

LINE = "model: offline (no language model was used; skills were chosen by word match)"
PLACE = "offline ä/inventory"


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Path:
    """A copy of the example in the workspace."""
    folder = stack.home / "workspaces" / "default" / "default" / PLACE
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


async def run(stack: Stack, client: Client, task: str, careful: bool = False) -> tuple[str, ProgramResult]:
    """The report, and how the program ended."""
    found = load(stack.project, BUILTIN).catalogue
    choice = choose(task, tuple(found.skills.values()))
    result = await stack.run(client, write(choice, careful), skills=choice.names)
    assert result.state == "DONE", result.error
    report: Any = stack.value(result)
    assert report.splitlines()[0] == LINE
    return report, result


@pytest.mark.parametrize("careful", [False, True])
async def test_a_review_names_the_planted_bugs_and_security_problems(
    stack: Stack, client: Client, shop: Path, careful: bool
) -> None:
    report, result = await run(stack, client, f"Review '{PLACE}' for bugs and security problems", careful)
    assert 15 <= result.calls <= 30
    for flaw in (
        "line 45, warning: Do not use mutable data structures for argument defaults (B006)",
        "line 31, warning: Do not catch blind exception: `Exception` (BLE001)",
        "try-except-pass",
        "`os` imported but unused (F401)",
        "Split 'discount' (line 10): its complexity is 24",
        f"Urgent: `{PLACE}/shop/store.py:49` Possible SQL injection",
        f"**Secret Keyword** in `{PLACE}/shop/suppliers.py:8`",
        "Security: 2 high, 1 medium, 1 low; 1 leaked key or password; 16 files scanned",
        "12 of 12 files",
    ):
        assert flaw.replace("try-except-pass", "`try`-`except`-`pass` detected") in report
    assert "c0ffee" not in report


async def test_data_is_profiled_row_by_row(stack: Stack, client: Client, shop: Path) -> None:
    report, result = await run(stack, client, f"Check the data quality of '{PLACE}/data'")
    assert result.calls == 4
    for flaw in (
        "Data: 15 problems in 87 rows of 3 files",
        "- row 16, column `stock`: 'zwölf' is no number",
        "- row 40, column `day`: '2026-02-30' is no date",
        "- row 2, column `minimum`: is a string",
    ):
        assert flaw in report


async def test_places_that_are_not_there_are_told_and_cost_only_themselves(
    stack: Stack, client: Client, shop: Path
) -> None:
    report, _ = await run(stack, client, f"Review '{PLACE}/shop/pricing.py' and 'nowhere/at all.py'")
    assert "`discount` is too complex" in report
    assert "## Not looked at\n\n- `nowhere/at all.py`" in report
    report, _ = await run(stack, client, "Review nowhere/folder for bugs and security problems")
    assert "- `nowhere/folder`:" in report


async def test_a_text_is_found_and_the_report_is_saved(stack: Stack, client: Client, shop: Path) -> None:
    report, _ = await run(stack, client, f"Find 'float(' in '{PLACE}/shop' and save the result to 'offline ä/found.md'")
    assert f"`{PLACE}/shop/pricing.py:49` | `return float(amount)`" in report
    assert "`offline ä/found.md` was written" in report
    assert (shop.parent / "found.md").read_text().startswith(LINE)


async def test_files_are_listed_and_read(stack: Stack, client: Client, shop: Path) -> None:
    report, _ = await run(stack, client, f"List all Python files in '{PLACE}/'")
    assert "12 files" in report
    assert f"`{PLACE}/shop/cli.py`" in report
    assert "README.md" not in report
    report, _ = await run(stack, client, f"Read '{PLACE}/README.md'")
    assert "# Corner shop inventory" in report


async def test_a_text_that_tries_to_break_out_is_searched_for(stack: Stack, client: Client, shop: Path) -> None:
    text = "'); raise SystemExit(3) #\\"
    report, _ = await run(stack, client, f"Find “{text}” in '{PLACE}/shop'")
    assert "0 lines in 0 of 10 files" in report


async def test_a_projects_own_skill_is_called(stack: Stack, client: Client) -> None:
    report, result = await run(stack, client, "Echo i=7 tag='durable words'")
    assert result.calls == 1
    assert "- i: 7" in report


ECHOES = """
name: twice
version: 1.0.0
description: Does something two times.
effect: pure
input_schema: {type: object}
examples:
  - why: Say it twice
    program: |
      import asyncio
      result = await asyncio.gather(skills.echo(i=1), skills.echo(i=2))
"""


async def test_an_example_that_is_a_program_runs_and_its_result_is_reported(
    stack: Stack, client: Client, tmp_path: Path
) -> None:
    put_skill(tmp_path, "twice", ECHOES, "def run():\n    return 1\n")
    source = write(choose("Say it twice", skills(tmp_path)))
    result = await stack.run(client, source, skills=["echo"])
    assert (result.state, result.calls) == ("DONE", 2)
    report = stack.value(result)
    assert report.startswith(LINE)
    assert "- i: 1; pad: \n- i: 2" in report
