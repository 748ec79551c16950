"""What the cached run of a workflow is given, and what it must wait for."""

from typing import Any

import pytest
from temporalio.bridge.proto.workflow_activation import FireTimer, QueryWorkflow, WorkflowActivation
from temporalio.bridge.proto.workflow_activation import WorkflowActivationJob as Job
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance

from holdfast.temporal.early import Punctual

TIMER, QUERY = Job(fire_timer=FireTimer(seq=1)), Job(query_workflow=QueryWorkflow(query_type="progress"))


class Run(WorkflowInstance):
    """A workflow at the edge: it notes what it is given."""

    def __init__(self) -> None:
        self.given: list[WorkflowActivation] = []

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        self.given.append(act)
        return WorkflowActivationCompletion()

    def get_serialization_context(self, command_info: Any) -> Any: ...
    def get_external_store_context(self, command_info: Any) -> Any: ...
    def get_info(self) -> Any: ...


def activation(task: int, events: int, job: Job = TIMER) -> WorkflowActivation:
    """What the SDK hands over in workflow task `task`, once so many events are known."""
    act = WorkflowActivation(run_id="run", history_length=events, history_size_bytes=1000 + task, jobs=[job])
    act.timestamp.FromSeconds(task)
    return act


def given(*acts: WorkflowActivation) -> tuple[list[WorkflowActivation], list[str]]:
    run, forgotten = Run(), list[str]()
    punctual = Punctual(run, forgotten.append)
    for act in acts:
        punctual.activate(act)
    return run.given, forgotten


def test_events_that_a_query_brings_are_withheld_and_the_run_is_forgotten() -> None:
    begun, early, query = activation(1, 3), activation(1, 9), activation(1, 9, QUERY)
    assert given(begun, early, query) == ([begun, query], ["run"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (activation(1, 3), activation(2, 9)),
        (activation(1, 3), activation(1, 3)),
        (activation(1, 3), activation(1, 6, QUERY)),
        (activation(1, 6, QUERY), activation(2, 9)),
    ],
    ids=["the next workflow task", "the same workflow task", "a query alone", "a workflow task behind a query"],
)
def test_what_comes_in_its_workflow_task_is_given(first: WorkflowActivation, second: WorkflowActivation) -> None:
    assert given(first, second) == ([first, second], [])
