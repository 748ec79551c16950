"""What the host does when an update has no outcome of the workflow's own."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.updates import Overtaken, Updates
from holdfast.contracts.program import UPDATE_HELLO, HelloMessage, HelloReply


class Handle:
    """A workflow at the edge: it refuses with these failures in turn, then replies."""

    def __init__(self, *failures: ApplicationError) -> None:
        self.failures, self.ids = list(failures), list[str]()

    async def execute_update(self, name: str, message: Any, **options: Any) -> HelloReply:
        self.ids.append(options["id"])
        if self.failures:
            raise WorkflowUpdateFailedError(self.failures.pop(0))
        return HelloReply()


async def sent(handle: Handle) -> HelloReply:
    client = SimpleNamespace(get_workflow_handle=lambda *_args, **_options: handle, namespace="default")
    updates = Updates(cast(Client, client), "default/a", "run")
    return await updates.send(UPDATE_HELLO, HelloMessage(generation=1, attempt=2), "hello.1.2", HelloReply)


async def test_an_update_that_no_worker_looked_at_is_sent_again_under_its_id() -> None:
    handle = Handle(ApplicationError("not processed by worker", type="UnprocessedUpdate"))
    assert await sent(handle) == HelloReply()
    assert handle.ids == ["hello.1.2", "hello.1.2"]


async def test_an_update_that_the_workflow_refuses_is_not_sent_again() -> None:
    handle = Handle(ApplicationError("stale: generation 1, attempt 1", type="Stale"))
    with pytest.raises(Overtaken, match="stale"):
        await sent(handle)
    assert len(handle.ids) == 1
