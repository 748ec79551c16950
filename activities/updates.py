"""Sending an update until it has an outcome: across server restarts, lost replies and timeouts."""

import asyncio
import functools
from typing import TypeVar

from pydantic import BaseModel
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from holdfast.errors import HoldfastError
from holdfast.temporal.updates import processed

Reply = TypeVar("Reply", bound=BaseModel)

_FIRST_WAIT, _LONGEST_WAIT = 0.02, 1.0


class Overtaken(HoldfastError):
    """The workflow does not want this box any more: it is over, or a later attempt has spoken."""

    code = "OVERTAKEN"


class Updates:
    """Updates to one run of one workflow. The run is pinned: a zombie of an earlier run finds nobody."""

    def __init__(self, client: Client, workflow_id: str, run_id: str) -> None:
        self._client = client
        self._handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        self._execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)

    async def send(self, name: str, message: BaseModel, update_id: str, gives: type[Reply]) -> Reply:
        """The update's reply. The same id is sent again as often as needed: the server runs it once.

        Raises:
            Overtaken: the workflow refused it or has ended.
        """
        wait = _FIRST_WAIT
        execute = functools.partial(self._handle.execute_update, name, message, id=update_id, result_type=gives)
        while True:
            try:
                reply: Reply = await processed(execute)
                return reply
            except WorkflowUpdateFailedError as exc:
                raise Overtaken(f"update {name!r} refused: {exc.cause}") from exc
            except WorkflowUpdateRPCTimeoutOrCancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from None
            except RPCError as exc:
                if exc.status == RPCStatusCode.NOT_FOUND and "update" not in exc.message.lower():
                    await self._still_running(name)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _still_running(self, name: str) -> None:
        try:
            found = await self._handle.describe()
        except RPCError as exc:
            if exc.status == RPCStatusCode.NOT_FOUND:
                raise Overtaken(f"update {name!r}: the workflow is gone") from exc
            return
        if found.status != WorkflowExecutionStatus.RUNNING:
            raise Overtaken(f"update {name!r}: the workflow is over")

    async def forget_worker(self) -> None:
        """Reset stickiness: else the first update may wait for a worker that is dead (notes/journal.md 4)."""
        request = ResetStickyTaskQueueRequest(namespace=self._client.namespace, execution=self._execution)
        try:
            await self._client.workflow_service.reset_sticky_task_queue(request)
        except RPCError as exc:
            if exc.status == RPCStatusCode.NOT_FOUND:
                raise Overtaken("the workflow is over") from exc
