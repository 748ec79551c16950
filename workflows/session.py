"""SessionWorkflow: a conversation. Its turns are tasks, one after another, each a child that knows what was said.

    LOAD -> (turn: begin it -> note it -> save -> sum up, when full)* -> idle: save, END; the next message begins anew

It continues as new between turns only, so no child outlives a run. A turn that fails, or is cancelled, is a turn that
ended so; the conversation goes on. The story is in `_story`; handlers only take messages and show how things stand.
"""

import asyncio
import contextlib
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowHandle

from holdfast.contracts.base import Nothing
from holdfast.contracts.program import (
    RECORD_SAVE,
    ProgramResult,
    RecordChange,
)
from holdfast.contracts.session import (
    LLM_SUMMARY,
    MAX_QUEUED,
    QUERY_SESSION,
    QUEUE_FULL,
    SESSION_LOAD,
    SESSION_NOTE,
    SESSION_SAVE,
    SESSION_WORKFLOW,
    SIGNAL_CLOSE,
    SIGNAL_DROP,
    SIGNAL_HIBERNATE,
    SIGNAL_SEND,
    UPDATE_SEND,
    Dropped,
    Loaded,
    LoadRequest,
    Memory,
    Message,
    Noted,
    NoteRequest,
    SaveRequest,
    Sent,
    SessionSpec,
    SessionState,
    SessionView,
    Summary,
    SummaryRequest,
)
from workflows import policies
from workflows.beginning import begun
from workflows.children import ended_badly
from workflows.saving import locally
from workflows.sessionturns import TurnReports, brief_of, cut, ready, turn_of

RECENT = 20
"""Turns that are over, and are shown without a look at their records."""
KNOWN = 500
"""Ids of tasks that are remembered, so that a message that comes twice is one turn."""


# Not in the SDK's sandbox: see TaskWorkflow.
@workflow.defn(name=SESSION_WORKFLOW, sandboxed=False)
class SessionWorkflow(TurnReports):
    @workflow.init
    def __init__(self, spec: SessionSpec) -> None:
        super().__init__(spec.session)
        self.settings = spec.settings
        self.memory = spec.memory or Memory()
        self.is_loaded = spec.memory is not None
        self.queue: list[Message] = list(spec.queue)
        self.seen_at = self.memory.recent[-1].queued_at if self.memory.recent else workflow.now().timestamp()
        self.user_hash: str | None = None
        self.is_full = False
        """Whether the conversation is to be summed up before the next turn."""
        self.rests = False
        """Whether it is to hibernate as soon as nothing is to be done."""
        self.closing = False

    # --- the story ------------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, spec: SessionSpec) -> Nothing:
        """Until it hibernates or is closed. Who cancels it in Temporal closes it."""
        story = asyncio.create_task(self._story())
        while not story.done():
            try:
                await asyncio.shield(story)
            except asyncio.CancelledError:
                self.closing = True
        return story.result()

    async def _story(self) -> Nothing:
        await self._load()
        while not self.closing:
            if self.queue:
                await self._turn(self.queue.pop(0))
                await self._continue_if_full()
            elif not await self._stirs() and await self._hibernated():
                return Nothing()
        await self._close()
        return Nothing()

    async def _load(self) -> None:
        if self.is_loaded:
            return
        request = LoadRequest(session=self.session, settings=self.settings)
        loaded: Loaded = await locally(SESSION_LOAD.name, request, result_type=Loaded, summary="wake")
        self.memory, self.settings = loaded.memory, loaded.settings
        self.closing = self.closing or loaded.is_closed
        self.is_loaded = True

    async def _stirs(self) -> bool:
        """Whether there is something to do before the session was idle for long."""
        self._show()
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self.queue) or self.closing or self.rests, timeout=self.settings.idle_seconds
            )
        self.rests = False
        return bool(self.queue) or self.closing

    async def _hibernated(self) -> bool:
        """Whether it may end now. What comes meanwhile is done first: there is no await behind the last look."""
        await self._save("idle")
        while not workflow.all_handlers_finished():
            await workflow.wait_condition(workflow.all_handlers_finished)
        if self.queue or self.closing:
            await self._save("active")
            return False
        return True

    async def _close(self) -> None:
        for message in self.queue:
            change = RecordChange(task=message.begin.task, state="CANCELLED", type=message.begin.type)
            await locally(RECORD_SAVE.name, change, summary="CANCELLED")
        await self._save("closed")
        await workflow.wait_condition(workflow.all_handlers_finished)

    # --- a turn ---------------------------------------------------------------------------------------------------

    async def _turn(self, message: Message) -> None:
        turn = turn_of(message, self.memory.turns + 1)
        self.running = turn.model_copy(update={"state": "RUNNING", "started_at": workflow.now().timestamp()})
        self.user_hash = self.user_hash or message.begin.task.principal.user_hash
        self._show()
        try:
            handle = await begun(ready(message.begin, self.memory, self.session.workflow_id))
        except WorkflowAlreadyStartedError:
            # A message that came twice, so far apart that it was not known any more.
            self._know(turn.task_id)
            self.running = None
            return
        await self._note(message, await self._ended(handle))
        self.running = self.report = None
        await self._save("active")
        if self.is_full and not self.closing:
            await self._sum_up(message)

    async def _ended(self, handle: "ChildWorkflowHandle[Any, ProgramResult]") -> ProgramResult:
        await workflow.wait_condition(lambda: handle.done() or self.closing)
        if not handle.done():
            handle.cancel()
        try:
            return await handle
        except asyncio.CancelledError:
            return ProgramResult(state="CANCELLED")
        except ChildWorkflowError as exc:
            return ProgramResult(state="CANCELLED") if is_cancelled_exception(exc) else ended_badly(exc)

    async def _note(self, message: Message, result: ProgramResult) -> None:
        """The turn is part of the conversation, however it ended."""
        assert self.running is not None
        variables = result.variables or self.memory.variables
        request = NoteRequest(
            task=message.begin.task,
            head=self.memory.head,
            talk=result.head,
            say=message.say,
            state=result.state,
            value=result.value,
            error=result.error,
            models=brief_of(message.begin, []).models,
            variables=variables,
        )
        noted: Noted = await locally(
            SESSION_NOTE.name, request, result_type=Noted, summary=f"turn {self.running.number}"
        )
        over = {
            "state": result.state,
            "answer": cut(noted.answer),
            "error": cut(result.error.message) if result.error else "",
            "ended_at": workflow.now().timestamp(),
        }
        turn = self.running.model_copy(update=over)
        self._know(turn.task_id)
        change = {
            "turns": turn.number,
            "head": noted.head,
            "tokens": noted.tokens,
            "unsummed": self.memory.unsummed + 1,
            "variables": variables,
            "names": noted.names,
            "recent": [*self.memory.recent, turn][-RECENT:],
        }
        self.memory = self.memory.model_copy(update=change)
        self.is_full = noted.is_full or self.memory.unsummed > self.settings.kept

    async def _sum_up(self, message: Message) -> None:
        """Sum older turns up, so that the conversation fits. What cannot be done now is tried again after the next."""
        models = [self.settings.model] if self.settings.model else []
        request = SummaryRequest(brief=brief_of(message.begin, models), head=self.memory.head or "")
        try:
            summary: Summary = await workflow.execute_activity(
                LLM_SUMMARY.name,
                request,
                result_type=Summary,
                summary="sum up",
                **policies.llm(policies.SUMMARY_SECONDS),
            )
        except ActivityError as exc:
            workflow.logger.warning(
                "session.not_summed_up", extra={"reason": str(exc.cause)[:200], "trace_id": self.session.trace_id}
            )
            return
        change = {"head": summary.head, "tokens": summary.tokens, "unsummed": 0}
        self.memory = self.memory.model_copy(update=change)
        self.is_full = False
        await self._save("active")

    async def _save(self, state: SessionState) -> None:
        request = SaveRequest(
            session=self.session,
            user_hash=self.user_hash,
            seen_at=self.seen_at,
            settings=self.settings,
            state=state,
            memory=self.memory,
        )
        await locally(SESSION_SAVE.name, request, result_type=Nothing, summary=state)

    async def _continue_if_full(self) -> None:
        """No child runs. There is no await between the last look and the act."""
        info = workflow.info()
        if not (info.is_continue_as_new_suggested() or info.get_current_history_length() > self.settings.bound_events):
            return
        while not workflow.all_handlers_finished():
            await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.closing:
            spec = SessionSpec(session=self.session, settings=self.settings, memory=self.memory, queue=self.queue)
            workflow.continue_as_new(spec)

    # --- what others say ------------------------------------------------------------------------------------------

    @workflow.update(name=UPDATE_SEND)
    async def send(self, message: Message) -> Sent:
        """Take the next turn. The same task again is the same turn."""
        await workflow.wait_condition(lambda: self.is_loaded)
        if self.closing:
            raise self._closed()
        return self._take(message)

    @send.validator
    def _check_send(self, message: Message) -> None:
        if self.closing:
            raise self._closed()
        if len(self.queue) >= MAX_QUEUED and self._place(message.begin.task.task_id) is None:
            text = (
                f"{MAX_QUEUED} messages wait in session {self.session.session_id!r}; as many may. Send it again later"
            )
            raise ApplicationError(text, type=QUEUE_FULL, non_retryable=True)

    @workflow.signal(name=SIGNAL_SEND)
    async def message(self, message: Message) -> None:
        """The same by signal, which needs no worker."""
        await workflow.wait_condition(lambda: self.is_loaded)
        self._take(message)

    @workflow.signal(name=SIGNAL_DROP)
    async def drop(self, dropped: Dropped) -> None:
        """A turn that waits, or is still on its way here, is not to begin."""
        await workflow.wait_condition(lambda: self.is_loaded)
        self.queue = [one for one in self.queue if one.begin.task.task_id != dropped.task_id]
        if self._place(dropped.task_id) is None:
            self._know(dropped.task_id)

    @workflow.signal(name=SIGNAL_HIBERNATE)
    def hibernate(self) -> None:
        """End as soon as nothing is to be done."""
        self.rests = True

    @workflow.signal(name=SIGNAL_CLOSE)
    def close(self) -> None:
        """End for good: the turn that runs is cancelled, those that wait do not begin."""
        self.closing = True

    # --- what others see ------------------------------------------------------------------------------------------

    @workflow.query(name=QUERY_SESSION)
    def view(self) -> SessionView:
        """What a watcher sees now."""
        first = self.memory.turns + (1 if self.running is None else 2)
        return SessionView(
            state="closed" if self.closing else "active",
            turns=self.memory.turns,
            tokens=self.memory.tokens,
            recent=self.memory.recent,
            queued=[turn_of(message, number) for number, message in enumerate(self.queue, first)],
            running=self._running(),
            questions=self._questions(),
            variables=self.memory.variables,
        )

    # --- parts ----------------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> Sent:
        task_id = message.begin.task.task_id
        if self._place(task_id) is None:
            now = workflow.now().timestamp()
            self.queue.append(message.model_copy(update={"sent_at": message.sent_at or now}))
            self.seen_at = now
        place = self._place(task_id)
        assert place is not None
        return place

    def _place(self, task_id: str) -> Sent | None:
        """Where a task stands among the turns; None: it is none of them."""
        running = self.running
        if running is not None and running.task_id == task_id:
            return Sent(turn=running.number)
        before = 0 if running is None else 1
        for ahead, message in enumerate(self.queue, before):
            if message.begin.task.task_id == task_id:
                return Sent(turn=self.memory.turns + 1 + ahead, ahead=ahead)
        over = next((turn.number for turn in self.memory.recent if turn.task_id == task_id), 0)
        return Sent(turn=over) if over or task_id in self.memory.done else None

    def _know(self, task_id: str) -> None:
        self.memory = self.memory.model_copy(update={"done": [*self.memory.done, task_id][-KNOWN:]})

    def _closed(self) -> ApplicationError:
        text = f"session {self.session.session_id!r} is closed; begin another one"
        return ApplicationError(text, type="CONFLICT", non_retryable=True)

    def _show(self) -> None:
        """What the Temporal UI shows as current details."""
        now = f"turn {self.running.number}: task {self.running.task_id}" if self.running else "idle"
        lines = [f"**{now}**, {len(self.queue)} waiting, {self.memory.turns} over, {self.memory.tokens} tokens"]
        lines += [f"- question `{one.id}`: {one.text[:200]}" for one in self._questions() if one.state == "open"]
        workflow.set_current_details("\n".join(lines))
