"""Searches the text files of the workspace."""

from pathlib import Path
from typing import Any

from holdfast.errors import SkillInputError
from skills.apart import run_apart
from skills.paths import FileUnfit, PathRefused, is_sensitive
from skills.walking import walk
from skills.workspace import MAX_TEXT_BYTES, InWorkspace, decoded, read_bytes

_MAX_FILES = 5000
_MAX_BYTES = 32 << 20
_SECONDS_PER_FILE = 1.0
_SECONDS = 20.0


def run(
    *,
    pattern: str,
    regex: bool = False,
    path: str = ".",
    glob: str = "**",
    ignore_case: bool = False,
    context_lines: int = 0,
    limit: int = 200,
    context: InWorkspace,
) -> dict[str, Any]:
    """Matching lines by path and line number. An expression that takes too long on a file costs that file only."""
    if not pattern or len(pattern) > 1000:
        raise SkillInputError(f"pattern has {len(pattern)} characters; 1 to 1000 are allowed")
    files, skipped = _texts(context, path, glob)
    job = {
        "pattern": pattern,
        "regex": regex,
        "ignore_case": ignore_case,
        "context_lines": context_lines,
        "limit": limit,
        "seconds_per_file": _SECONDS_PER_FILE,
        "seconds": _SECONDS / 2,
        "files": files,
    }
    answer = run_apart(Path(__file__).with_name("search.py"), job, seconds=_SECONDS)
    answer["skipped"] = sorted(skipped + answer["skipped"], key=lambda item: str(item["path"]))
    return answer


def _texts(context: InWorkspace, path: str, glob: str) -> tuple[list[list[str]], list[dict[str, str]]]:
    texts: list[list[str]] = []
    skipped: list[dict[str, str]] = []
    left = _MAX_BYTES
    names = [entry.path for entry in walk(context, path).matching(glob) if entry.kind == "file"]
    for name in names:
        if len(texts) == _MAX_FILES or left <= 0:
            skipped.append(
                {"path": name, "why": f"beyond {_MAX_FILES} files or {_MAX_BYTES} bytes; narrow path or glob"}
            )
            break
        try:
            text = _text(context, name)
        except (PathRefused, FileUnfit) as exc:
            skipped.append({"path": name, "why": str(exc)})
            continue
        texts.append([name, text])
        left -= len(text)
    return texts, skipped


def _text(context: InWorkspace, name: str) -> str:
    if is_sensitive(name):
        raise PathRefused("[blocked_by: rules] its name is one for keys or passwords")
    return decoded(read_bytes(context, name, MAX_TEXT_BYTES), name)[0]
