"""The activities `backlog.take` and `backlog.close`: an item of a session's backlog becomes a turn of it, and is marked
by how that ended."""

import json
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from activities.alive import beating
from activities.values import loaded
from holdfast.blobs import BlobStore
from holdfast.contracts.backlog import CLOSE, MAX_NOTE, TAKE, Closed, CloseRequest, ItemState, Taken, TakeRequest
from holdfast.contracts.base import Failure, Value
from holdfast.contracts.begin import Begin
from holdfast.contracts.budget import BUDGET_EXHAUSTED, STOP, Amount, BudgetState
from holdfast.contracts.program import FINAL, QUERY_PROGRESS, SIGNAL_ANSWER, Progress
from holdfast.contracts.question import AnswerMessage
from holdfast.contracts.session import SessionRef, SessionSettings
from holdfast.contracts.task import TaskRequest
from holdfast.conversing import message_of
from holdfast.errors import Conflict, TooManyTasks, UserError
from holdfast.ids import task_id_from_key, workflow_id
from holdfast.temporal.sessions import send
from store.admission import Admission
from store.backlog import Backlog
from store.records import Records, TaskRow
from store.sessions import Sessions

STILL_RUNNING = "StillRunning"
"""Type of what is no fault: the task is not over, so Temporal asks again, which holds no slot and no history."""
_SHOWN = 500

log = structlog.stdlib.get_logger(__name__)


class BacklogWork:
    """Both may be repeated: the item, its task and its turn are found by the key of the step."""

    def __init__(
        self,
        client: Client,
        blobs: BlobStore,
        backlog: Backlog,
        sessions: Sessions,
        records: Records,
        admission: Admission,
    ) -> None:
        self._client, self._blobs, self._backlog, self._sessions = client, blobs, backlog, sessions
        self._records, self._admission = records, admission

    @activity.defn(name=TAKE.name)
    async def take(self, request: TakeRequest) -> Taken:
        """The oldest open item as the next turn of its session. One whose task cannot begin is failed, and says why."""
        work = request.work
        structlog.contextvars.bind_contextvars(trace_id=work.trace_id)
        async with beating():
            task_id = task_id_from_key(work.tenant, request.key)
            row = await self._backlog.take(work.tenant, work.session_id, task_id)
            if row is None:
                return Taken()
            taken = Taken(item_id=row.id, task_id=task_id, text=_cut(row.text))
            try:
                await self._begun(request, row.text)
            except UserError as exc:
                await self._marked(request, row.id, "failed", str(exc))
                return taken.model_copy(update={"problem": str(exc)})
            log.info("backlog.taken", item=row.id, task_id=task_id)
            return taken

    @activity.defn(name=CLOSE.name)
    async def close(self, request: CloseRequest) -> Closed:
        """The item as it is now that its task is over. What its task, or people, said of it before holds.

        Raises:
            ApplicationError: `StillRunning`.
        """
        work = request.work
        structlog.contextvars.bind_contextvars(trace_id=work.trace_id, task_id=request.task_id)
        async with beating():
            row = await self._ended(work.tenant, request.task_id, work.budget.is_set)
            state: ItemState = "done" if row.state == "DONE" else "failed"
            state, note = await self._marked(request, request.item_id, state, await self._note(row))
        is_used_up = row.failure is not None and row.failure["type"] == BUDGET_EXHAUSTED
        return Closed(state=state, note=note, took=_took(row), is_used_up=is_used_up)

    async def _begun(self, request: TakeRequest, text: str) -> None:
        """Admit the task, and send it to the session.

        Raises:
            UserError: it cannot begin.
            ApplicationError: it cannot now.
        """
        work = request.work
        found = await self._sessions.find(work.tenant, work.session_id)
        settings = SessionSettings.model_validate(found.settings) if found and found.settings else SessionSettings()
        asked = TaskRequest(
            type=f"agent:{settings.agent}" if settings.agent else "agent",
            input=text,
            model=settings.model,
            session_id=work.session_id,
            budget=request.budget,
            idempotency_key=request.key,
        )
        try:
            begin, row, _ = await self._admission.admit(asked, work.tenant, work.trace_id)
        except TooManyTasks as exc:
            raise _later(str(exc), "TooManyTasks", exc.retry_after) from exc
        if row.state in FINAL:
            return
        ref = SessionRef(tenant=work.tenant, session_id=work.session_id, trace_id=work.trace_id)
        await self._sent(ref, settings, begin)

    async def _sent(self, ref: SessionRef, settings: SessionSettings, begin: Begin) -> None:
        try:
            await send(self._client, ref, settings, message_of(begin))
        except WorkflowUpdateFailedError as exc:
            if not isinstance(exc.cause, ApplicationError) or exc.cause.type != Conflict.code:
                raise _later(str(exc.cause), "SessionBusy", 5) from exc
            failure = Failure(type="NotStarted", message=f"the task was never started: {exc.cause.message}")
            task = begin.task
            await self._records.change(
                task.principal.tenant, task.task_id, "ERROR", failure=failure.model_dump(mode="json")
            )
            raise Conflict(exc.cause.message) from exc

    async def _ended(self, tenant: str, task_id: str, has_budget: bool) -> TaskRow:
        """The row of a task that is over. One that was ended in Temporal may have no final record; it has failed then.

        Raises:
            ApplicationError: `StillRunning`.
        """
        row = await self._records.get(tenant, task_id)
        if row.state in FINAL:
            return row
        if row.state == "WAITING" and has_budget:
            await self._refuse_more(workflow_id(tenant, task_id))
        if not await self._is_closed(workflow_id(tenant, task_id)):
            raise _later(f"task {task_id!r} is {row.state}", STILL_RUNNING)
        return await self._records.get(tenant, task_id)

    async def _refuse_more(self, task: str) -> None:
        """Of a task that asks for a top-up: there is none, what it began ends."""
        handle: Any = self._client.get_workflow_handle(task)
        try:
            seen: Progress = await handle.query(QUERY_PROGRESS, result_type=Progress)
        except (RPCError, WorkflowQueryFailedError):
            return
        for question in seen.questions:
            if question.kind == "budget" and question.state == "open":
                await handle.signal(SIGNAL_ANSWER, AnswerMessage(question_id=question.id, value=STOP))

    async def _is_closed(self, task: str) -> bool:
        """Whether its workflow ended. One that waits for its turn has none yet."""
        try:
            status = (await self._client.get_workflow_handle(task).describe()).status
        except RPCError as exc:
            if exc.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        return status not in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)

    async def _marked(
        self, request: TakeRequest | CloseRequest, item_id: str, state: ItemState, note: str
    ) -> tuple[ItemState, str]:
        """How the item stands now: the first word on it holds."""
        place = (request.work.tenant, request.work.session_id, item_id)
        try:
            row = await self._backlog.close(*place, state, note[:MAX_NOTE])
        except Conflict:
            row = await self._backlog.get(*place)
        return ("done" if row.state == "done" else "failed"), row.note

    async def _note(self, row: TaskRow) -> str:
        """What came of it, for those who look at the list; the whole answer is in the task's record."""
        if row.state == "DONE":
            found = await loaded(self._blobs, Value(inline=row.output, ref=row.output_ref))
            said = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
            return _cut("" if found is None else said)
        failure: dict[str, Any] = row.failure or {"message": "its workflow was ended in Temporal"}
        return _cut(f"{row.state if row.state in FINAL else 'ERROR'}: {failure['message']}")


def _later(text: str, kind: str, after_seconds: float | None = None) -> ApplicationError:
    """Benign: the SDK logs no traceback of what is no fault."""
    delay = None if after_seconds is None else timedelta(seconds=after_seconds)
    return ApplicationError(text, type=kind, next_retry_delay=delay, category=ApplicationErrorCategory.BENIGN)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _took(row: TaskRow) -> Amount:
    """With a budget, what the whole tree of tasks took."""
    if row.budget is not None:
        return BudgetState.model_validate(row.budget).taken
    return Amount(tokens=row.input_tokens + row.output_tokens, usd=row.cost, calls=row.calls)
