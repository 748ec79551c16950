"""The files that a task is given: checked, and their list kept."""

from collections.abc import Sequence

from holdfast import filenames
from holdfast.blobs import BlobStore
from holdfast.contracts.file import File
from holdfast.contracts.message import BlobPart
from holdfast.contracts.task import GivenFile
from holdfast.errors import InvalidRequest, NotFound, TooLarge


def files_ref(given: Sequence[GivenFile], blobs: BlobStore, max_bytes: int) -> str | None:
    """The blob of their list; None if there are none.

    Raises:
        InvalidRequest: a name is not allowed, or nothing was uploaded under a ref.
        TooLarge: together they have more than `max_bytes`.
    """
    if wrong := filenames.faults([one.name for one in given]):
        raise InvalidRequest(f"files: {'; '.join(wrong[:5])}")
    files = [File(name=one.name, ref=one.ref, size_bytes=_size(one, blobs, "files")) for one in given]
    if (size := sum(file.size_bytes for file in files)) > max_bytes:
        raise TooLarge(f"files: together {size} bytes; {max_bytes} are allowed (setting max_file_bytes)")
    return filenames.saved(blobs, files)


def checked_parts(given: Sequence[BlobPart], blobs: BlobStore, max_bytes: int) -> list[BlobPart]:
    """Files that a model sees with what is said, with their true sizes.

    Raises:
        InvalidRequest: nothing was uploaded under a ref.
        TooLarge: together they have more than `max_bytes`.
    """
    parts = [one.model_copy(update={"size_bytes": _size(one, blobs, "parts")}) for one in given]
    if (size := sum(part.size_bytes for part in parts)) > max_bytes:
        raise TooLarge(f"parts: together {size} bytes; {max_bytes} are allowed (setting max_file_bytes)")
    return parts


def _size(one: GivenFile | BlobPart, blobs: BlobStore, field: str) -> int:
    try:
        return blobs.path(one.ref).stat().st_size
    except NotFound:
        raise InvalidRequest(f"{field}: nothing was uploaded under ref {one.ref}; send it with POST /files") from None
