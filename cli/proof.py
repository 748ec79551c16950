"""What Temporal's history says about a task: how often each call was begun, finished, and begun again after that."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from holdfast.contracts.llm import LLM_ANSWER, LLM_ASK, LLM_PLAN, LLM_PROGRAM, LLM_SKILL
from holdfast.contracts.program import PROGRAM_RUN, ProgramEnd
from holdfast.contracts.skill import SKILL_RUN
from holdfast.temporal.markers import local_activity

LLM = frozenset(ref.name for ref in (LLM_PLAN, LLM_PROGRAM, LLM_ANSWER, LLM_SKILL, LLM_ASK))


@dataclass
class Proof:
    """Counts over all runs of a task's workflow and that of its program.

    A skill call's activity has the call's id, so the history alone tells repeats. `begun` counts attempts: a call that
    was in flight at a kill has begun twice and finished once. `failed` are calls whose recorded answer is an error.
    An LLM call has no id of its own: it is repeated if the same is asked again (`paid_twice`) when it was answered.
    """

    runs: int = 0
    events: int = 0
    scheduled: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    repeated: int = 0
    attempts: int = 0
    from_journal: int = 0
    llm_calls: int = 0
    paid_twice: int = 0
    answered: set[bytes] = field(default_factory=set)

    @property
    def holds(self) -> bool:
        """Every skill call has an end, and no call was scheduled again once its completion stood in the history."""
        ended = set(self.finished) | set(self.failed)
        return self.repeated == self.paid_twice == 0 and self.calls > 0 and ended == set(self.scheduled)

    @property
    def calls(self) -> int:
        return len(self.scheduled)


async def proof(client: Client, *workflow_ids: str) -> Proof:
    """Read the whole histories, first run to last."""
    found = Proof()
    for workflow_id in workflow_ids:
        for events in await _runs(client, workflow_id):
            found.runs += 1
            found.events += len(events)
            for end in count(found, events):
                found.from_journal += (await _end(client, end)).answered_from_journal
    return found


def count(found: Proof, events: Iterable[HistoryEvent]) -> list[HistoryEvent]:
    """Add one run's events to the counts; the completions of `program.run` are returned."""
    kinds: dict[int, tuple[str, str]] = {}
    asked: dict[int, bytes] = {}
    ends = []
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                kinds[event.event_id] = (scheduled.activity_type.name, scheduled.activity_id)
                _scheduled(found, *kinds[event.event_id])
                if scheduled.activity_type.name in LLM:
                    asked[event.event_id] = _asked(found, scheduled.activity_type.name, scheduled.input)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                _started(found, kinds[started.scheduled_event_id][0], started.attempt)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                begin = event.activity_task_completed_event_attributes.scheduled_event_id
                kind, call = kinds[begin]
                _finished(found, kind, call)
                found.answered |= {asked[begin]} if begin in asked else set()
                ends += [event] if kind == PROGRAM_RUN.name else []
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                _marked(found, event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                _failed(found, *kinds[failed.scheduled_event_id])
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                _failed(found, *kinds[late.scheduled_event_id])
    return ends


def _asked(found: Proof, kind: str, payloads: Payloads) -> bytes:
    """Count an LLM call; what it asks, in bytes that are the same for the same."""
    request = kind.encode() + payloads.SerializeToString(deterministic=True)
    found.llm_calls += 1
    found.paid_twice += request in found.answered
    return request


def _scheduled(found: Proof, kind: str, call: str) -> None:
    if kind == SKILL_RUN.name:
        found.repeated += call in found.finished
        found.scheduled[call] += 1


def _marked(found: Proof, event: HistoryEvent) -> None:
    """A local activity, the call of a light skill among them: begun and over in one event."""
    if ran := local_activity(event):
        _scheduled(found, ran.kind, ran.id)
        _started(found, ran.kind, ran.attempt)
        has_failed = event.marker_recorded_event_attributes.HasField("failure")
        (_failed if has_failed else _finished)(found, ran.kind, ran.id)


def _started(found: Proof, kind: str, attempt: int) -> None:
    """The history has one start event per activity, written at its end, with the number of the last attempt."""
    if kind == SKILL_RUN.name:
        found.begun += attempt
    elif kind == PROGRAM_RUN.name:
        found.attempts += attempt


def _finished(found: Proof, kind: str, call: str) -> None:
    if kind == SKILL_RUN.name:
        found.finished[call] += 1


def _failed(found: Proof, kind: str, call: str) -> None:
    if kind == SKILL_RUN.name:
        found.failed[call] += 1


async def _runs(client: Client, workflow_id: str) -> list[list[HistoryEvent]]:
    """Events of each run, oldest first: from the newest back, as each start event names the run before it."""
    runs: list[list[HistoryEvent]] = []
    run_id: str | None = None
    while True:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        runs.insert(0, list((await handle.fetch_history()).events))
        run_id = runs[0][0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return runs


async def _end(client: Client, event: HistoryEvent) -> ProgramEnd:
    payloads = event.activity_task_completed_event_attributes.result.payloads
    decoded: list[ProgramEnd] = await client.data_converter.decode(payloads, [ProgramEnd])
    return decoded[0]
