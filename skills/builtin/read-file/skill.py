"""Reads text from the workspace."""

from typing import Any

from holdfast.errors import SkillInputError
from skills.workspace import InWorkspace, decoded, read_bytes


def run(
    *, path: str, start_line: int = 1, end_line: int | None = None, max_lines: int = 2000, context: InWorkspace
) -> dict[str, Any]:
    """Lines as they stand in the file, their ends included; only `\\n` ends a line, so CRLF survives a round trip."""
    if end_line is not None and end_line < start_line:
        raise SkillInputError(
            f"end_line {end_line} is before start_line {start_line}; both count from 1 and are included"
        )
    text, encoding = decoded(read_bytes(context, path), path)
    lines = text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    wanted = lines[start_line - 1 : end_line]
    given = wanted[:max_lines]
    return {
        "path": path,
        "text": "".join(given),
        "start_line": start_line,
        "end_line": start_line + len(given) - 1,
        "lines": len(lines),
        "truncated": len(given) < len(wanted),
        "encoding": encoding,
    }
