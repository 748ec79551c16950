"""The first hour's "Motia 7": the master reviews and audits a shop, with no model anywhere."""

import json
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import ROOT, project

pytestmark = pytest.mark.slow


@pytest.mark.timeout(240)
def test_the_master_shares_a_sentence_out_and_merges_two_reports_without_a_model(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples" / "inventory", tmp_path / "shop")
    with project(folder) as shop:
        shop.start_up()
        ran = shop.run("run", "--agent", "master", "Review this code and audit its security", seconds=180)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith("model: offline (no language model was used; agents were chosen by word match")
        reviewed, audited = ran.stdout.split("# security-auditor: Audit its security")
        assert "# code-reviewer: Review this code" in reviewed
        assert "`discount` is too complex" in reviewed
        assert "**Secret Keyword** in `shop/suppliers.py:8`" in audited
        [found] = re.findall(r"holdfast show ([0-9a-f-]{36})", ran.stderr)
        shown = shop.run("show", found).stdout
        assert re.search(r"├─ code-reviewer +agent code-reviewer +DONE", shown), shown
        assert re.search(r"└─ security-auditor +agent security-auditor +DONE", shown), shown
        task = json.loads(shop.run("show", found, "--json").stdout)
    children: list[dict[str, Any]] = task["subtasks"]
    begins = [datetime.fromisoformat(one["created_at"]) for one in children]
    ends = [datetime.fromisoformat(one["updated_at"]) for one in children]
    assert max(begins) < min(ends)
    assert [one["id"] for one in children] == [
        f"{found}/master-code-reviewer",
        f"{found}/master-security-auditor",
    ]
