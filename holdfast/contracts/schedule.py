"""Schedules: tasks that begin by the clock. Each is a Temporal Schedule, which starts a ScheduledWorkflow."""

from typing import Annotated

from pydantic import StringConstraints

from holdfast.contracts.base import Contract, Failure, Json
from holdfast.contracts.principal import Tenant
from holdfast.contracts.program import TaskState
from holdfast.contracts.timing import Timing

SCHEDULED_WORKFLOW = "ScheduledWorkflow"

ScheduleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$")]


class ScheduleSpec(Timing):
    """When, and what. `request` is a `TaskRequest` as JSON. `managed_by` is the file that declares it; empty: made by
    hand, and left alone by a reload."""

    name: ScheduleName
    tenant: Tenant = "default"
    request: dict[str, Json]
    managed_by: str = ""

    @property
    def schedule_id(self) -> str:
        return schedule_id(self.tenant, self.name)


class ScheduledRun(Contract):
    """Input of ScheduledWorkflow. Its own workflow id, which ends in the time it was due, is the task's key."""

    name: ScheduleName
    tenant: Tenant = "default"
    request: dict[str, Json]


class ScheduledEnd(Contract):
    """What a run came to. `state` is that in which its task ended; PENDING: a session has it as one of its turns."""

    task_id: str
    state: TaskState
    error: Failure | None = None


def schedule_id(tenant: str, name: str) -> str:
    return f"{tenant}/schedule:{name}"


def run_id(tenant: str, name: str) -> str:
    """What the workflow ids of its runs begin with; the time at which one was due stands behind."""
    return f"{schedule_id(tenant, name)}/run"
