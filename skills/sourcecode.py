"""Source code as skills get it, text or path, and ruff's findings in it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import SkillCrashed, SkillInputError, SkillTimeout
from skills.workspace import MAX_TEXT_BYTES, InWorkspace, decoded, read_bytes

_RUFF_SECONDS = 20.0


def one_text(code: str | None, path: str | None, context: InWorkspace) -> str:
    """The text that a skill is given as `code` or by `path`.

    Raises:
        SkillInputError: both or neither is given, or it is too long.
    """
    if (code is None) == (path is None):
        given = "both" if code is not None else "neither"
        raise SkillInputError(
            f"found {given} of code and path; exactly one is expected: the text itself, or a file of the workspace"
        )
    if path is not None:
        return decoded(read_bytes(context, path), path)[0]
    assert code is not None
    if len(code) > MAX_TEXT_BYTES:
        raise SkillInputError(f"code has {len(code)} characters; at most {MAX_TEXT_BYTES} are analysed")
    return code


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that ruff found. Lines and columns count from 1. `fix` is ruff's own proposal, or empty."""

    file: str
    line: int
    column: int
    rule: str
    message: str
    name: str
    fix: str
    url: str


def ruff_text(text: str, rules: list[str]) -> list[Finding]:
    """Ruff's findings in one Python text, by line; no settings file has a say, `# noqa` has."""
    return _ruff(["--select", ",".join(rules), "--stdin-filename", "code.py", "-"], text)


def ruff_folder(folder: Path, rules: list[str]) -> list[Finding]:
    """Ruff's findings in all Python files of a folder; neither settings nor `# noqa` have a say."""
    return _ruff(["--select", ",".join(rules), "--ignore-noqa", str(folder)], "")


def _ruff(arguments: list[str], text: str) -> list[Finding]:
    from ruff import find_ruff_bin

    fixed = [
        "check",
        "--output-format",
        "json",
        "--isolated",
        "--no-cache",
        "--no-respect-gitignore",
        "--target-version",
        "py314",
    ]
    command = [find_ruff_bin(), *fixed, *arguments]
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            capture_output=True,
            timeout=_RUFF_SECONDS,
            env={"RAYON_NUM_THREADS": "1"},
            cwd="/",
        )
    except subprocess.TimeoutExpired as exc:
        raise SkillTimeout(f"ruff worked for {_RUFF_SECONDS:g} s, which is its limit, and was stopped") from exc
    if done.returncode not in (0, 1):
        raise SkillCrashed(
            f"ruff ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-400:].strip()}"
        )
    return sorted(_finding(found) for found in json.loads(done.stdout))


def _finding(found: dict[str, Any]) -> Finding:
    return Finding(
        file=found["filename"],
        line=found["location"]["row"],
        column=found["location"]["column"],
        rule=found["code"] or "invalid-syntax",
        message=found["message"],
        name=found["name"] or "",
        fix=(found["fix"] or {}).get("message") or "",
        url=found["url"] or "",
    )
