"""pydantic-ai's agent with the TemporalDurability capability; BENCH_CODE_MODE=1: with the harness's CodeMode."""

import asyncio
import os
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.durable_exec.temporal import PydanticAIPlugin, TemporalDurability
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.usage import UsageLimits
    from temporalio.workflow import ActivityConfig

    from bench import task as bench
    from bench.workers import temporal

    CODE_MODE: list[Any] = []
    if os.environ.get("BENCH_CODE_MODE"):
        from pydantic_ai_harness import CodeMode

        CODE_MODE.append(CodeMode())

model = OpenAIChatModel(
    "stub",
    provider=OpenAIProvider(openai_client=AsyncOpenAI(base_url=temporal.MODEL, api_key="none", max_retries=0)),
)


def durability() -> TemporalDurability:
    return TemporalDurability(activity_config=ActivityConfig(start_to_close_timeout=temporal.TIMEOUT))


agent = Agent(model, name="main", instructions=bench.SYSTEM, capabilities=[durability(), *CODE_MODE])
plain = Agent(model, name="plain", instructions=bench.SYSTEM, capabilities=[durability()])


@agent.tool_plain
async def lookup(key: str) -> dict[str, Any]:
    """Look up one item by its key and return its record."""
    return await bench.lookup(key)


@workflow.defn(name="bench")
class Bench:
    __pydantic_ai_agents__ = [agent, plain]

    @workflow.run
    async def run(self, task: bench.Task) -> str:
        asked = plain if task.workload == "W1" else agent
        said = await asked.run(task.prompt, usage_limits=UsageLimits(request_limit=None))
        return str(said.output)


if __name__ == "__main__":
    asyncio.run(temporal.serve([Bench], [], plugins=[PydanticAIPlugin()]))
