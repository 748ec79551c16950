"""Profiles a data file of the workspace: types, figures, and what is wrong with it."""

import os
import tempfile
from pathlib import Path
from typing import Any

from holdfast.errors import SkillInputError, shown
from skills.apart import run_apart
from skills.paths import FileUnfit
from skills.workspace import InWorkspace, open_file

_MAX_BYTES = {"csv": 256 << 20, "json": 32 << 20, "jsonl": 32 << 20, "parquet": 256 << 20}
_ENDINGS = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
}
_MAX_ROWS = 5_000_000
_SECONDS = 100.0


def run(
    *,
    path: str,
    format: str | None = None,  # noqa: A002 - the name that callers see
    context: InWorkspace,
) -> dict[str, Any]:
    """A ragged row or a bad date is a problem in the answer, not an error; only a file that is no table at all is."""
    form = format or _ENDINGS.get(Path(path).suffix.lower().lstrip("."), "")
    if form not in _MAX_BYTES:
        raise SkillInputError(
            f"the format of {shown(path)} is not known by its ending; give format: {', '.join(map(repr, _MAX_BYTES))}"
        )
    with open_file(context, path) as fd, tempfile.TemporaryDirectory(prefix="holdfast-profile-") as folder:
        size = os.fstat(fd).st_size
        if size > _MAX_BYTES[form]:
            raise FileUnfit(
                f"{shown(path)} has {size} bytes; at most {_MAX_BYTES[form]} of {form} are profiled. Split it"
            )
        job = {"source": f"/dev/fd/{fd}", "path": path, "format": form, "folder": folder, "max_rows": _MAX_ROWS}
        profile = run_apart(Path(__file__).with_name("table.py"), job, seconds=_SECONDS, memory_bytes=3 << 30, fds=[fd])
    return {"path": path, "size_bytes": size, **profile}
