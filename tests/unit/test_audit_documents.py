"""Documents name tests and files; these names stay true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_is_there(document: Path) -> None:
    for path, function in re.findall(r"`(tests/[^`:\s]+\.py)(?:::(\w+))?`", document.read_text("utf-8")):
        assert (ROOT / path).is_file(), path
        assert not function or f"def {function}(" in (ROOT / path).read_text("utf-8"), f"{path} has no {function}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_command_in_a_document_names_what_is_there(document: Path) -> None:
    for target in re.findall(r"\.venv/bin/pytest ([\w/]+(?:\.py)?)", document.read_text("utf-8")):
        assert (ROOT / target).exists(), target


def test_the_readme_leads_to_every_document() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"(docs/{path.name})" not in readme] == []


def test_every_module_of_workflows_and_activities_stands_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    modules = [path for room in ("workflows", "activities") for path in sorted((ROOT / room).glob("[!_]*.py"))]
    names = [str(path.relative_to(ROOT)) for path in modules]
    assert names
    assert [name for name in names if f"`{name}`" not in text] == []
