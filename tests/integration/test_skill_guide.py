"""docs/skills.md: each file that it shows is a skill that loads without a warning and runs as the guide says."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.catalogue import Catalogue, CatalogueSkill, load
from holdfast.errors import ModelRefused
from holdfast.templates import parsed_answer, skill_prompt
from tests.integration.test_skill_runner import ROOT, Bench

GUIDE = (ROOT / "docs" / "skills.md").read_text()
SHOWN = re.findall(r"```(?:yaml|python)\n# (skills/\S+)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    for path, text in SHOWN:
        place = bench.project / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    yield bench
    await bench.runner.close()


def skill(bench: Bench, name: str) -> CatalogueSkill:
    loaded = load(bench.project, bench.builtin)
    # Built-in agents miss the built-in skills, which this project has none of.
    ours = [one for one in loaded.warnings if not one.file.startswith("builtin/")]
    assert (loaded.problems, ours) == ([], [])
    return Catalogue.open(bench.blobs, loaded.catalogue.save(bench.blobs)).find(name)


async def test_the_script_of_the_guide_runs(bench: Bench) -> None:
    counting = skill(bench, "word-count")
    assert counting.spec.kind == "script"
    assert await bench.run(counting, counting.spec.examples[0].arguments) == {"words": 3}
    assert await bench.run(counting, {"text": "a bc def", "at_least": 2}) == {"words": 2}


async def test_the_prompt_of_the_guide_is_asked_and_counted(bench: Bench) -> None:
    tone = skill(bench, "tone")
    arguments = tone.check_input(tone.spec.examples[0].arguments or {})
    assert "is in English." in skill_prompt(tone, arguments, "")
    answer = parsed_answer(tone, '{"tone": "angry", "sure": 0.9}', arguments)
    assert answer == {"tone": "angry", "sure": 0.9, "length": 20}


async def test_the_hybrid_of_the_guide_asks_and_does_without(bench: Bench) -> None:
    async def says(prompt: str, system: str) -> str:
        assert prompt.rstrip().endswith("change that they notice:\n\nOne\nTwo")
        return "- One and two"

    async def refuses(prompt: str, system: str) -> str:
        raise ModelRefused("no such model")

    changelog, arguments = skill(bench, "changelog"), {"subjects": ["One", "Merge x", "Two", "One"]}
    assert await bench.run(changelog, arguments, ask_model=says) == {"changelog": "- One and two", "kept": 2}
    assert await bench.run(changelog, arguments, ask_model=refuses) == {"changelog": "One\nTwo", "kept": 2}
    assert await bench.run(changelog, {"subjects": ["Merge x"]}) == {"changelog": "", "kept": 0}


def test_the_test_of_the_guide_passes() -> None:
    code = next(text for path, text in SHOWN if path == "skills/changelog/skill.py")
    (test,) = re.findall(r"```python\n(from types.*?)```", GUIDE, re.DOTALL)
    exec(code + test, {})
