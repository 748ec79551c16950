"""Lists the workspace and the project."""

from typing import Any

from skills.walking import walk
from skills.workspace import InWorkspace


def run(*, path: str = ".", pattern: str = "**", limit: int = 1000, context: InWorkspace) -> dict[str, Any]:
    """Files and folders below `path` whose path, seen from there, fits the pattern; sorted by path."""
    listing = walk(context, path)
    chosen = listing.matching(pattern)
    shown = chosen[:limit]
    return {
        "files": [{"path": entry.path, "size_bytes": entry.size_bytes} for entry in shown if entry.kind == "file"],
        "folders": [entry.path for entry in shown if entry.kind == "folder"],
        "skipped": [{"path": entry.path, "why": entry.why_skipped} for entry in shown if entry.why_skipped],
        "found": len(chosen),
        "truncated": len(chosen) > limit or listing.is_cut,
    }
