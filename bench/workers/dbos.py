"""pydantic-ai with DBOSDurability on SQLite; the tool is a DBOS step. Pending workflows go on at launch."""

import asyncio
import os
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits

from bench import task as bench
from bench.workers import pipe

POLL_S = 0.05
DBOS(
    config=DBOSConfig(
        name="bench",
        system_database_url="sqlite:///" + os.environ["BENCH_DB"],
        run_admin_server=False,
        log_level="ERROR",
        application_version="1",
        executor_id="local",
    )
)
client = AsyncOpenAI(base_url=os.environ["BENCH_MODEL"], api_key="none", max_retries=0)
model = OpenAIChatModel("stub", provider=OpenAIProvider(openai_client=client))
agent = Agent(model, name="main", instructions=bench.SYSTEM, capabilities=[DBOSDurability()])
plain = Agent(model, name="plain", instructions=bench.SYSTEM, capabilities=[DBOSDurability()])


@agent.tool_plain
@DBOS.step(name="lookup")
async def lookup(key: str) -> dict[str, Any]:
    """Look up one item by its key and return its record."""
    return await bench.lookup(key)


@DBOS.workflow(name="bench")
async def work(fields: dict[str, Any]) -> str:
    task = bench.Task(**fields)
    asked = plain if task.workload == "W1" else agent
    return str((await asked.run(task.prompt, usage_limits=UsageLimits(request_limit=None))).output)


async def run(task: bench.Task) -> str:
    with SetWorkflowID(task.run):
        handle = await DBOS.start_workflow_async(work, vars(task))
    return str(await handle.get_result(polling_interval_sec=POLL_S))


async def resume(task: bench.Task) -> str:
    if await DBOS.get_workflow_status_async(task.run) is None:
        return await run(task)
    handle: Any = await DBOS.retrieve_workflow_async(task.run)
    return str(await handle.get_result(polling_interval_sec=POLL_S))


async def main() -> None:
    DBOS.launch()
    await pipe.serve(run, resume)


if __name__ == "__main__":
    asyncio.run(main())
