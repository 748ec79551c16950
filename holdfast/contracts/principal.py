"""Who asks, and the thread that ties one request together."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from holdfast.contracts.base import Contract, Sha256
from holdfast.ids import workflow_id

Tenant = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Role = Literal["admin", "user", "viewer"]


class Principal(Contract):
    """On whose behalf something happens. An e-mail address never gets this far: only its hash does (P-35)."""

    tenant: Tenant = "default"
    user_hash: Sha256 | None = None
    role: Role = "admin"


class TaskRef(Contract):
    """Which task, whose, and under which trace. Part of every request from the API down to the box."""

    task_id: str
    principal: Principal = Principal()
    trace_id: str = Field(pattern=r"^[0-9a-f]{32}$")

    @property
    def workflow_id(self) -> str:
        return workflow_id(self.principal.tenant, self.task_id)
