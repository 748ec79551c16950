"""SIGKILL of the worker at every step boundary of each kind of flow: the same result, and no step's effects twice."""

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from holdfast.contracts.flow import FlowSpec, StepSpec
from holdfast.flowgraph import after
from tests.support.flows import Handle, begin, echo, flow, flow_task, noted
from tests.support.skill_folders import write_files
from tests.support.stack import PROJECT, Stack, result_of, until
from tests.support.stub_llm import StubLlm

MS = 150
REPLY_S = 0.2
SETTLED_S = 0.5
"""A reply that came is in the history by then; a kill before that may cost the same request again."""
JUDGE = """
name: judge
system_prompt: You are the judge.
skills: []
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
"""
APPROVES = "You are the judge.*round 2"
JUDGES = StepSpec(name="review", kind="agent", who="judge", input="round ${iteration}")


def step(name: str, i: int, **fields: Any) -> StepSpec:
    return echo(name, i, ms=MS, **fields)


THREE = (step("a", 1), step("b", 2), step("c", 3))
FLOWS = {
    "sequential": flow(*THREE, coordination="sequential"),
    "parallel": flow(*THREE, coordination="parallel"),
    "dag": flow(step("a", 1), step("b", 2), step("join", 3, depends_on=["a", "b"]), step("d", 4, depends_on=["join"])),
    "refinement": flow(step("draft", 1), JUDGES, coordination="iterative_refinement"),
}
PARTS = {
    "sequential": ["a", "b", "c"],
    "parallel": ["a", "b", "c"],
    "dag": ["a", "b", "d", "join"],
    "refinement": ["draft", "draft.2"],
}
"""What begins once if nothing is killed: the last parts of the steps' tasks."""


@dataclass
class House:
    """A worker that is killed, with a server and a model of its own."""

    stack: Stack
    client: Client
    stub: StubLlm

    async def begin(self, kind: str) -> Handle:
        return await begin(self.client, flow_task(self.stack, FLOWS[kind], {}))

    async def strike(self) -> float:
        """When the worker was killed. Another one is up."""
        self.stack.workers[-1].kill()
        killed_at = asyncio.get_running_loop().time()
        await asyncio.to_thread(self.stack.start_worker().wait_up)
        return killed_at

    async def value(self, handle: Handle) -> Any:
        return self.stack.value(await result_of(handle))

    async def whole(self, kind: str) -> tuple[Any, int]:
        """The value of a flow that nobody strikes, and how often it asked the model."""
        asked = len(self.stub.requests)
        return await self.value(await self.begin(kind)), len(self.stub.requests) - asked

    async def struck(self, kind: str, plain: tuple[Any, int], at: int, what: str) -> list[str]:
        """What is wrong with a flow whose worker is killed when its `at`-th skill begins, or ends."""
        asked, handle = len(self.stub.requests), await self.begin(kind)
        await until(lambda: len(noted(self.stack, handle, what)) >= at, every=0.01)
        finished = _finished(FLOWS[kind], noted(self.stack, handle, "begin"))
        killed_at = await self.strike()
        value, begun = await self.value(handle), Counter(noted(self.stack, handle, "begin"))
        flying = sum(one.at <= killed_at <= one.at + REPLY_S + SETTLED_S for one in self.stub.requests)
        paid, (unhurt, free) = len(self.stub.requests) - asked, plain
        wrong = [] if value == unhurt else [f"{value} instead of {unhurt}"]
        wrong += [] if sorted(begun) == PARTS[kind] else [f"there began {begun}"]
        wrong += [f"{part} was finished, and began again" for part in finished if begun[part] != 1]
        wrong += [] if free <= paid <= free + flying else [f"{paid} LLM requests, {free} without a kill"]
        return [f"{kind}, {what} {at}: {text}" for text in wrong]


def _finished(what: FlowSpec, begun: list[str]) -> set[str]:
    """Parts whose end is in the history for sure: what waited for it has begun."""
    before, found = after(what), set[str]()
    for part in begun:
        name, _, round_ = part.partition(".")
        found.update(before[name])
        if round_:
            found.update(step.name for step in what.steps if step.kind == "skill")
    return found


async def rounds(home: Path, kinds: list[str]) -> list[str]:
    """What went wrong, in a house of its own."""
    with StubLlm() as stub:
        stub.rule(APPROVES, '```json\n{"approved": true}\n```', delay_s=REPLY_S)
        stub.rule("You are the judge", '{"approved": false}', delay_s=REPLY_S)
        project = shutil.copytree(PROJECT, home / "project")
        write_files(project, {"agents/judge.yaml": JUDGE.format(url=stub.url)})
        stack = Stack(home / "home", project=project)
        try:
            await asyncio.to_thread(stack.start_server)
            await asyncio.to_thread(stack.start_worker().wait_up)
            house = House(stack, await stack.client(), stub)
            wrong = []
            for kind in kinds:
                plain = await house.whole(kind)
                for at in range(1, len(PARTS[kind]) + 1):
                    for what in ("begin", "end"):
                        wrong += await house.struck(kind, plain, at, what)
            return wrong
        finally:
            stack.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_worker_killed_at_every_step_boundary_changes_no_result_and_repeats_no_finished_step(
    tmp_path: Path,
) -> None:
    halves = [["sequential", "refinement"], ["parallel", "dag"]]
    found = await asyncio.gather(*(rounds(tmp_path / str(number), half) for number, half in enumerate(halves)))
    assert [text for house in found for text in house] == []
