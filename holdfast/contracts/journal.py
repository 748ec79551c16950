"""The journal: all calls of a task with their answers. Its export is a public format from the first day."""

from typing import Literal

from holdfast.contracts.base import CallId, Contract, Failure, Json, Sha256, Value
from holdfast.contracts.model import LlmCall
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.skill import Effect

EntryState = Literal["open", "answered", "failed", "dropped"]


class Entry(Contract):
    """One call. `order` counts recorded answers of the task from 1; 0 while the call is open.

    `number` is the place of the ask in the program's own order of asking, of the version that asked first.
    Times are UTC seconds since 1970, as the workflow saw them.
    """

    id: CallId
    skill: str
    arguments: Value
    effect: Effect = "pure"
    scope: str = ""
    number: int = 0
    version: int = 1
    state: EntryState = "open"
    order: int = 0
    asked_at: float = 0.0
    answered_at: float | None = None
    value: Value | None = None
    error: Failure | None = None


class JournalExport(Contract):
    """`GET /tasks/{id}/journal`, format 1. Values above the inline limit are resolved here, so the file stands alone.

    Fork, cassettes and counterfactual replay read this; fields may be added, none is renamed or removed.
    """

    format: Literal[1] = 1
    task: TaskRef
    catalogue: Sha256
    source: str
    version: int
    seed: int
    started_at: float
    inputs: Json = None
    entries: list["ExportedCall"] = []
    seen: list[int] = []


class ExportedCall(Contract):
    """One call in an export. `used`: the last version of the program asked for it."""

    id: CallId
    skill: str
    arguments: Json
    effect: Effect
    scope: str = ""
    number: int = 0
    version: int
    state: EntryState
    order: int
    asked_at: float
    answered_at: float | None = None
    value: Json = None
    error: Failure | None = None
    used: bool = True


class JournalView(Contract):
    """Answer of the query `journal`: what is in blobs, and what is not there yet."""

    segments: list[Sha256] = []
    fresh: list[Entry] = []
    llm: list[LlmCall] = []
    seen: list[int] = []
    version: int = 1
    source: str = ""
    seed: int = 0
    started_at: float = 0.0


JournalExport.model_rebuild()


def stands(entry: Entry, version: int, began_at: float, max_age_seconds: float | None) -> bool:
    """Whether a recorded answer holds for this version of the program (DESIGN.md 5, "Repair").

    Its own version's answers always hold. A mended version asks again for errors, but those of `once` skills,
    and for values older than `max_age_seconds` when it began; all else is paid for and stays.
    """
    if entry.state not in ("answered", "failed"):
        return False
    if entry.version == version:
        return True
    if entry.state == "failed":
        return entry.effect == "once"
    return max_age_seconds is None or (entry.answered_at or 0.0) + max_age_seconds >= began_at
