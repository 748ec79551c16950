"""From the events of a Temporal history to what people want to hear of a task.

A run is read from its first event on, and what it was handed stands in that event. So the same history always
gives the same milestones, whoever reads it, and a place in a history is a place in the story.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter

from api.asked import Asked
from api.performed import Performed, at, read
from api.stepped import Stepped
from holdfast.contracts.budget import UPDATE_TOP_UP, TopUp
from holdfast.contracts.flow import FLOW_WORKFLOW, FlowCarried
from holdfast.contracts.llm import LLM_ANSWER, LLM_DELEGATE, LLM_MERGE, LLM_PLAN, LLM_PROGRAM, LLM_TURN
from holdfast.contracts.milestone import STATUS, AttemptMade, CallMade, Done, Milestone, StatusChanged
from holdfast.contracts.program import (
    FINAL,
    JOURNAL_SAVE,
    PROGRAM_RUN,
    PROGRAM_WORKFLOW,
    RECORD_SAVE,
    SIGNAL_ANSWER,
    UPDATE_ANSWER,
    UPDATE_CALLS,
    UPDATE_HELLO,
    CallsMessage,
    HelloMessage,
    ProgramReport,
    ProgramSpec,
    RecordChange,
    SaveSegment,
    TaskState,
)
from holdfast.contracts.question import AnswerMessage
from holdfast.contracts.work import (
    SIGNAL_REPORT,
    TASK_WORKFLOW,
    FlowTask,
    TaskCarried,
    TaskSpec,
    program_workflow_id,
)

Part = Literal["task", "program"]
"""The workflow of the task itself, or that of the program of an agent's task, which leaves state, questions and
the end to the first."""

_KINDS: Mapping[str, type[ProgramSpec | TaskSpec | FlowTask]] = {
    PROGRAM_WORKFLOW: ProgramSpec,
    TASK_WORKFLOW: TaskSpec,
    FLOW_WORKFLOW: FlowTask,
}
"""What each workflow of ours begins with, and hands to its next run."""
_ASK = "ask"
"""The skill that asks people."""
_STEPS = {
    LLM_PLAN.name: "Planning",
    LLM_PROGRAM.name: "Generating",
    LLM_ANSWER.name: "Answering",
    LLM_TURN.name: "Thinking",
    LLM_DELEGATE.name: "Planning",
    LLM_MERGE.name: "Merging",
    PROGRAM_RUN.name: "Running",
}


class Reader:
    """Reads one run. `number` is its place in its chain, from 1; `next_run` is the run that it continues as.

    `program_run` is the first run of the workflow of the task's program, once that was started.
    """

    def __init__(self, converter: DataConverter, part: Part = "task") -> None:
        self._converter = converter
        self._owns_state = part == "task"
        self._performed = Performed(converter)
        self._asked = Asked()
        self._stepped = Stepped(converter)
        self._state: TaskState | None = None
        self._step = ""
        self.number = 1
        self.next_run: str | None = None
        self.program_run: str | None = None
        self._readers: Mapping[int, Callable[[HistoryEvent], Awaitable[list[Milestone]]]] = {
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: self._started,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: self._continued,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: self._ended,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: self._ended,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: self._ended,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: self._ended,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: self._ended,
            EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED: self._taken,
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: self._child,
            EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: self._step_begun,
            **dict.fromkeys(self._stepped.ends, self._step_ended),
            EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: self._scheduled,
            EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: self._completed,
            EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: self._failed,
            EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: self._late,
            EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: self._cancelled,
            EventType.EVENT_TYPE_MARKER_RECORDED: self._marked,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: self._updated,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: self._signalled,
        }

    @property
    def model_since(self) -> float | None:
        """Since when (UTC seconds) a model is being asked, if one is."""
        return self._performed.model_since

    async def read(self, event: HistoryEvent) -> list[Milestone]:
        """The milestones of the next event; most have none."""
        reader = self._readers.get(event.event_type)
        return await reader(event) if reader else []

    # beginning and end

    async def _started(self, event: HistoryEvent) -> list[Milestone]:
        attributes = event.workflow_execution_started_event_attributes
        kind = _KINDS.get(attributes.workflow_type.name)
        if kind is None or (kind is not ProgramSpec and not attributes.continued_execution_run_id):
            return []
        spec = await read(self._converter, attributes.input, kind)
        if not isinstance(spec, ProgramSpec):
            return self._goes_on(spec.carried)
        if spec.carried is None:
            return self._performed.written(at(event), 1, spec.source, problems=spec.problems)
        self.number = spec.carried.runs
        self._state = "RUNNING"
        self._performed.version = spec.carried.version.number
        self._asked.carried(spec.carried.questions)
        return []

    def _goes_on(self, carried: TaskCarried | FlowCarried | None) -> list[Milestone]:
        """A later run of a loop or a flow."""
        if carried is not None:
            self.number, self._state = carried.generation, "RUNNING"
            self._asked.carried(carried.questions)
        if isinstance(carried, TaskCarried):
            self._performed.occurrences.update(carried.occurrences)
        return []

    async def _continued(self, event: HistoryEvent) -> list[Milestone]:
        attributes = event.workflow_execution_continued_as_new_event_attributes
        self.next_run = attributes.new_execution_run_id
        kind = _KINDS.get(attributes.workflow_type.name)
        if not self._owns_state or kind is None:
            return []
        carried = (await read(self._converter, attributes.input, kind)).carried
        return list(self._asked.settled(at(event), carried.questions if carried else []))

    async def _taken(self, event: HistoryEvent) -> list[Milestone]:
        """A worker has the task: it runs, although no record says so yet."""
        return self._stands(at(event), self._state or "RUNNING") if self._owns_state else []

    async def _child(self, event: HistoryEvent) -> list[Milestone]:
        execution = event.child_workflow_execution_started_event_attributes.workflow_execution
        if self._owns_state and execution.workflow_id.endswith(program_workflow_id("")):
            self.program_run = execution.run_id
        return []

    async def _step_begun(self, event: HistoryEvent) -> list[Milestone]:
        told = await self._stepped.begun(event)
        return [*self._steps(at(event), f"Step {told[0].name}" if told else ""), *told]

    async def _step_ended(self, event: HistoryEvent) -> list[Milestone]:
        return list(self._stepped.ended(event))

    async def _ended(self, event: HistoryEvent) -> list[Milestone]:
        if not self._owns_state:
            return []
        when, (state, error) = at(event), await self._end(event)
        status = StatusChanged(at=when, state=state, status=STATUS[state], current_step="Done")
        return [*self._asked.over(when), status, Done(at=when, state=state, status=STATUS[state], error=error)]

    async def _end(self, event: HistoryEvent) -> tuple[TaskState, str | None]:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                return "DONE", None
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
                return "CANCELLED", None
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
                return "TIMED_OUT", "Temporal ended the workflow at its time limit"
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
                reason = event.workflow_execution_terminated_event_attributes.reason or "no reason given"
                return "ERROR", f"the workflow was terminated in Temporal: {reason}"
        failure = event.workflow_execution_failed_event_attributes.failure
        return await self._failed_as(failure), failure.message

    async def _failed_as(self, failure: Failure) -> TaskState:
        """A program that failed hands on how: its result is the first detail of the failure."""
        details: list[Any] = await self._converter.decode(failure.application_failure_info.details.payloads)
        told = details[0].get("state") if details and isinstance(details[0], dict) else None
        return told if told in FINAL else "ERROR"

    # activities

    async def _scheduled(self, event: HistoryEvent) -> list[Milestone]:
        attributes = event.activity_task_scheduled_event_attributes
        told = await self._performed.begun(event)
        await self._stepped.scheduled(event)
        match attributes.activity_type.name:
            case RECORD_SAVE.name if self._owns_state:
                change = await read(self._converter, attributes.input, RecordChange)
                return [
                    *self._stands(at(event), change.state),
                    *self._asked.recorded(at(event), change.questions, change.closed),
                ]
            case JOURNAL_SAVE.name if self._owns_state:
                saved = await read(self._converter, attributes.input, SaveSegment)
                return list(
                    self._asked.settled(at(event), saved.segment.closing.questions if saved.segment.closing else [])
                )
            case kind:
                return [*self._steps(at(event), _step(kind, told)), *told]

    async def _completed(self, event: HistoryEvent) -> list[Milestone]:
        return [*await self._performed.done(event), *await self._stepped.completed(event)]

    async def _marked(self, event: HistoryEvent) -> list[Milestone]:
        told = await self._performed.marked(event)
        return [*self._steps(at(event), _step("", told)), *told, *await self._stepped.marked(event)]

    async def _failed(self, event: HistoryEvent) -> list[Milestone]:
        attributes = event.activity_task_failed_event_attributes
        return self._performed.failed(event, attributes.scheduled_event_id, attributes.failure.message)

    async def _late(self, event: HistoryEvent) -> list[Milestone]:
        attributes = event.activity_task_timed_out_event_attributes
        return self._performed.failed(event, attributes.scheduled_event_id, f"no answer: {attributes.failure.message}")

    async def _cancelled(self, event: HistoryEvent) -> list[Milestone]:
        return self._performed.failed(
            event, event.activity_task_canceled_event_attributes.scheduled_event_id, "cancelled"
        )

    # what others say

    async def _updated(self, event: HistoryEvent) -> list[Milestone]:
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        match request.name:
            case name if name == UPDATE_HELLO:
                hello = await read(self._converter, request.args, HelloMessage)
                version = self._performed.version
                return [AttemptMade(at=at(event), version=version, generation=hello.generation, attempt=hello.attempt)]
            case name if name == UPDATE_CALLS and self._owns_state:
                message = await read(self._converter, request.args, CallsMessage)
                asks = [ask for ask in message.asks if ask.skill == _ASK]
                return [told for ask in asks for told in self._asked.called(at(event), ask)]
            case name if name == UPDATE_ANSWER and self._owns_state:
                return list(self._asked.answered(at(event), await read(self._converter, request.args, AnswerMessage)))
            case name if name == UPDATE_TOP_UP and self._owns_state:
                return list(self._asked.topped_up(at(event), await read(self._converter, request.args, TopUp)))
        return []

    async def _signalled(self, event: HistoryEvent) -> list[Milestone]:
        signal = event.workflow_execution_signaled_event_attributes
        match signal.signal_name:
            case name if name == SIGNAL_REPORT:
                report = await read(self._converter, signal.input, ProgramReport)
                return list(self._asked.reported(at(event), report.questions))
            case name if name == SIGNAL_ANSWER and self._owns_state:
                return list(self._asked.signalled(at(event), await read(self._converter, signal.input, AnswerMessage)))
        return []

    # state

    def _stands(self, when: float, state: TaskState) -> list[Milestone]:
        """A new state that is not final: the end is told when it has come."""
        if state == self._state or state in FINAL:
            return []
        step = "Waiting" if state == "WAITING" else "Running" if self._state else "Starting"
        self._state, self._step = state, step
        return [StatusChanged(at=when, state=state, status=STATUS[state], current_step=step)]

    def _steps(self, when: float, step: str) -> list[Milestone]:
        """Another step: the task is at work, also if its record is late to say so."""
        if step in ("", self._step):
            return []
        self._state, self._step = "RUNNING", step
        return [StatusChanged(at=when, state="RUNNING", status="running", current_step=step)]


def _step(kind: str, told: list[Milestone]) -> str:
    """What a task does while this is done, in words for people; nothing for what happens inside of a call."""
    if told and isinstance(told[-1], CallMade):
        return "" if told[-1].parent else f"Calling {told[-1].skill}"
    return _STEPS.get(kind, "")
