"""A pinned skill's files on this machine's disk, so that a live edit of the project never reaches a running task."""

import os
import shutil
import tempfile
from pathlib import Path

from holdfast.blobs import BlobStore
from holdfast.catalogue import CatalogueSkill


def materialised(skill: CatalogueSkill, blobs: BlobStore, home: Path) -> Path:
    """The folder that holds exactly the files of this skill; written once, whole, then only read.

    Raises:
        NotFound: a file of the skill is not in the blobs.
    """
    target = home / "cache" / "skills" / skill.content_hash
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
        try:
            _write(skill, blobs, fresh)
            _publish(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def _write(skill: CatalogueSkill, blobs: BlobStore, folder: Path) -> None:
    for name, sha in skill.files.items():
        data = blobs.get(sha)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o555 if data.startswith(b"#!") else 0o444)


def _publish(fresh: Path, target: Path) -> None:
    fresh.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:
        if not target.is_dir():  # Else another worker was first, with the same bytes.
            raise
