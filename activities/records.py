"""Writing to the store and the blob folder on behalf of a workflow."""

import asyncio
from datetime import UTC, datetime

from temporalio import activity

from activities.alive import beating
from activities.auditing import entries
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Nothing
from holdfast.contracts.program import (
    FINAL,
    JOURNAL_SAVE,
    RECORD_SAVE,
    RecordChange,
    SavedSegment,
    SaveSegment,
)
from holdfast.errors import NotFound
from store.audit import Audit
from store.publishing import Publisher
from store.records import Changes, NewTask, Records, TaskRow
from store.results import columns


class Recorder:
    """Saves journal segments and task records. Both may be repeated: a segment is named by its content, a final
    record is written once. Who subscribed is told of ends, behind the record: both are repeated until both are done."""

    def __init__(self, records: Records, blobs: BlobStore, publisher: Publisher) -> None:
        self._records, self._blobs, self._publisher = records, blobs, publisher
        self._audit = Audit(records.db)

    @activity.defn(name=JOURNAL_SAVE.name)
    async def save_segment(self, request: SaveSegment) -> SavedSegment:
        """A part of the journal as a blob; its name is all that the workflow keeps. So is the closing program alone."""
        text = request.segment.model_dump_json(exclude_unset=True).encode()
        closing = request.segment.closing
        async with beating():
            ref = await asyncio.to_thread(self._blobs.put, text)
            if closing is None or not closing.version.source:
                return SavedSegment(ref=ref)
            source = await asyncio.to_thread(self._blobs.put_json, closing.version.model_dump())
            return SavedSegment(ref=ref, source=source)

    @activity.defn(name=RECORD_SAVE.name)
    async def save_record(self, change: RecordChange) -> Nothing:
        """The task's row as the workflow now is. A final row is never changed again. What was asked and is closed goes
        to the audit record."""
        fields = Changes() if change.result is None else columns(change.result)
        if change.began_at is not None:
            fields["started_at"] = datetime.fromtimestamp(change.began_at, UTC)
        async with beating():
            await self._audit.add(change.task.principal.tenant, entries(change.task, change.closed))
            row = await self._change(change, fields)
            if row.state in FINAL:
                await self._publisher.ended(row)
        return Nothing()

    async def _change(self, change: RecordChange, fields: Changes) -> TaskRow:
        tenant, task_id = change.task.principal.tenant, change.task.task_id
        try:
            return (await self._records.change(tenant, task_id, change.state, **fields)).row
        except NotFound:
            await self._records.create(_new(change))
            return (await self._records.change(tenant, task_id, change.state, **fields)).row


def _new(change: RecordChange) -> NewTask:
    """The row of a workflow that was not started by the API (by the Temporal CLI, or as a flow's step)."""
    task = change.task
    return NewTask(
        id=task.task_id,
        tenant=task.principal.tenant,
        type=change.type,
        trace_id=task.trace_id,
        user_hash=task.principal.user_hash,
    )
