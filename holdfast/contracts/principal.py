"""Who asks, and the thread that ties one request together."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from holdfast.contracts.base import Contract, Sha256
from holdfast.ids import workflow_id

Tenant = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
SessionId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]+$")]
"""Any text of one line without a slash."""
Role = Literal["admin", "user", "viewer"]


class Principal(Contract):
    """On whose behalf something happens. An e-mail address never gets this far: only its hash does (P-35)."""

    tenant: Tenant = "default"
    user_hash: Sha256 | None = None
    role: Role = "admin"


class TaskRef(Contract):
    """Which task, whose, and under which trace. Part of every request from the API down to the box.

    The id of a task that another one started is a path: `<id of that one>/<part>`.
    """

    task_id: str
    principal: Principal = Principal()
    trace_id: str = Field(pattern=r"^[0-9a-f]{32}$")

    @property
    def workflow_id(self) -> str:
        return workflow_id(self.principal.tenant, self.task_id)

    @property
    def root_workflow_id(self) -> str:
        """The workflow of the task that a person asked for: it keeps the budget of all."""
        return workflow_id(self.principal.tenant, self.task_id.partition("/")[0])

    @property
    def parent_workflow_id(self) -> str | None:
        """The workflow that started this task; None: it is the root."""
        parent, slash, _ = self.workflow_id.rpartition("/")
        return parent if slash and "/" in self.task_id else None

    @property
    def part(self) -> str:
        """The last part of the id: what the parent calls this task."""
        return self.task_id.rpartition("/")[2]

    def child(self, part: str, of_program: bool = False) -> "TaskRef":
        """A task that this one starts; `of_program`: that its program starts, whose workflow is then the parent."""
        under = f"{self.task_id}/{PROGRAM}" if of_program else self.task_id
        return self.model_copy(update={"task_id": f"{under}/{part}"})


PROGRAM = "program"
"""The last part of the id of the workflow of a task's program: `<tenant>/<task id>/program`."""
