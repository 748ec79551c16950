"""Versions of the workers of a cluster, and which of them takes new tasks: Temporal's worker versioning.

A task stays on the version that began it, to its end: also its program, what it continues as, and all its activities.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from temporalio.api.deployment.v1 import WorkerDeploymentInfo, WorkerDeploymentVersion
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentVersionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from holdfast.contracts.program import QUEUE_AGENTS, QUEUE_LLM, QUEUE_SANDBOX, QUEUE_SKILLS
from holdfast.errors import Conflict, NotFound

_WORKFLOW = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
_ACTIVITY = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
_NEEDED = {
    (QUEUE_AGENTS, _WORKFLOW),
    (QUEUE_LLM, _ACTIVITY),
    (QUEUE_SKILLS, _ACTIVITY),
    (QUEUE_SANDBOX, _ACTIVITY),
}
_LOOK_S = 1.0
_LOOKS = 3
"""So often in a row no workflow must be open: the list of open workflows lags behind by fractions of a second."""


@dataclass(frozen=True)
class Version:
    """`open` counts its workflows that have not ended: a task of an agent that runs a program has two."""

    build_id: str
    is_current: bool
    open: int


async def versions(client: Client, deployment: str) -> list[Version]:
    """Newest first. Empty if no worker ever said that it belongs to this deployment."""
    found = await _described(client, deployment)
    if found is None:
        return []
    current = found.routing_config.current_deployment_version.build_id
    builds = [summary.deployment_version.build_id for summary in found.version_summaries]
    return [Version(one, one == current, await open_workflows(client, deployment, one)) for one in builds]


async def open_workflows(client: Client, deployment: str, build_id: str) -> int:
    """How many workflows are pinned to this version and have not ended."""
    query = f"BuildIds = 'pinned:{deployment}:{build_id}' AND ExecutionStatus = 'Running'"
    return (await client.count_workflows(query)).count


async def promote(client: Client, deployment: str, build_id: str, seconds: float = 30) -> None:
    """Send new tasks to this version, once its workers serve every task queue. Open tasks stay where they are.

    Raises:
        Conflict: a queue has no worker of this version, also after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while missing := await _missing(client, deployment, build_id):
        if time.monotonic() > deadline:
            queues = ",".join(sorted(missing))
            raise Conflict(
                f"version {build_id!r} of {deployment!r} has no worker for {queues}; new tasks would wait there. Start "
                f"one: HOLDFAST_DEPLOYMENT={deployment} HOLDFAST_BUILD_ID={build_id} holdfast worker --queues {queues}"
            )
        await asyncio.sleep(0.2)
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=deployment, build_id=build_id, ignore_missing_task_queues=True
    )
    await client.workflow_service.set_worker_deployment_current_version(request)


async def drained(client: Client, deployment: str, build_id: str, say: Callable[[int], None]) -> None:
    """Return when no workflow runs on this version any more, for however long that takes. `say` hears how many do.

    Raises:
        NotFound: there is no such version.
        Conflict: it is the current one, and will never be without tasks.
    """
    known = {one.build_id: one for one in await versions(client, deployment)}
    if build_id not in known:
        raise NotFound(f"no version {build_id!r} of {deployment!r}; known: {', '.join(known) or 'none'}")
    if known[build_id].is_current:
        raise Conflict(f"version {build_id!r} takes new tasks; promote another first: holdfast workers promote VERSION")
    looks, last = 0, -1
    while looks < _LOOKS:
        count = await open_workflows(client, deployment, build_id)
        if count != last:
            say(count)
        looks, last = (0 if count else looks + 1), count
        await asyncio.sleep(_LOOK_S)


async def _missing(client: Client, deployment: str, build_id: str) -> set[str]:
    version = WorkerDeploymentVersion(deployment_name=deployment, build_id=build_id)
    request = DescribeWorkerDeploymentVersionRequest(namespace=client.namespace, deployment_version=version)
    try:
        found = await client.workflow_service.describe_worker_deployment_version(request)
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
        return {queue for queue, _ in _NEEDED}
    polled = {(queue.name, queue.type) for queue in found.worker_deployment_version_info.task_queue_infos}
    return {queue for queue, kind in _NEEDED if (queue, kind) not in polled}


async def _described(client: Client, deployment: str) -> WorkerDeploymentInfo | None:
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment)
    try:
        return (await client.workflow_service.describe_worker_deployment(request)).worker_deployment_info
    except RPCError as exc:
        if exc.status != RPCStatusCode.NOT_FOUND:
            raise
        return None
