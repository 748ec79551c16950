"""Skill folders for tests: written as a user would, from a few words."""

from pathlib import Path

SIDE = "name: {name}\nversion: 1.0.0\ndescription: Does a thing\neffect: pure\n"
ECHO = "def run(**arguments):\n    return arguments\n"


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files, text as UTF-8 with its newlines as they are, and return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def write_skill(project: Path, name: str, code: str = ECHO, extra: str = "") -> Path:
    """A script skill in `<project>/skills/<name>`: skill.yaml (with `extra` keys) and skill.py."""
    return write_files(project / "skills" / name, {"skill.yaml": SIDE.format(name=name) + extra, "skill.py": code})
