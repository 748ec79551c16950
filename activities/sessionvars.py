"""What programs of a conversation hand on to each other: the dict `session`, on its way into a box and out of it."""

import json
from typing import Any

from activities.values import loaded
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json, Value
from holdfast.contracts.program import MAX_VARIABLES_BYTES
from sandbox.base import ProtocolViolation


async def given(blobs: BlobStore, variables: Value | None) -> dict[str, Any]:
    """Fields of the frame `job`; none for a program that runs in no session: what it leaves is not kept."""
    if variables is None:
        return {}
    return {"session": await loaded(blobs, variables) or {}, "session_bytes": MAX_VARIABLES_BYTES}


def told(frame: dict[str, Any], before: dict[str, Json] | None) -> dict[str, Json]:
    """What a program left in `session`, as its guest tells, once.

    Raises:
        ProtocolViolation: no guest of ours would send such a frame.
    """
    found = frame.get("variables")
    if before is not None or not isinstance(found, dict) or not _fits(found):
        raise ProtocolViolation("a session frame of the guest has the wrong shape")
    return found


def _fits(variables: dict[str, Json]) -> bool:
    """The guest's own look must not be the last one. The size is that of the text as the guest writes it."""
    are_names = all(0 < len(name) <= 100 and name.isprintable() for name in variables)
    return are_names and len(json.dumps(variables)) <= MAX_VARIABLES_BYTES
