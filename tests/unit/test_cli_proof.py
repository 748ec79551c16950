"""The proof counts what Temporal's history says, and cannot be talked into a success."""

from collections.abc import Iterator

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from cli.proof import Proof, count
from holdfast.contracts.llm import LLM_PLAN, LLM_PROGRAM
from holdfast.contracts.program import PROGRAM_RUN
from holdfast.contracts.skill import SKILL_RUN


class History:
    """Events of one run, as the server writes them."""

    def __init__(self) -> None:
        self.events: list[HistoryEvent] = []

    def scheduled(self, call: str, kind: str = SKILL_RUN.name, asks: bytes = b"") -> int:
        event = self._event(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        event.activity_task_scheduled_event_attributes.input.payloads.add(data=asks)
        event.activity_task_scheduled_event_attributes.activity_id = call
        event.activity_task_scheduled_event_attributes.activity_type.name = kind
        return event.event_id

    def completed(self, scheduled: int, attempt: int = 1) -> None:
        self._started(scheduled, attempt)
        event = self._event(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
        event.activity_task_completed_event_attributes.scheduled_event_id = scheduled

    def failed(self, scheduled: int) -> None:
        self._started(scheduled, 1)
        event = self._event(EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED)
        event.activity_task_failed_event_attributes.scheduled_event_id = scheduled

    def counted(self, found: Proof | None = None) -> Proof:
        found = found or Proof()
        count(found, self.events)
        return found

    def _started(self, scheduled: int, attempt: int) -> None:
        event = self._event(EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED)
        event.activity_task_started_event_attributes.scheduled_event_id = scheduled
        event.activity_task_started_event_attributes.attempt = attempt

    def _event(self, kind: "EventType.ValueType") -> HistoryEvent:
        self.events.append(HistoryEvent(event_id=len(self.events) + 1, event_type=kind))
        return self.events[-1]


@pytest.fixture
def history() -> Iterator[History]:
    yield History()


def test_each_call_once_holds(history):
    for call in ("a.1", "b.1"):
        history.completed(history.scheduled(call))
    found = history.counted()
    assert (found.calls, found.begun, found.finished.total(), found.repeated, found.holds) == (2, 2, 2, 0, True)


def test_a_call_scheduled_again_after_its_completion_is_a_repeat(history):
    history.completed(history.scheduled("a.1"))
    history.scheduled("a.1")
    found = history.counted()
    assert (found.repeated, found.holds) == (1, False)


def test_a_repeat_in_a_later_run_is_seen_too(history):
    history.completed(history.scheduled("a.1"))
    later = History()
    later.completed(later.scheduled("a.1"))
    assert later.counted(history.counted()).repeated == 1


def test_a_call_in_flight_at_a_kill_begins_twice_and_is_no_repeat(history):
    history.completed(history.scheduled("a.1"), attempt=2)
    found = history.counted()
    assert (found.begun, found.finished.total(), found.repeated, found.holds) == (2, 1, 0, True)


def test_an_error_that_is_recorded_is_an_end(history):
    history.failed(history.scheduled("a.1"))
    found = history.counted()
    assert (found.failed.total(), found.holds) == (1, True)


def test_a_call_without_an_end_does_not_hold(history):
    history.scheduled("a.1")
    assert not history.counted().holds


def test_no_call_at_all_proves_nothing(history):
    assert not history.counted().holds


def test_attempts_of_the_program_are_counted_apart(history):
    history.completed(history.scheduled("p", PROGRAM_RUN.name), attempt=3)
    found = history.counted()
    assert (found.attempts, found.calls, found.begun) == (3, 0, 0)


def test_llm_calls_are_counted_apart_from_those_of_skills(history):
    history.completed(history.scheduled("1", LLM_PLAN.name, b"plan"))
    history.completed(history.scheduled("2", LLM_PROGRAM.name, b"program"))
    history.completed(history.scheduled("a.1"))
    found = history.counted()
    assert (found.llm_calls, found.paid_twice, found.calls, found.holds) == (2, 0, 1, True)


def test_the_same_question_to_a_model_after_its_answer_is_money_spent_twice(history):
    history.completed(history.scheduled("a.1"))
    for number in ("1", "2"):
        history.completed(history.scheduled(number, LLM_PLAN.name, b"plan"))
    found = history.counted()
    assert (found.paid_twice, found.holds) == (1, False)


def test_an_llm_call_that_is_tried_again_before_it_was_answered_is_not_paid_twice(history):
    history.failed(history.scheduled("1", LLM_PLAN.name, b"plan"))
    history.completed(history.scheduled("2", LLM_PLAN.name, b"plan"))
    assert history.counted().paid_twice == 0
