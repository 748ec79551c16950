"""Replaces a text file of the workspace."""

import hashlib
from typing import Any

from holdfast.errors import SkillInputError
from skills.workspace import MAX_TEXT_BYTES, InWorkspace, write_bytes


def run(*, path: str, content: str, context: InWorkspace) -> dict[str, Any]:
    """Idempotent: the same call again leaves the same file and gives the same answer."""
    data = content.encode("utf-8")
    if len(data) > MAX_TEXT_BYTES:
        raise SkillInputError(
            f"content has {len(data)} bytes; at most {MAX_TEXT_BYTES} fit one file. Write several files"
        )
    written = write_bytes(context.workspace, path, data)
    return {"path": written, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
