"""Notes: long texts that a model was shown the beginning of, and may read the rest of by a handle.

A note is a blob that says whose it is, and its name is the handle. `recall` reads notes only, and of the asking tenant
only: no other blob can be had by its name, and knowing a handle of another tenant helps nobody.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Json, Sha256
from holdfast.contracts.skill import SkillCall
from holdfast.errors import NotFound, SkillRefused
from holdfast.names import RECALL

WORST_HANDLE = "0" * 64
"""None has more tokens."""
HINT = f'{RECALL}(handle="'
"""Stands in each text that can be recalled."""
_CUT = re.compile(
    r"\n\[… (?P<left>\d+) of (?P<total>\d+) characters are not shown"
    r": recall\(handle=\"(?P<handle>[0-9a-f]{64})\", offset=\d+\) reads on …\]\n?"
)
_MAX_BYTES = 64 << 20
_FORMAT = 1


Keep = Callable[[str], str]
"""Keeps a text and gives its handle; empty: it cannot be read again."""


@dataclass(frozen=True)
class Cut:
    """A text of `total` characters, of which `shown` are left, and `end`. `handle` is that of all of it, or empty."""

    shown: str
    total: int
    handle: str
    end: str = ""

    @classmethod
    def found(cls, text: str) -> "Cut | None":
        """What a text is that was cut before, and can be recalled. One that only speaks of another is none."""
        note = _CUT.search(text)
        if note is None:
            return None
        shown, end, total = text[: note.start()], text[note.end() :], int(note["total"])
        return cls(shown, total, note["handle"], end) if len(shown) + len(end) + int(note["left"]) == total else None

    @property
    def text(self) -> str:
        left = self.total - len(self.shown) - len(self.end)
        how = f': {HINT}{self.handle}", offset={len(self.shown)}) reads on' if self.handle else ""
        end = f"\n{self.end}" if self.end else ""
        return f"{self.shown}\n[… {left} of {self.total} characters are not shown{how} …]{end}"


def cut(text: str, characters: int, keep: Keep) -> str:
    """A text's beginning, and how to read the rest. One that was cut before keeps its handle."""
    before = Cut.found(text)
    if before is None:
        return text if len(text) <= characters else Cut(text[:characters], len(text), keep(text)).text
    if len(before.shown) <= characters and not before.end:
        return text
    return Cut(before.shown[:characters], before.total, before.handle).text


def noted(blobs: BlobStore, tenant: str, text: str) -> Sha256:
    """Keep a text of a tenant; its handle. The same text has the same handle."""
    return blobs.put_json({"note": _FORMAT, "tenant": tenant, "text": text})


def read(blobs: BlobStore, tenant: str, handle: str) -> str:
    """The text of a note.

    Raises:
        SkillRefused: there is no such note of this tenant; it is not said which.
    """
    found = _found(blobs, handle)
    if not isinstance(found, dict) or found.get("note") != _FORMAT or found.get("tenant") != tenant:
        text = f"no text with handle {handle[:80]!r} in this conversation; take a handle as it stands in a cut text"
        raise SkillRefused(text)
    return str(found["text"])


class Recall:
    """The engine skill `recall`."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def __call__(self, call: SkillCall, arguments: dict[str, Json]) -> Json:
        """A piece of a note, and where the next one begins.

        Raises:
            SkillRefused: no such note, or `offset` lies behind its end.
        """
        text = await asyncio.to_thread(read, self._blobs, call.task.principal.tenant, arguments["handle"])
        offset, total = int(arguments["offset"]), len(text)
        if offset > total:
            raise SkillRefused(f"offset: found {offset}; the text has {total} characters, the first is at 0")
        piece = text[offset : offset + int(arguments["characters"])]
        end = offset + len(piece)
        return {"text": piece, "total_characters": total, "next_offset": end if end < total else None}


def _found(blobs: BlobStore, handle: str) -> Json:
    try:
        if blobs.path(handle).stat().st_size > _MAX_BYTES:
            return None
        return blobs.get_json(handle)
    except (NotFound, ValueError):
        return None
