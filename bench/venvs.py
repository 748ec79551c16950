"""Environments of the other engines: made once, with uv, from exactly pinned requirements."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.site import DATA, ROOT

REQUIREMENTS = {"peers": "requirements.txt", "harness": "requirements-harness.txt"}
"""pydantic-ai-harness holds pydantic-ai-slim back, so it has an environment of its own."""


def python(name: str) -> Path:
    return DATA / "venvs" / name / "bin" / "python"


def prepare() -> None:
    """Make what is missing or was made from other requirements. Takes a minute the first time.

    Raises:
        CalledProcessError: uv could not (it says why).
    """
    for name, file in REQUIREMENTS.items():
        _prepare(name, ROOT / "bench" / file)


def _prepare(name: str, requirements: Path) -> None:
    folder = DATA / "venvs" / name
    made_from = folder / "made-from"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if made_from.exists() and made_from.read_text() == digest:
        return
    print(f"bench: making the environment {name!r} (once)", file=sys.stderr, flush=True)
    uv = _uv()
    shutil.rmtree(folder, ignore_errors=True)
    commands: tuple[list[str | Path], ...] = (
        ["venv", "--no-python-downloads", "--python", sys.executable, folder],
        ["pip", "install", "--python", python(name), "-r", requirements],
    )
    for command in commands:
        # Elsewhere than in the project, whose constraints are for the project.
        subprocess.run([uv, "--quiet", *command], check=True, cwd=tempfile.gettempdir())
    made_from.write_text(digest)


def _uv() -> str:
    """The uv that brought the project's own environment."""
    own = ROOT / ".holdfast" / "tools" / "uv" / "bin" / "uv"
    return shutil.which("uv") or str(own)
