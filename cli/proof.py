"""What Temporal's history says about a program: how often each call was begun, finished, and begun again after that."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from holdfast.contracts.program import PROGRAM_RUN, ProgramEnd
from holdfast.contracts.skill import SKILL_RUN


@dataclass
class Proof:
    """Counts over all runs of one workflow. An activity's id is its call's id, so the history alone tells repeats.

    `begun` counts attempts: a call that was in flight at a kill has begun twice and finished once. `failed` are calls
    whose recorded answer is an error.
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

    @property
    def holds(self) -> bool:
        """Every call has an end, and none was scheduled again once its completion stood in the history."""
        ended = set(self.finished) | set(self.failed)
        return self.repeated == 0 and self.calls > 0 and ended == set(self.scheduled)

    @property
    def calls(self) -> int:
        return len(self.scheduled)


async def proof(client: Client, workflow_id: str) -> Proof:
    """Read the whole history, first run to last."""
    found = Proof()
    for events in await _runs(client, workflow_id):
        found.runs += 1
        found.events += len(events)
        ends = count(found, events)
        for end in ends:
            found.from_journal += (await _end(client, end)).answered_from_journal
    return found


def count(found: Proof, events: Iterable[HistoryEvent]) -> list[HistoryEvent]:
    """Add one run's events to the counts; the completions of `program.run` are returned."""
    kinds: dict[int, tuple[str, str]] = {}
    ends = []
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                kinds[event.event_id] = (scheduled.activity_type.name, scheduled.activity_id)
                _scheduled(found, *kinds[event.event_id])
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                _started(found, kinds[started.scheduled_event_id][0], started.attempt)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                kind, call = kinds[event.activity_task_completed_event_attributes.scheduled_event_id]
                _finished(found, kind, call)
                ends += [event] if kind == PROGRAM_RUN.name else []
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                _failed(found, *kinds[failed.scheduled_event_id])
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                _failed(found, *kinds[late.scheduled_event_id])
    return ends


def _scheduled(found: Proof, kind: str, call: str) -> None:
    if kind == SKILL_RUN.name:
        found.repeated += call in found.finished
        found.scheduled[call] += 1


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
