"""Files out of a workspace, as the port promises it. The rules themselves are in `takeout.py`."""

from collections.abc import Sequence

from sandbox import takeout
from sandbox.base import ExportRefused


def read_files(workspace: int, paths: Sequence[str], max_bytes: int) -> dict[str, bytes]:
    """See `takeout.read`.

    Raises:
        ExportRefused: names the path, what was found and what is allowed.
    """
    try:
        return takeout.read(workspace, paths, max_bytes)
    except takeout.Refused as exc:
        raise ExportRefused(str(exc)) from None
