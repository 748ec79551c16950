"""What a program leaves in /ws/out: taken out by the box's own rules, kept as blobs."""

import asyncio
from collections.abc import Sequence

from activities import ends
from holdfast import filenames
from holdfast.blobs import BlobStore
from holdfast.contracts.file import File
from holdfast.contracts.program import Limits, ProgramEnd
from sandbox.base import Box, ExportRefused, ProtocolViolation

FOLDER = "out/"


def paths_of(frame: dict[str, object]) -> list[str]:
    """The paths that a `files` frame tells, relative to /ws. Whether they are what they seem is for `export` to see.

    Raises:
        ProtocolViolation: no guest of ours would send such a frame.
    """
    paths = frame.get("paths")
    if not isinstance(paths, list) or not all(isinstance(one, str) and f"{one}/".startswith(FOLDER) for one in paths):
        raise ProtocolViolation("a files frame of the guest has the wrong shape")
    return paths


async def handed_out(end: ProgramEnd, paths: Sequence[str], box: Box, blobs: BlobStore, limits: Limits) -> ProgramEnd:
    """The end with the files that these paths lead to; all of them, or the program has failed of its own making."""
    if len(paths) > limits.output_files:
        return _refused(end, f"more than {limits.output_files} files are in it", limits)
    try:
        contents = await box.export(list(paths))
    except ExportRefused as exc:
        return _refused(end, str(exc), limits)
    if wrong := filenames.faults([path.removeprefix(FOLDER) for path in contents]):
        return _refused(end, "; ".join(wrong[:5]), limits)
    ref = await asyncio.to_thread(_kept, blobs, contents)
    return end.model_copy(update={"files_ref": ref})


def _kept(blobs: BlobStore, contents: dict[str, bytes]) -> str | None:
    files = [
        File(name=path.removeprefix(FOLDER), ref=blobs.put(content), size_bytes=len(content))
        for path, content in sorted(contents.items())
    ]
    return filenames.saved(blobs, files)


def _refused(end: ProgramEnd, why: str, limits: Limits) -> ProgramEnd:
    text = (
        f"what the program left in /ws/out cannot be handed out: {why}. Leave plain files with printable names there, "
        f"at most {limits.output_files} of {min(limits.output_files_bytes, limits.disk_bytes)} bytes together "
        "(limits.output_files, limits.output_files_bytes, limits.disk_bytes), or one archive of them"
    )
    raised = ends.raised("OutputFilesRefused", text, "validation")
    return end.model_copy(update={"outcome": raised.outcome, "value": None, "error": raised.error})
