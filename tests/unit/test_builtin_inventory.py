"""examples/inventory: what is planted there, which skill finds it, and what no checker can find.

Not planted for a checker, and found by reading only: `due` leaves out products at their reorder point, `sold_per_day`
counts 29 days as 28, two tills can get one number from `next_number`, and prices are binary fractions.
"""

import datetime
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.builtin import ROOT, SHOP, Desk
from tests.support.review import run_program
from tests.unit.test_builtin_skills import copy_of_shop

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def shop() -> Desk:
    return Desk(SHOP)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return copy_of_shop(tmp_path / "shop")


ISSUES = {
    "mutable default": ("shop/importer.py", "B006", "def read_movements(path, seen=[])"),
    "swallowed exception": ("shop/importer.py", "S110", "except Exception:"),
    "blind except": ("shop/importer.py", "BLE001", "except Exception:"),
    "over-complex function": ("shop/pricing.py", "C901", "def discount("),
    "too many branches": ("shop/pricing.py", "PLR0912", "def discount("),
    "unused import": ("shop/suppliers.py", "F401", "import os"),
}


@pytest.mark.parametrize("flaw", ISSUES)
def test_code_analysis_finds(shop: Desk, flaw: str) -> None:
    path, rule, line = ISSUES[flaw]
    found = [issue["line"] for issue in shop("code-analysis", path=path)["issues"] if issue["rule"] == rule]
    lines = (SHOP / path).read_text().splitlines()
    assert [lines[number - 1].strip().startswith(line) for number in found] == [True]


def test_security_scan_finds_the_injection_and_no_parametrised_query(shop: Desk) -> None:
    found = [
        f
        for f in shop("security-scan", path="shop")["findings"]
        if f["file"] == "shop/store.py" and f["rule"] == "S608"
    ]
    lines = (SHOP / "shop/store.py").read_text().splitlines()
    assert "LIKE '%{text}%'" in lines[found[-1]["line"] - 1]


def test_security_scan_finds_the_leaked_key_and_does_not_tell_it(shop: Desk) -> None:
    answer = shop("security-scan", path="shop")
    assert [(secret["file"], secret["line"]) for secret in answer["secrets"]] == [("shop/suppliers.py", 8)]
    assert "c0ffee" not in str(answer)


DATA: dict[str, list[tuple[int | None, str | None, str]]] = {
    "data/products.csv": [
        (4, "stock", "-3 is negative"),
        (7, "price", "has no value"),
        (16, "stock", "'zwölf' is no number"),
        (19, "sku", "'TEA-02' stands in rows 2, 19"),
    ],
    "data/movements.csv": [
        (None, "day", "dates stand in 3 formats"),
        (17, None, "has 7 values"),
        (28, "quantity", "'viele' is no number"),
        (36, "id", "'M0035' stands in rows 35, 36"),
        (40, "day", "'2026-02-30' is no date"),
        (45, None, "has 4 values"),
        (45, "reason", "has no value"),
        (52, None, "the same row stands in rows 51, 52"),
        (52, "id", "'M0051' stands in rows 51, 52"),
    ],
    "data/suppliers.json": [(2, "minimum", "is a string"), (4, "mail", "has no value")],
}


@pytest.mark.parametrize("path", DATA)
def test_data_profile_finds_all_that_is_wrong_with_the_data_and_nothing_else(shop: Desk, path: str) -> None:
    problems = shop("data-profile", path=path)["problems"]
    assert [(p["row"], p["column"]) for p in problems] == [(row, column) for row, column, _ in DATA[path]]
    assert all(p["message"].startswith(message) for p, (_, _, message) in zip(problems, DATA[path], strict=True))


def test_names_beyond_ascii_and_the_byte_order_mark_are_no_problem(shop: Desk) -> None:
    answer = shop("data-profile", path="data/products.csv")
    assert (answer["encoding"], answer["columns"][0]["name"], answer["columns"][1]["max"]) == (
        "utf-8-sig",
        "sku",
        "Łódź zu Fuß",
    )


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(SHOP))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def module(name: str) -> ModuleType:
        return importlib.import_module(f"shop.{name}")

    yield module
    for name in [name for name in sys.modules if name == "shop" or name.startswith("shop.")]:
        del sys.modules[name]


def test_the_flaws_that_only_a_reader_finds_are_real(modules: Any) -> None:
    product = modules("models").Product("A", "a", "food", 0.1, stock=10, reorder_at=10)
    assert modules("reorder").due([product]) == []
    day = datetime.date(2026, 3, 29)
    sales = [modules("models").Movement("A", day - datetime.timedelta(days=n), -1) for n in range(40)]
    assert round(modules("reorder").sold_per_day("A", sales, day, days=28) * 28) == 29
    assert modules("models").OrderLine(product, 3, 0.1).total != 0.3


def test_the_review_finds_the_flaws_in_about_thirty_calls(desk: Desk) -> None:
    result, calls = run_program(EXAMPLES / "inventory.review.py", desk)
    assert 25 <= len(calls.made) <= 35
    assert (result["modules"], result["not_reviewed"], result["worst"]) == (9, [], "shop/importer.py")
    assert result["issues"].items() >= {"B006": 1, "S110": 1, "C901": 1}.items()
    assert result["security"]["secrets"] == 1
    assert result["data_problems"] == {"data/movements.csv": 9, "data/products.csv": 4, "data/suppliers.json": 2}
    report = (desk.folder / "report.md").read_text()
    for fact in (
        "`shop/store.py:49` Possible SQL injection",
        "TEA-02",
        "`shop/counter.py:9`",
        "value = 0.0",
        "no change log",
    ):
        assert fact in report


def test_the_review_goes_on_when_a_module_cannot_be_read(desk: Desk) -> None:
    desk.put("shop/logo.py", b"\0\0")
    desk.put("data/prices.xlsx", b"PK\3\4")
    result, _ = run_program(EXAMPLES / "inventory.review.py", desk)
    assert result["not_reviewed"] == ["shop/logo.py"]
    assert result["data_problems"]["data/prices.xlsx"] == 1
    assert "shop/logo.py | not reviewed: 'shop/logo.py' is binary" in (desk.folder / "report.md").read_text()


def test_the_review_takes_the_project_from_its_input(tmp_path: Path) -> None:
    copy_of_shop(tmp_path / "laden")
    result, _ = run_program(EXAMPLES / "inventory.review.py", Desk(tmp_path), {"path": "laden"})
    assert (result["modules"], result["report"]) == (9, "report.md")


def test_the_short_examples_do_what_they_say(desk: Desk) -> None:
    result, calls = run_program(EXAMPLES / "hello.py", desk)
    assert (result["largest"]["path"], len(calls.made)) == ("data/movements.csv", 1)
    result, calls = run_program(EXAMPLES / "ask.py", desk, ask="yes")
    assert result == {"problems": 4, "written": True}
    assert "TEA-02" in (desk.folder / "problems.txt").read_text()
    assert run_program(EXAMPLES / "ask.py", desk, ask="no")[0] == {"problems": 4, "written": False}
