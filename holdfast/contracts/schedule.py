"""Schedules: tasks that begin by the clock. Each is a Temporal Schedule, which starts a ScheduledWorkflow."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from holdfast.contracts.base import Contract, Json
from holdfast.contracts.principal import Tenant

SCHEDULED_WORKFLOW = "ScheduledWorkflow"

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]
ScheduleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class ScheduleSpec(Contract):
    """When, and what. Exactly one of `cron` (five fields) and `interval_seconds`. `request` is a `TaskRequest` as JSON.
    `catchup_seconds`: of the times that passed while the server was down, those not older are made up for.
    `managed_by` is the file that declares it; empty: made by hand, and left alone by a reload."""

    name: ScheduleName
    tenant: Tenant = "default"
    cron: str = ""
    interval_seconds: float | None = Field(default=None, gt=0)
    timezone: str = "UTC"
    overlap: Overlap = "skip"
    catchup_seconds: float = Field(default=60.0, ge=10)
    enabled: bool = True
    request: dict[str, Json]
    managed_by: str = ""

    @property
    def schedule_id(self) -> str:
        return f"{self.tenant}/schedule:{self.name}"


class ScheduledRun(Contract):
    """Input of ScheduledWorkflow. Its own workflow id, which ends in the time it was due, is the task's key."""

    name: ScheduleName
    tenant: Tenant = "default"
    request: dict[str, Json]
