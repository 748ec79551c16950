"""Looks for insecure code (ruff's flake8-bandit rules, Python) and leaked keys (detect-secrets, any text file)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skills.advice import fix, severity
from skills.apart import run_apart
from skills.paths import FileUnfit, PathRefused, is_sensitive
from skills.sourcecode import Finding, one_text, ruff_folder
from skills.walking import walk
from skills.workspace import MAX_TEXT_BYTES, InWorkspace, decoded, read_bytes

_HERE = Path(__file__).parent
_MAX_FILES = 2000
_MAX_BYTES = 8 << 20
_SECONDS = 60.0
_SECONDS_PER_FILE = 20.0
_MAX_LISTED = 500
_KEY_FIX = (
    "Revoke it where it was issued, take the new one from the environment, and clean the history of the repository"
)
_ORDER = {"high": 0, "medium": 1, "low": 2}


def run(*, path: str | None = None, code: str | None = None, context: InWorkspace) -> dict[str, Any]:
    """Neither `# noqa` nor `pragma: allowlist` hides anything; a secret's value is not in the answer."""
    with tempfile.TemporaryDirectory(prefix="holdfast-scan-") as folder:
        copies = _Copies(Path(folder))
        if code is None:
            copies.take(context, path or ".")
        else:
            copies.add("code.py", one_text(code, path, context))
        secrets = _secrets(copies)
        findings = _findings(copies, secrets)
    findings.sort(key=lambda found: (_ORDER[found["severity"]], found["file"], found["line"], found["rule"]))
    return {
        "findings": findings[:_MAX_LISTED],
        "secrets": secrets[:_MAX_LISTED],
        "summary": _summary(copies, findings, secrets),
        "skipped": sorted(copies.skipped, key=lambda item: (item["path"], item["why"])),
    }


@dataclass(frozen=True)
class _Copy:
    name: str
    place: Path


class _Copies:
    """Texts of the workspace, copied: scanners get a snapshot that no link can lead out of, under numbers for names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, _Copy] = {}
        self.skipped: list[dict[str, str]] = []
        self.is_cut = False
        self._left = _MAX_BYTES

    def take(self, context: InWorkspace, path: str) -> None:
        listing = walk(context, path)
        self.skipped += [{"path": e.path, "why": e.why_skipped} for e in listing.entries if e.why_skipped]
        for entry in listing.entries:
            if entry.kind != "file":
                continue
            if len(self.files) >= _MAX_FILES or self._left <= 0:
                self.is_cut = True
                return
            self._take_one(context, entry.path)
        self.is_cut = listing.is_cut

    def _take_one(self, context: InWorkspace, path: str) -> None:
        try:
            text, _ = decoded(read_bytes(context, path, MAX_TEXT_BYTES, sensitive=True), path)
        except (PathRefused, FileUnfit) as exc:
            self.skipped.append({"path": path, "why": str(exc)})
            return
        self.add(path, text)

    def add(self, path: str, text: str) -> None:
        number = f"{len(self.files):06}"
        place = self.folder / f"{number}{_ending(path)}"
        place.write_text(text, encoding="utf-8", newline="")
        self.files[number] = _Copy(path, place)
        self._left -= len(text)

    def original(self, place: str) -> str:
        return self.files[Path(place).name[:6]].name


def _ending(path: str) -> str:
    """detect-secrets looks for values without quotes only in what its list calls settings; `.env` is not on it."""
    name = Path(path).name.casefold()
    return ".ini" if name.startswith(".env") else Path(name).suffix[:16]


def _secrets(copies: _Copies) -> list[dict[str, Any]]:
    files = [[number, str(copy.place), copy.name] for number, copy in copies.files.items()]
    job = {"files": files, "seconds": _SECONDS, "seconds_per_file": _SECONDS_PER_FILE}
    answer = run_apart(_HERE / "leaks.py", job, seconds=_SECONDS + 2 * _SECONDS_PER_FILE)
    why = "not searched for keys: it took too long; scan a smaller path"
    copies.skipped += [{"path": copies.files[number].name, "why": why} for number in answer["late"]]
    copies.is_cut = copies.is_cut or bool(answer["late"])
    listed = [
        {
            "type": found["type"],
            "file": copies.files[number].name,
            "line": found["line"],
            "masked": found["masked"],
            "fix": _KEY_FIX,
        }
        for number, secrets in answer["secrets"].items()
        for found in secrets
    ]
    return sorted(listed, key=lambda secret: (secret["file"], secret["line"], secret["type"], secret["masked"]))


def _findings(copies: _Copies, secrets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ruff's findings, less passwords that stand among the secrets already, and files that should not be there."""
    leaks = {(secret["file"], secret["line"]) for secret in secrets}
    found = [
        _finding(finding, copies.original(finding.file))
        for finding in ruff_folder(copies.folder, ["S"])
        if finding.rule != "S101"
    ]
    known = [f for f in found if not (f["rule"] in ("S105", "S106", "S107") and (f["file"], f["line"]) in leaks)]
    holding = {secret["file"] for secret in secrets}
    return known + [
        _closed_file(copy.name, copy.name in holding) for copy in copies.files.values() if is_sensitive(copy.name)
    ]


def _finding(finding: Finding, file: str) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": severity(finding.rule),
        "file": file,
        "line": finding.line,
        "message": finding.message,
        "fix": fix(finding.rule, finding.url),
    }


def _closed_file(path: str, holds_secrets: bool) -> dict[str, Any]:
    return {
        "rule": "sensitive-file",
        "severity": "medium" if holds_secrets else "low",
        "file": path,
        "line": 1,
        "message": f"a name that keys or passwords are kept under; {'some' if holds_secrets else 'none'} were found",
        "fix": "Keep it out of version control (.gitignore) and out of images; commit an example without values",
    }


def _summary(copies: _Copies, findings: list[dict[str, Any]], secrets: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {level: sum(found["severity"] == level for found in findings) for level in _ORDER}
    return {
        "files": len(copies.files),
        **counts,
        "secrets": len(secrets),
        "truncated": copies.is_cut or len(findings) > _MAX_LISTED,
    }
