"""LangChain's agent on LangGraph with its SQLite saver, durability `sync`. After a crash its caller resumes."""

import asyncio
import os
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from bench import task as bench
from bench.workers import pipe


@tool
async def lookup(key: str) -> dict[str, Any]:
    """Look up one item by its key and return its record."""
    return await bench.lookup(key)


def config(task: bench.Task) -> dict[str, Any]:
    return {"configurable": {"thread_id": task.run}, "recursion_limit": 100_000}


async def main() -> None:
    async with AsyncSqliteSaver.from_conn_string(os.environ["BENCH_DB"]) as saver:
        await saver.setup()
        llm = ChatOpenAI(model="stub", base_url=os.environ["BENCH_MODEL"], api_key="none", max_retries=0)
        plain = create_agent(llm, [], system_prompt=bench.SYSTEM, checkpointer=saver)
        looper = create_agent(llm, [lookup], system_prompt=bench.SYSTEM, checkpointer=saver)

        async def go(task: bench.Task, given: Any) -> str:
            agent = plain if task.workload == "W1" else looper
            state = await agent.ainvoke(given, config(task), durability="sync")
            return str(state["messages"][-1].text)

        async def run(task: bench.Task) -> str:
            return await go(task, {"messages": [("user", task.prompt)]})

        async def resume(task: bench.Task) -> str:
            state = await looper.aget_state(config(task))
            if not state.values.get("messages"):
                return await run(task)
            return await go(task, None) if state.next else str(state.values["messages"][-1].text)

        await pipe.serve(run, resume)


if __name__ == "__main__":
    asyncio.run(main())
