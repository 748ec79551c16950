"""detect-secrets over copies of files, in a process of its own. It never asks a provider whether a key is valid."""

import signal
import time
from types import FrameType
from typing import Any

from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.scan import scan_file
from detect_secrets.filters.heuristic import is_lock_file
from detect_secrets.settings import default_settings

_VAGUE = ("Basic Auth Credentials", "Base64 High Entropy String", "Hex High Entropy String", "Secret Keyword")
_LEFT_OUT = ("IPPublicDetector",)


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Secrets of each file by number, masked here already: their values do not leave this process."""
    signal.signal(signal.SIGALRM, _too_long)
    end = time.monotonic() + job["seconds"]
    secrets: dict[str, list[dict[str, Any]]] = {}
    late: list[str] = []
    with default_settings() as settings:
        settings.disable_plugins(*_LEFT_OUT)
        settings.disable_filters("detect_secrets.filters.allowlist.is_line_allowlisted")
        for number, path, name in job["files"]:
            found = None if time.monotonic() > end else _scanned(path, name, job["seconds_per_file"])
            if found is None:
                late.append(number)
            else:
                secrets[number] = _best(found)
    return {"secrets": secrets, "late": late}


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


def _scanned(path: str, name: str, seconds: float) -> list[PotentialSecret] | None:
    """None if it takes too long: `re` looks for signals while it matches, so an alarm ends it."""
    if is_lock_file(name):
        return []
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return list(scan_file(path))
    except TimeoutError:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _best(secrets: list[PotentialSecret]) -> list[dict[str, Any]]:
    """One entry for each value in a line: that of the most telling detector."""
    chosen: list[PotentialSecret] = []
    for secret in sorted(secrets, key=_rank):
        if not any(_is_same(secret, other) for other in chosen):
            chosen.append(secret)
    return [
        {"type": secret.type, "line": secret.line_number, "masked": _masked(secret.secret_value or "")}
        for secret in sorted(chosen, key=lambda secret: (secret.line_number, secret.type, secret.secret_value or ""))
    ]


def _rank(secret: PotentialSecret) -> tuple[int, int, str, str]:
    vague = _VAGUE.index(secret.type) if secret.type in _VAGUE else -1
    return vague, secret.line_number, secret.type, secret.secret_value or ""


def _is_same(one: PotentialSecret, other: PotentialSecret) -> bool:
    a, b = one.secret_value or "", other.secret_value or ""
    return one.line_number == other.line_number and (a in b or b in a)


def _masked(value: str) -> str:
    return f"{value[:4] if len(value) >= 16 else ''}… ({len(value)} characters)"
