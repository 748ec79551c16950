"""What all Temporal workers of the bench share: where the server is, and the bounds of activities."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

TIMEOUT = timedelta(seconds=float(os.environ.get("BENCH_TIMEOUT_S", "60")))
"""Start-to-close of every activity."""

TUNED = os.environ.get("BENCH_TUNED") == "1"
"""Settings for a fast recovery: heartbeats of 1 s, a sticky timeout of 1 s."""

MODEL = os.environ.get("BENCH_MODEL", "")


async def serve(workflows: Sequence[type], activities: Sequence[Any], plugins: Sequence[Any] = ()) -> None:
    """Serve until killed; says `ready` when it polls."""
    client = await Client.connect(os.environ["BENCH_TEMPORAL"], plugins=plugins)
    sticky = {"sticky_queue_schedule_to_start_timeout": timedelta(seconds=1)} if TUNED else {}
    queue = os.environ["BENCH_QUEUE"]
    async with Worker(client, task_queue=queue, workflows=workflows, activities=activities, **sticky):  # type: ignore[arg-type]
        print("ready", flush=True)
        await asyncio.Event().wait()
