"""smolagents' CodeAgent: its own interpreter, no durability."""

import asyncio
import os
from typing import Any

from smolagents import CodeAgent, OpenAIModel, tool
from smolagents.monitoring import LogLevel

from bench import task as bench
from bench.workers import pipe

model = OpenAIModel("stub", api_base=os.environ["BENCH_MODEL"], api_key="none", client_kwargs={"max_retries": 0})


@tool
def lookup(key: str) -> dict[str, Any]:
    """Look up one item by its key and return its record.

    Args:
        key: the item's key
    """
    return bench.lookup_blocking(key)


def answer(task: bench.Task) -> str:
    agent = CodeAgent(
        tools=[lookup], model=model, instructions=bench.SYSTEM, verbosity_level=LogLevel.OFF, max_steps=1000
    )
    return str(agent.run(task.prompt))


async def run(task: bench.Task) -> str:
    return await asyncio.to_thread(answer, task)


if __name__ == "__main__":
    asyncio.run(pipe.serve(run))
