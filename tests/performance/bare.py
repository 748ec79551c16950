"""The least that Temporal can do for a call: an update whose handler runs an activity. Frozen: the yardstick of
`test_distance.py`. Run as a program it is a worker; one queue, so that the SDK may start activities eagerly."""

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

QUEUE = "bare"


@activity.defn
async def work(i: int) -> int:
    return i


@workflow.defn
class Bare:
    def __init__(self) -> None:
        self.ended = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.ended)

    @workflow.update
    async def calls(self, numbers: list[int]) -> list[int]:
        one = timedelta(seconds=60)
        return list(
            await asyncio.gather(*(workflow.execute_activity(work, i, start_to_close_timeout=one) for i in numbers))
        )

    @workflow.signal
    def end(self) -> None:
        self.ended = True


async def main(address: str) -> None:
    client = await Client.connect(address)
    second = timedelta(seconds=1)
    settings = {"sticky_queue_schedule_to_start_timeout": second, "max_heartbeat_throttle_interval": second}
    async with Worker(client, task_queue=QUEUE, workflows=[Bare], activities=[work], **settings):  # type: ignore[arg-type]
        print("worker.up", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
