"""The worker: what is registered on which task queue, and nothing else.

`python -m worker` serves every queue; `holdfast worker --queues skills,sandbox` any set of them.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.wiring import Wired, wired
from holdfast import __version__, log
from holdfast.config import Settings
from holdfast.contracts.program import QUEUE_AGENTS, QUEUE_LLM, QUEUE_OWN, QUEUE_SANDBOX, QUEUE_SKILLS
from holdfast.errors import HoldfastError, OperatorError
from holdfast.ownflows import load_workflows
from holdfast.temporal.connect import connect
from holdfast.temporal.early import NothingEarly
from holdfast.temporal.sandbox import restrictions
from workflows import policies
from workflows.ours import OURS

QUEUES = (QUEUE_AGENTS, QUEUE_LLM, QUEUE_SKILLS, QUEUE_SANDBOX)
GRACE = timedelta(seconds=10)
"""After SIGTERM: boxes leave at once, skill calls in flight have this long to end."""


def deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """The version of these workers in a rolling deploy: what it begins, it ends. None: they take every task."""
    if settings.build_id is None:
        return None
    version = WorkerDeploymentVersion(settings.deployment, settings.build_id)
    return WorkerDeploymentConfig(
        version=version, use_worker_versioning=True, default_versioning_behavior=VersioningBehavior.PINNED
    )


def workers(client: Client, queues: Sequence[str], found: Wired, settings: Settings) -> list[Worker]:
    """One Temporal worker a queue."""
    runner = SandboxedWorkflowRunner(restrictions=restrictions())
    workflows = [*OURS, *own_workflows(settings, queues)]
    return [
        Worker(
            client,
            task_queue=queue,
            workflows=workflows if queue == QUEUE_AGENTS else [],
            activities=found.activities.get(queue, []),
            max_concurrent_activities=found.slots.get(queue),
            no_remote_activities=queue == QUEUE_AGENTS,
            workflow_runner=runner,
            plugins=[NothingEarly()],
            sticky_queue_schedule_to_start_timeout=policies.STICKY_TIMEOUT,
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            graceful_shutdown_timeout=GRACE,
            # The SDK's default is a hash over all loaded code: 0.1 s at start, and 32 bytes in every other event.
            build_id=None if settings.build_id else __version__,
            deployment_config=deployment(settings),
        )
        for queue in served(queues)
    ]


def own_workflows(settings: Settings, queues: Sequence[str]) -> list[type]:
    """The project's own, where the setting `own_workflows` lets them in. A broken file is told, and left out."""
    if QUEUE_AGENTS not in queues:
        return []
    classes, problems = load_workflows(settings.project, settings.own_workflows)
    for problem in problems:
        log.get_logger(__name__).error("own_workflow.broken", file=problem.file, error=problem.message)
    return classes


def served(queues: Sequence[str]) -> list[str]:
    """The queues, and with `skills` that of agents in Python, which wait for skills without taking their places."""
    return [*queues, *([QUEUE_OWN] if QUEUE_SKILLS in queues else [])]


async def serve(settings: Settings, queues: Sequence[str] = QUEUES) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    client = await connect(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(wired(settings, client, queues))
        for worker in workers(client, queues, found, settings):
            await stack.enter_async_context(worker)
        log.get_logger(__name__).info("worker.up", queues=list(queues), adapters=found.adapters, pid=os.getpid())
        await stop.wait()
        log.get_logger(__name__).info("worker.draining")


def main(settings: Settings | None = None, queues: Sequence[str] = QUEUES) -> int:
    """Exit code: 0 after a drain, 3 if what the operator must provide is missing, 1 otherwise."""
    try:
        settings = settings or Settings.load()
        log.configure("worker", settings.log_level, settings.log_format)
        asyncio.run(serve(settings, queues))
    except OperatorError as exc:
        sys.stderr.write(f"holdfast worker: {exc}\n")
        return 3
    except HoldfastError as exc:
        sys.stderr.write(f"holdfast worker: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    # The SDK may abort at interpreter exit (notes on Temporal, 8): leave with our own code.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
