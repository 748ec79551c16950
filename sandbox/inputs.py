"""The read-only folder that a box finds at /ws/in: one per list of files, made once, cleared away when unused.

Copies, not links, of blobs: they are open to the users that boxes run as, and blobs are not.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from holdfast.blobs import BlobStore
from holdfast.contracts.file import File
from holdfast.errors import SettingsInvalid, StoreUnavailable
from sandbox.interpreter import closed_at
from sandbox.local import BOX_UID

KEPT_SECONDS = 24 * 3600
"""Since a box last began with it. No box lives so long."""

_OPEN_TO_ALL = Path("/var/lib/holdfast/inputs")


def ready(files: Sequence[File], blobs: BlobStore, home: Path) -> Path:
    """The folder with these files, whose names were checked. Safe for many workers at once.

    Raises:
        NotFound: a file's content is gone.
        StoreUnavailable: they cannot be written.
        SettingsInvalid: boxes cannot reach any place that we may write to.
    """
    listed = "\n".join(sorted(f"{file.ref} {file.name}" for file in files))
    try:
        folder = _place(home / "inputs", hashlib.sha256(listed.encode()).hexdigest())
        _clear_old(folder)
        if folder.is_dir():
            os.utime(folder)
        else:
            _build(files, blobs, folder)
    except OSError as exc:
        needed = sum(file.size_bytes for file in files)
        raise StoreUnavailable(f"cannot write the {needed} bytes of a program's input files: {exc}") from exc
    return folder


def _place(root: Path, name: str) -> Path:
    """In the data folder; in /var, where boxes of a worker that is root may not enter that."""
    uid = BOX_UID if os.geteuid() == 0 else None
    for each in [root] if uid is None else [root, _OPEN_TO_ALL]:
        with contextlib.suppress(PermissionError):
            each.mkdir(mode=0o711, parents=True, exist_ok=True)
            if not closed_at(each / name, uid):
                return each / name
    raise SettingsInvalid(
        f"input files of programs: {closed_at(root / name, uid) or f'{root} cannot be made'}; "
        "set HOLDFAST_HOME to a folder that boxes can reach"
    )


def _build(files: Sequence[File], blobs: BlobStore, folder: Path) -> None:
    building = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for file in files:
            path = building / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(blobs.path(file.ref), path)
            path.chmod(0o444)
        for each, _, _ in os.walk(building):
            Path(each).chmod(0o755)
        # Another worker may have been quicker: its folder is as good.
        with contextlib.suppress(OSError):
            building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _clear_old(folder: Path) -> None:
    for each in folder.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if each != folder and time.time() - each.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(each, ignore_errors=True)
