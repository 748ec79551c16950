"""What is written down outside of the histories: how a task stands, and its journal.

What nobody reads in the history is saved by a local activity, within the workflow task that needs it: a save is then
one event and some milliseconds instead of six events and 35 to 45 ms.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from holdfast.contracts.audit import AUDIT_WRITE, AuditNote
from holdfast.contracts.principal import TaskRef
from holdfast.contracts.program import (
    FINAL,
    JOURNAL_SAVE,
    RECORD_SAVE,
    ProgramResult,
    RecordChange,
    SavedSegment,
    SaveSegment,
    Segment,
    TaskState,
)
from holdfast.contracts.question import OF, Question
from workflows import policies


class Record:
    """A task's record: what is written, is written in order. The work need not wait for it."""

    def __init__(self, task: TaskRef, kind: str, began_at: float) -> None:
        self._of = {"task": task, "type": kind, "began_at": began_at}
        self._last: asyncio.Task[None] | None = None
        self._closed: set[tuple[str, float]] = set()

    @property
    def is_begun(self) -> bool:
        """Whether anything was written, or is on its way."""
        return self._last is not None

    def write(self, state: TaskState, questions: Iterable[Question], result: ProgramResult | None = None) -> None:
        """`questions` are all that there are, those of children too: those of tasks with records of their own are
        closed there."""
        asked, closed = list(questions), list[Question]()
        for one in asked:
            if one.state != "open" and OF not in one.id and (one.id, one.asked_at) not in self._closed:
                self._closed.add((one.id, one.asked_at))
                closed.append(one)
        still_open = [one for one in asked if one.state == "open"]
        fields = {"state": state, "questions": still_open, "closed": closed, "result": result}
        change = RecordChange.model_validate({**self._of, **fields})
        self._last = asyncio.create_task(_record(change, self._last))

    async def written(self) -> None:
        """Until all of it is."""
        if self._last is not None:
            await asyncio.shield(self._last)


async def _record(change: RecordChange, before: "asyncio.Task[None] | None") -> None:
    """States that are not final are milestones, which watchers read in the history."""
    if before is not None:
        await before
    if change.state in FINAL:
        await locally(RECORD_SAVE.name, change, summary=change.state)
    else:
        await workflow.execute_activity(RECORD_SAVE.name, change, summary=change.state, **policies.SAVE)


async def segment(part: Segment) -> SavedSegment:
    """Save a part of the journal. One that tells of questions is read by watchers too."""
    request, summary = SaveSegment(segment=part), f"{len(part.entries)} calls"
    options: dict[str, Any] = {"result_type": SavedSegment, "summary": summary}
    saved: SavedSegment
    if part.closing is None or not part.closing.questions:
        saved = await locally(JOURNAL_SAVE.name, request, **options)
    else:
        saved = await workflow.execute_activity(JOURNAL_SAVE.name, request, **options, **policies.SAVE)
    return saved


async def audited(task: TaskRef, questions: list[Question]) -> None:
    """Written to the audit record, before anything follows from it."""
    await locally(AUDIT_WRITE.name, AuditNote(task=task, questions=questions), summary=questions[0].state)


async def locally(name: str, request: Any, **options: Any) -> Any:
    """Once. What cannot be done now is left to an activity, which tries for as long as it takes without a trace."""
    try:
        return await workflow.execute_local_activity(name, request, **options, **policies.SAVE_LOCALLY)
    except (ActivityError, ApplicationError) as exc:
        if is_cancelled_exception(exc):
            raise
        return await workflow.execute_activity(name, request, **options, **policies.SAVE)
