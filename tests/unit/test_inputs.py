"""The folder of input files: made once, read-only for boxes, cleared away when nobody begins with it any more."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.blobs import BlobStore
from holdfast.contracts.file import File
from holdfast.errors import NotFound
from sandbox import inputs


@pytest.fixture
def home() -> Iterator[Path]:
    """One that a box of a worker that is root may enter, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def listed(blobs: BlobStore, **contents: bytes) -> list[File]:
    return [File(name=name, ref=blobs.put(data), size_bytes=len(data)) for name, data in contents.items()]


def test_one_list_is_one_folder_that_others_may_read_and_nobody_write(home: Path) -> None:
    blobs = BlobStore(home / "blobs")
    files = [*listed(blobs, a=b"1"), File(name="deep/b", ref=blobs.put(b"2"), size_bytes=1)]
    folder = inputs.ready(files, blobs, home)
    assert inputs.ready(files[::-1], blobs, home) == folder
    assert folder.is_relative_to(home / "inputs")
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == {
        "a": b"1",
        "deep/b": b"2",
    }
    modes = {path.name: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")] if path != folder}
    assert modes == {"a": 0o444, "deep": 0o755, "b": 0o444}
    assert blobs.path(files[0].ref).stat().st_mode & 0o077 == 0, "the blob itself stays closed"


def test_a_missing_content_leaves_no_folder(home: Path) -> None:
    with pytest.raises(NotFound):
        inputs.ready([File(name="a", ref="0" * 64, size_bytes=1)], BlobStore(home / "blobs"), home)
    assert list((home / "inputs").iterdir()) == []


def test_a_folder_that_nobody_used_for_a_day_is_cleared_away(home: Path) -> None:
    blobs = BlobStore(home / "blobs")
    old, used = (inputs.ready(listed(blobs, a=data), blobs, home) for data in (b"old", b"used"))
    yesterday = time.time() - inputs.KEPT_SECONDS - 60
    os.utime(old, (yesterday, yesterday))
    os.utime(used, (yesterday, yesterday))
    assert inputs.ready(listed(blobs, a=b"used"), blobs, home) == used
    assert [path.name for path in (home / "inputs").iterdir()] == [used.name]
    assert time.time() - used.stat().st_mtime < 60
