"""Writing to the store and the blob folder on behalf of a workflow."""

import asyncio
from decimal import Decimal

from temporalio import activity

from activities.alive import beating
from holdfast.blobs import BlobStore
from holdfast.contracts.base import Nothing, Value
from holdfast.contracts.model import Spent
from holdfast.contracts.program import (
    JOURNAL_SAVE,
    RECORD_SAVE,
    ProgramResult,
    RecordChange,
    SavedSegment,
    SaveSegment,
)
from holdfast.errors import NotFound
from store.records import Changes, NewTask, Records


class Recorder:
    """Saves journal segments and task records. Both may be repeated: a segment is named by its content, a final
    record is written once."""

    def __init__(self, records: Records, blobs: BlobStore) -> None:
        self._records, self._blobs = records, blobs

    @activity.defn(name=JOURNAL_SAVE.name)
    async def save_segment(self, request: SaveSegment) -> SavedSegment:
        """A part of the journal as a blob; its name is all that the workflow keeps."""
        text = request.segment.model_dump_json(exclude_unset=True).encode()
        async with beating():
            return SavedSegment(ref=await asyncio.to_thread(self._blobs.put, text))

    @activity.defn(name=RECORD_SAVE.name)
    async def save_record(self, change: RecordChange) -> Nothing:
        """The task's row as the workflow now is. A final row is never changed again."""
        fields = Changes() if change.result is None else _fields(change.result)
        async with beating():
            await self._change(change, fields)
        return Nothing()

    async def _change(self, change: RecordChange, fields: Changes) -> None:
        tenant, task_id = change.task.principal.tenant, change.task.task_id
        try:
            await self._records.change(tenant, task_id, change.state, **fields)
        except NotFound:
            await self._records.create(_new(change))
            await self._records.change(tenant, task_id, change.state, **fields)


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


def _fields(result: ProgramResult) -> Changes:
    value = result.value or Value()
    fields = Changes(
        output=value.inline,
        output_ref=value.ref,
        failure=result.error.model_dump(mode="json") if result.error else None,
        journal=result.journal,
        stdout=result.stdout,
        version=result.version,
        calls=result.calls,
        repairs=result.repairs,
        suspensions=result.suspensions,
        generations=result.generations,
        llm=[call.model_dump(mode="json") for call in result.llm],
        **_took(result.spent),
    )
    if result.source is not None:
        fields["source_ref"] = result.source
    return fields


def _took(spent: Spent) -> Changes:
    """A cost of which a part is not known is not known; that of no request is nothing."""
    return Changes(
        llm_calls=spent.llm_calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost=None if spent.unknown else spent.cost or Decimal(0),
        model=spent.model,
    )
