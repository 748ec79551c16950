"""code-analysis and security-scan."""

from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import SkillInputError
from skills.paths import FileUnfit
from tests.support.builtin import Desk

FLAWED = """import os


def add(item, to=[]):
    try:
        to.append(item)
    except Exception:
        pass
    return to
"""
TANGLE = (
    "def tangle(a):\n" + "".join(f"    if a == {n}:\n        return {n}\n" for n in range(12)) + "    return None\n"
)
JAVA = "class A { int f(int a) { " + "".join(f"if (a == {n}) {{ return {n}; }} " for n in range(12)) + "return 0; } }"

# Put together here, so that no scanner takes this file for a leak.
AWS = "AKIA" + "QYLPMN5HHHFPZAM2"
STRIPE = "sk_" + "live_" + "9fJ2mQ7xT4bV8kLw3NzR6cYh"
GITHUB = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def rules(answer: dict[str, Any]) -> list[str]:
    return sorted({issue["rule"] for issue in answer["issues"]})


def test_flaws_are_found_with_their_lines(desk: Desk) -> None:
    answer = desk("code-analysis", code=FLAWED)
    assert {(issue["rule"], issue["line"], issue["severity"]) for issue in answer["issues"]} >= {
        ("F401", 1, "info"),
        ("B006", 4, "warning"),
        ("BLE001", 7, "warning"),
        ("S110", 7, "warning"),
    }
    assert answer["suggestions"][0].startswith("Replace with `None`; initialize within function (B006")
    assert answer["metrics"]["functions"] == 1


def test_clean_code_scores_a_hundred(desk: Desk) -> None:
    answer = desk("code-analysis", code="def double(n: int) -> int:\n    return 2 * n\n")
    assert (answer["score"], answer["issues"], answer["suggestions"]) == (100, [], [])


def test_the_score_follows_its_formula(desk: Desk) -> None:
    answer = desk("code-analysis", code=FLAWED)
    found = answer["metrics"]
    assert answer["score"] == 100 - 10 * found["errors"] - 3 * found["warnings"] - found["infos"]
    long = desk("code-analysis", code=FLAWED + "\nx = 1\n" * 500)
    assert long["score"] > answer["score"]
    assert desk("code-analysis", code="x = = 1\n" * 50)["score"] == 0


def test_checks_choose_what_is_looked_for(desk: Desk) -> None:
    assert rules(desk("code-analysis", code=FLAWED + TANGLE, checks=["complexity"])) == ["C901", "PLR0911"]
    assert "B006" in rules(desk("code-analysis", code=FLAWED, checks=["bugs"]))
    assert rules(desk("code-analysis", code="eval(input())\n", checks=["security"])) == ["S307"]
    assert rules(desk("code-analysis", code=FLAWED, checks=[])) == []


def test_code_that_does_not_parse_is_an_answer_not_a_failure(desk: Desk) -> None:
    answer = desk("code-analysis", code="def broken(:\n    pass\n")
    assert answer["issues"][0]["rule"] == "invalid-syntax"
    assert answer["issues"][0]["severity"] == "error"
    assert answer["score"] < 100


def test_other_languages_get_figures_and_a_note(desk: Desk) -> None:
    answer = desk("code-analysis", code=JAVA, language="java")
    assert answer["metrics"]["complexity_max"] == 13
    assert rules(answer) == ["lizard-complexity"]
    assert answer["suggestions"] == ["Split 'A::f' (line 1): its complexity is 13 (limit 10)"]
    assert answer["notes"] == ["style, bugs: only done for Python; here figures of functions are given, by lizard"]


@pytest.mark.parametrize("name", ["app.js", "app.TS", "main.go", "lib.rs", "a.cpp", "b.rb", "c.php", "d.kt"])
def test_the_language_is_taken_from_the_ending(desk: Desk, name: str) -> None:
    desk.put(name, "")
    assert desk("code-analysis", path=name)["notes"] != []


@pytest.mark.parametrize(
    "arguments", [{"path": "notes.xyz"}, {"code": "x", "language": "klingon"}, {"path": "Makefile"}]
)
def test_an_unknown_language_is_refused_with_those_known(desk: Desk, arguments: dict[str, str]) -> None:
    desk.put("notes.xyz", "x")
    desk.put("Makefile", "x")
    with pytest.raises(SkillInputError, match=r"is not known; known: .*javascript.*python"):
        desk("code-analysis", **arguments)


def test_exactly_one_of_code_and_path_is_needed(desk: Desk) -> None:
    desk.put("a.py", "")
    with pytest.raises(SkillInputError, match="found both of code and path"):
        desk("code-analysis", code="", path="a.py")
    with pytest.raises(SkillInputError, match="found neither of code and path"):
        desk("code-analysis")
    with pytest.raises(SkillInputError, match="found both of code and path"):
        desk("security-scan", code="", path="a.py")


@pytest.mark.parametrize("code", ["", "\n", "# only a comment", "\ufeffx = 1\n", "x = 'ä𝄞'\n", "\t\n  x"])
def test_odd_texts_are_analysed(desk: Desk, code: str) -> None:
    assert 0 <= desk("code-analysis", code=code)["score"] <= 100


def test_a_large_file_is_analysed_or_refused_in_bounded_time(desk: Desk) -> None:
    desk.put("big.py", "x = [1, 2, 3]\n" * 70_000)
    assert desk("code-analysis", path="big.py")["metrics"]["lines"] == 70_000
    desk.put("bigger.py", "x = 1\n" * 200_000)
    with pytest.raises(FileUnfit, match="at most 1048576"):
        desk("code-analysis", path="bigger.py")


def test_a_flood_of_issues_is_cut_and_counted(desk: Desk) -> None:
    answer = desk("code-analysis", code="import os\n" * 3 + "print(undefined)\n" * 900)
    assert len(answer["issues"]) == 500
    assert answer["metrics"]["errors"] == 900
    assert answer["notes"][0].endswith("the first 500 are listed, all count in score and metrics")


def test_settings_of_the_workspace_have_no_say(desk: Desk) -> None:
    desk.put("ruff.toml", 'lint.ignore = ["ALL"]\nexclude = ["*"]\n')
    desk.put("pyproject.toml", '[tool.ruff.lint]\nignore = ["ALL"]\n')
    desk.put(".gitignore", "*\n")
    desk.put("a.py", FLAWED + 'query = f"SELECT * FROM t WHERE a = {add}"\n')
    assert "B006" in rules(desk("code-analysis", path="a.py"))
    assert "S608" in {found["rule"] for found in desk("security-scan")["findings"]}


def test_insecure_code_is_found_with_a_way_to_mend_it(desk: Desk) -> None:
    desk.put(
        "app/db.py",
        "import pickle\n\n\ndef get(db, n, blob):\n    pickle.loads(blob)\n"
        "    return db.execute(f\"SELECT * FROM t WHERE n = '{n}'\")\n",
    )
    answer = desk("security-scan", path="app")
    assert [(found["rule"], found["file"], found["line"], found["severity"]) for found in answer["findings"]] == [
        ("S301", "app/db.py", 5, "high"),
        ("S608", "app/db.py", 6, "high"),
    ]
    assert "parameters" in answer["findings"][1]["fix"]
    assert all(found["fix"] for found in answer["findings"])
    assert answer["summary"] == {"files": 1, "high": 2, "medium": 0, "low": 0, "secrets": 0, "truncated": False}


def test_leaked_keys_are_found_and_their_values_are_not_told(desk: Desk) -> None:
    password = "correct-horse-battery"
    desk.put("settings.py", f'AWS = "{AWS}"\nSTRIPE_KEY = "{STRIPE}"\n')
    desk.put("deploy.sh", f"git clone https://x:{GITHUB}@example.com/x.git\n")
    desk.put(".env", f"DB_PASSWORD={password}\n")
    desk.put("id_rsa", "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n")
    answer = desk("security-scan")
    assert [(secret["file"], secret["line"], secret["type"]) for secret in answer["secrets"]] == [
        (".env", 1, "Secret Keyword"),
        ("deploy.sh", 1, "GitHub Token"),
        ("id_rsa", 1, "Private Key"),
        ("settings.py", 1, "AWS Access Key"),
        ("settings.py", 2, "Stripe Access Key"),
    ]
    told = str(answer)
    assert not [value for value in (AWS, STRIPE, GITHUB, password) if value in told or value[:8] in told]
    assert answer["secrets"][3]["masked"] == "AKIA… (20 characters)"
    assert [(f["file"], f["severity"]) for f in answer["findings"] if f["rule"] == "sensitive-file"] == [
        (".env", "medium"),
        ("id_rsa", "medium"),
    ]


def test_comments_in_the_code_hide_nothing(desk: Desk) -> None:
    answer = desk("security-scan", code=f'eval(input())  # noqa\nkey = "{AWS}"  # pragma: allowlist secret\n')
    assert [found["rule"] for found in answer["findings"]] == ["S307"]
    assert [secret["type"] for secret in answer["secrets"]] == ["AWS Access Key"]


def test_python_without_a_flaw_has_no_finding(desk: Desk) -> None:
    desk.put(
        "a.py", "import hashlib\n\n\ndef digest(data: bytes) -> str:\n    return hashlib.sha256(data).hexdigest()\n"
    )
    answer = desk("security-scan")
    assert (answer["findings"], answer["secrets"]) == ([], [])


def test_files_of_the_same_name_are_told_apart(desk: Desk) -> None:
    desk.put("a/x.py", "eval('1')\n")
    desk.put("b/x.py", "\nexec('1')\n")
    desk.put("c d/ü\n.py", "\n\neval('1')\n")
    assert [(f["file"], f["line"]) for f in desk("security-scan")["findings"]] == [
        ("a/x.py", 1),
        ("b/x.py", 2),
        ("c d/ü\n.py", 3),
    ]


def test_a_scan_says_what_it_left_out(desk: Desk) -> None:
    desk.put("pic.png", b"\x89PNG\0\0")
    desk.put("big.txt", "x" * (2 << 20))
    (desk.folder / "out").symlink_to("/etc")
    assert [(item["path"], item["why"][:20]) for item in desk("security-scan")["skipped"]] == [
        ("big.txt", "'big.txt' has 209715"),
        ("out", "a symbolic link; ope"),
        ("pic.png", "'pic.png' is binary;"),
    ]


def test_a_scan_beyond_its_bounds_says_so(desk: Desk) -> None:
    for number in range(2010):
        desk.put(f"{number}.py", "")
    answer = desk("security-scan")
    assert (answer["summary"]["files"], answer["summary"]["truncated"]) == (2000, True)
