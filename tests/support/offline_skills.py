"""Skills for tests of the offline provider: the built-in ones, and small ones of a project."""

from functools import cache
from pathlib import Path

from holdfast.catalogue import BUILTIN, load
from holdfast.snapshot import CatalogueSkill


def skills(project: Path | None = None, *names: str) -> tuple[CatalogueSkill, ...]:
    """All built-in skills and those of the project, or only those that are named."""
    return tuple(skill for skill in _loaded(project or BUILTIN) if not names or skill.name in names)


@cache
def _loaded(project: Path) -> tuple[CatalogueSkill, ...]:
    loaded = load(project, BUILTIN)
    assert loaded.problems == []
    return tuple(loaded.catalogue.skills.values())


def put_skill(project: Path, name: str, yaml: str, code: str = "") -> None:
    folder = project / "skills" / name
    folder.mkdir(parents=True)
    (folder / "skill.yaml").write_text(yaml)
    if code:
        (folder / "skill.py").write_text(code)
