"""openai-agents on Temporal (temporalio-openai-agents)."""

import asyncio
from typing import Any

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from openai import AsyncOpenAI
    from temporalio.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
    from temporalio.openai_agents.workflow import activity_as_tool

    from agents import Agent, OpenAIProvider, Runner, set_tracing_disabled
    from bench import task as bench
    from bench.workers import temporal

    set_tracing_disabled(True)


@activity.defn
async def lookup(key: str) -> dict[str, Any]:
    """Look up one item by its key and return its record."""
    return await bench.lookup(key)


@workflow.defn(name="bench")
class Bench:
    @workflow.run
    async def run(self, task: bench.Task) -> str:
        tool = activity_as_tool(lookup, start_to_close_timeout=temporal.TIMEOUT)
        tools = [] if task.workload == "W1" else [tool]
        agent = Agent(name="main", instructions=bench.SYSTEM, model="stub", tools=tools)
        return str((await Runner.run(agent, task.prompt, max_turns=10_000)).final_output)


def plugin() -> OpenAIAgentsPlugin:
    client = AsyncOpenAI(base_url=temporal.MODEL, api_key="none", max_retries=0)
    return OpenAIAgentsPlugin(
        model_params=ModelActivityParameters(start_to_close_timeout=temporal.TIMEOUT),
        model_provider=OpenAIProvider(openai_client=client, use_responses=False),
    )


if __name__ == "__main__":
    asyncio.run(temporal.serve([Bench], [lookup], plugins=[plugin()]))
