"""When something is asked by the clock: the part of a schedule that files of agents and flows say too."""

from typing import Literal

from pydantic import Field

from holdfast.contracts.base import Contract, Json

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]
"""What becomes of a time that comes while the task of an earlier one is in work."""


class Timing(Contract):
    """When. Exactly one of `cron` (five fields) and `interval_seconds`. `catchup_seconds`: of the times that passed
    while the server was down, those not older are made up for."""

    cron: str = ""
    interval_seconds: int | None = Field(default=None, ge=1)
    timezone: str = "UTC"
    overlap: Overlap = "skip"
    catchup_seconds: float = Field(default=60.0, ge=10)
    enabled: bool = True


class Scheduled(Timing):
    """What the file of an agent or a flow says: when it is asked, and for what. `file` is its place in the project."""

    input: Json = None
    timeout_seconds: float | None = Field(default=None, gt=0)
    file: str = ""
