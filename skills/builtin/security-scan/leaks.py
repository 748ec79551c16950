"""detect-secrets over copies of files, in a process of its own. It never asks a provider whether a key is valid."""

from typing import Any

from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

_VAGUE = ("Base64 High Entropy String", "Hex High Entropy String", "Secret Keyword")
_LEFT_OUT = ("IPPublicDetector",)


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Secrets of each file by number, masked here already: their values do not leave this process."""
    with default_settings() as settings:
        settings.disable_plugins(*_LEFT_OUT)
        settings.disable_filters("detect_secrets.filters.allowlist.is_line_allowlisted")
        found = {number: _best(list(scan_file(path))) for number, path in job["files"].items()}
    return {"secrets": found}


def _best(secrets: list[PotentialSecret]) -> list[dict[str, Any]]:
    """One entry for each value in a line: that of the most telling detector."""
    chosen: list[PotentialSecret] = []
    for secret in sorted(secrets, key=_rank):
        if not any(_is_same(secret, other) for other in chosen):
            chosen.append(secret)
    return [
        {"type": s.type, "line": s.line_number, "masked": _masked(s.secret_value or "")}
        for s in sorted(chosen, key=lambda s: (s.line_number, s.type, s.secret_value or ""))
    ]


def _rank(secret: PotentialSecret) -> tuple[int, int, str, str]:
    vague = _VAGUE.index(secret.type) if secret.type in _VAGUE else -1
    return vague, secret.line_number, secret.type, secret.secret_value or ""


def _is_same(one: PotentialSecret, other: PotentialSecret) -> bool:
    a, b = one.secret_value or "", other.secret_value or ""
    return one.line_number == other.line_number and (a in b or b in a)


def _masked(value: str) -> str:
    return f"{value[:4] if len(value) >= 16 else ''}… ({len(value)} characters)"
