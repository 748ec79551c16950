"""Names of files that go into a box and come out of it: what is allowed, and reading and writing lists of them."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from holdfast.blobs import BlobStore
from holdfast.contracts.file import File, FileList
from holdfast.errors import shown

MAX_FILES = 1000
_MAX_BYTES, _MAX_STEP_BYTES, _MAX_STEPS = 1024, 255, 32
_ALLOWED = "a relative path of printable characters is expected, without '..', '.' and '//', such as 'data/2024.csv'"


def fault(name: str) -> str:
    """What is wrong with a name, with the name in it; empty if nothing is."""
    if not name.isprintable():
        return f"{shown(name)} holds a line break or another unprintable character; {_ALLOWED}"
    steps = name.split("/")
    if any(step in ("", ".", "..") for step in steps):
        return f"{shown(name)} is no relative path; {_ALLOWED}"
    if (
        len(name.encode()) > _MAX_BYTES
        or len(steps) > _MAX_STEPS
        or max(len(s.encode()) for s in steps) > _MAX_STEP_BYTES
    ):
        return (
            f"{shown(name)} is too long; at most {_MAX_BYTES} bytes in {_MAX_STEPS} parts "
            f"of {_MAX_STEP_BYTES} bytes each are allowed"
        )
    return ""


def faults(names: Sequence[str]) -> list[str]:
    """What is wrong with names that are to lie in one folder: each by itself, twice the same, a file as a folder."""
    if len(names) > MAX_FILES:
        return [f"{len(names)} files; at most {MAX_FILES} are allowed: put them into one archive"]
    if found := [text for text in map(fault, names) if text]:
        return found
    taken: set[str] = set()
    for name in names:
        if name in taken:
            found.append(f"{shown(name)} is there twice; each name may stand once")
        taken.add(name)
    parents = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return found + [f"{shown(name)} is a file and a folder of another; it can be one only" for name in taken & parents]


def saved(blobs: BlobStore, files: Iterable[File]) -> str | None:
    """The blob of a list of files; None if there is none in it."""
    listed = FileList(files=list(files))
    return blobs.put(listed.model_dump_json().encode()) if listed.files else None


def read(blobs: BlobStore, files_ref: str | None) -> list[File]:
    """
    Raises:
        NotFound: there is no such blob.
    """
    return FileList.model_validate_json(blobs.get(files_ref)).files if files_ref else []
