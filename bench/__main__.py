"""`make bench`: see README.md."""

import argparse
import asyncio

from bench import site
from bench.ours import Holdfast, Shared
from bench.profile import profiled


async def profile(workload: str, agent: str, latency_ms: int, runs: int) -> None:
    async with site.opened() as here:
        tool = "lookup_activity" if agent == "activity" else "lookup"
        engine = Holdfast(f"holdfast, {agent}", Shared(), agent, tool)
        try:
            await engine.start(here)
            print(await profiled(engine, workload, 1 if workload == "W1" else 10, runs, latency_ms))
        finally:
            await engine.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--profile", choices=["W1", "W4"])
    parser.add_argument("--agent", default="split", choices=["split", "fused", "activity"])
    parser.add_argument("--latency", type=int, default=0)
    parser.add_argument("--runs", type=int, default=15)
    asked = parser.parse_args()
    asyncio.run(profile(asked.profile, asked.agent, asked.latency, asked.runs))


if __name__ == "__main__":
    main()
