"""holdfast is built on no agent framework (P-47): what is installed for it, and what it imports, says so."""

import ast
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
ROOMS = ("holdfast", "workflows", "activities", "skills", "sandbox", "providers", "store", "api", "cli")
FRAMEWORKS = frozenset(
    {"langchain", "langchain-core", "langgraph", "crewai", "autogen", "pyautogen", "autogen-core", "ag2", "llama-index"}
)


def needed(name: str, seen: set[str]) -> set[str]:
    """A distribution, and all that it brings along."""
    if name in seen:
        return seen
    seen.add(name)
    for text in distribution(name).requires or []:
        found = Requirement(text)
        if found.marker is None or found.marker.evaluate({"extra": ""}):
            needed(found.name.lower(), seen)
    return seen


def test_no_agent_framework_is_installed_with_holdfast() -> None:
    found = needed("holdfast", set())
    assert len(found) > 30
    assert found & FRAMEWORKS == set()


def test_no_module_imports_an_agent_framework() -> None:
    theirs = {module for module, owners in packages_distributions().items() if FRAMEWORKS & set(owners)}
    theirs |= {name.replace("-", "_") for name in FRAMEWORKS}
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 200
    assert {name for file in files for name in imported(file)} & theirs == set()


def imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
