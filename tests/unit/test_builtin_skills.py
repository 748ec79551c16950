"""What holds for every built-in skill."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.builtin import BUILTIN, ROOT, SHOP, Desk, function, parsed

NAMES = sorted(folder.name for folder in BUILTIN.iterdir() if (folder / "SKILL.md").is_file())
KINDS = {"ask": "native", "recall": "engine", "sleep": "native", "summarize": "prompt", "web-search": "hybrid"}
KINDS |= dict.fromkeys(("queue-add", "queue-next", "queue-done", "queue-fail"), "engine")
WITHOUT_CODE = [name for name in NAMES if KINDS.get(name) in ("native", "prompt", "engine")]
SCRIPTS = [name for name in NAMES if name not in WITHOUT_CODE]


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_skill_loads_without_a_warning_and_declares_its_effect(name: str) -> None:
    skill = parsed(name)
    assert (skill.warnings, skill.spec.name) == ([], name)
    assert skill.spec.effect_declared
    assert skill.spec.kind == KINDS.get(name, "script")
    assert skill.spec.version != "0.0.0"


@pytest.mark.parametrize("name", NAMES)
def test_every_input_is_described_or_plain_and_examples_fit(name: str) -> None:
    spec = parsed(name).spec
    assert spec.examples
    assert spec.input_schema["additionalProperties"] is False
    for example in spec.examples:
        assert example.why
        Draft202012Validator(spec.input_schema).validate(example.arguments)


@pytest.mark.parametrize("name", NAMES)
def test_the_worked_example_is_a_program_that_compiles_and_calls_the_skill(name: str) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", parsed(name).instructions, re.DOTALL)
    compile(program, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert f"skills.{parsed(name).spec.identifier}(" in program
    assert "result = " in program


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_function_takes_what_the_schema_says_with_the_same_defaults(name: str) -> None:
    properties = parsed(name).spec.input_schema["properties"]
    required = set(parsed(name).spec.input_schema.get("required", []))
    taken = {key: part for key, part in inspect.signature(function(name)).parameters.items() if key != "context"}
    assert list(taken) == list(properties)
    for key, part in taken.items():
        assert part.kind is inspect.Parameter.KEYWORD_ONLY
        assert (part.default is inspect.Parameter.empty) == (key in required)
        if key not in required:
            assert part.default == properties[key].get("default")


@pytest.mark.parametrize("name", WITHOUT_CODE)
def test_a_native_prompt_or_engine_skill_has_no_code_of_its_own(name: str) -> None:
    assert [place.name for place in sorted((BUILTIN / name).iterdir())] == ["SKILL.md", "skill.yaml"]


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list-files", {}),
    ("read-file", {"path": "shop/store.py"}),
    ("write-file", {"path": "out/report.md", "content": "# ä\n"}),
    ("find-in-files", {"pattern": "def .*\\(", "regex": True, "context_lines": 1}),
    ("code-analysis", {"path": "shop/importer.py", "checks": ["style", "complexity", "bugs", "security"]}),
    ("security-scan", {}),
    ("data-profile", {"path": "data/movements.csv"}),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=SCRIPTS and [call[0] for call in CALLS])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, name: str, arguments: dict[str, Any]) -> None:
    answers = {json.dumps(copy_of_shop(tmp_path / str(number))(name, **arguments)) for number in range(3)}
    assert len(answers) == 1


def copy_of_shop(folder: Path) -> Desk:
    """Made in another order each time: what a folder lists first must not matter."""
    folder.mkdir()
    desk = Desk(folder)
    files = sorted(place for place in SHOP.rglob("*") if place.is_file() and "__pycache__" not in place.parts)
    for place in sorted(files, key=lambda place: hash((str(folder), place.name))):
        desk.put(str(place.relative_to(SHOP)), place.read_bytes())
    return desk


def test_loading_all_skills_loads_no_heavy_library() -> None:
    script = (
        "import sys; from tests.support.builtin import BUILTIN, function\n"
        f"[function(name) for name in {SCRIPTS!r}]\n"
        "print([name for name in ('duckdb', 'lizard', 'detect_secrets') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_skills_work_from_a_folder_with_spaces_and_umlauts(tmp_path: Path) -> None:
    desk = copy_of_shop(tmp_path / "ein Ordner mit Ä")
    for name, arguments in CALLS:
        assert desk(name, **arguments)
