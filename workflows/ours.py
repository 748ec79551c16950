"""All workflows of holdfast: what a worker serves, and what replays."""

from workflows.backlog import BacklogWorkflow
from workflows.event import EventWorkflow
from workflows.flow import FlowWorkflow
from workflows.program import ProgramWorkflow
from workflows.scheduled import ScheduledWorkflow
from workflows.session import SessionWorkflow
from workflows.task import TaskWorkflow

OURS: tuple[type, ...] = (
    TaskWorkflow,
    FlowWorkflow,
    ProgramWorkflow,
    SessionWorkflow,
    BacklogWorkflow,
    ScheduledWorkflow,
    EventWorkflow,
)
