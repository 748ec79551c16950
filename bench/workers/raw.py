"""The limit: an agent written by hand on the Temporal SDK. A tool loop, or a program in a child process whose calls
come back to the workflow as updates, each an activity."""

import asyncio
import functools
import json
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from openai import AsyncOpenAI

    from bench import task as bench
    from bench.workers import temporal

Message = dict[str, Any]
T = TypeVar("T")

BEAT_S = 1.0
OPTIONS: dict[str, Any] = {
    "start_to_close_timeout": temporal.TIMEOUT,
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200)),
    **({"heartbeat_timeout": timedelta(seconds=BEAT_S)} if temporal.TUNED else {}),
}


def beating(work: Callable[[Any], Awaitable[T]]) -> Callable[[Any], Awaitable[T]]:
    """Heartbeat while the activity runs, in a tuned worker."""
    if not temporal.TUNED:
        return work

    @functools.wraps(work)
    async def wrapped(argument: Any) -> T:
        beats = asyncio.create_task(_beat())
        try:
            return await work(argument)
        finally:
            beats.cancel()

    return wrapped


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT_S / 3)


@functools.cache
def model() -> AsyncOpenAI:
    return AsyncOpenAI(base_url=temporal.MODEL, api_key="none", max_retries=0)


@activity.defn
@beating
async def ask(request: dict[str, Any]) -> Message:
    reply = await model().chat.completions.create(model="stub", **request)
    said = reply.choices[0].message
    message: Message = {"role": "assistant", "content": said.content}
    if said.tool_calls:
        message["tool_calls"] = [one.model_dump(include={"id", "type", "function"}) for one in said.tool_calls]
    return message


@activity.defn
@beating
async def lookup(key: str) -> dict[str, Any]:
    return await bench.lookup(key)


GUEST = r"""
import sys, json
out = sys.stdout
said = []
def lookup(key):
    out.write(json.dumps({"key": key}) + "\n")
    out.flush()
    return json.loads(sys.stdin.readline())
def print(*words):
    said.append(" ".join(map(str, words)))
exec(compile(json.loads(sys.stdin.readline()), "<program>", "exec"))
out.write(json.dumps({"done": "\n".join(said)}) + "\n")
out.flush()
"""


@activity.defn
@beating
async def run_program(source: str) -> str:
    """The least of a sandbox: a bare child process."""
    guest = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", GUEST, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        return await _hosted(guest, source)
    finally:
        if guest.returncode is None:
            guest.kill()
        await guest.wait()


async def _hosted(guest: asyncio.subprocess.Process, source: str) -> str:
    info = activity.info()
    assert guest.stdin is not None
    assert guest.stdout is not None
    assert info.workflow_id is not None
    workflow_handle = activity.client().get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
    guest.stdin.write(json.dumps(source).encode() + b"\n")
    number = 0
    while line := await guest.stdout.readline():
        frame = json.loads(line)
        if "done" in frame:
            return str(frame["done"])
        update_id = f"{number}-{info.attempt}"
        answer = await workflow_handle.execute_update(Bench.call, args=[number, frame["key"]], id=update_id)
        number += 1
        guest.stdin.write(json.dumps(answer).encode() + b"\n")
    raise RuntimeError("the program ended without a word")


@workflow.defn(name="bench")
class Bench:
    def __init__(self) -> None:
        self.answers: dict[int, dict[str, Any]] = {}
        self.running: set[int] = set()

    @workflow.run
    async def run(self, task: bench.Task) -> str:
        if task.dialect == "plain":
            return await self._by_program(task)
        return await self._by_loop(task)

    @workflow.update
    async def call(self, number: int, key: str) -> dict[str, Any]:
        """A call of the program. One that runs again is answered from the state, which comes from the history."""
        if number in self.running:
            await workflow.wait_condition(lambda: number in self.answers)
        elif number not in self.answers:
            self.running.add(number)
            self.answers[number] = await workflow.execute_activity(lookup, key, **OPTIONS)
            self.running.discard(number)
        return self.answers[number]

    async def _by_program(self, task: bench.Task) -> str:
        plan = await self._ask([_system(), _user(f"{task.prompt} [[STEP plan]]")])
        said = await self._ask([_system(), _user(f"{task.prompt} Plan: {plan['content']} [[STEP code]]")])
        source = re.search(r"```python\n(.*?)```", said["content"], re.DOTALL)
        assert source is not None
        return await workflow.execute_activity(run_program, source[1], **OPTIONS)

    async def _by_loop(self, task: bench.Task) -> str:
        delegate = [bench.DELEGATE_SPEC] if task.workload == "W5" else []
        return await self._loop(task.prompt, [] if task.workload == "W1" else [bench.LOOKUP_SPEC, *delegate])

    async def _loop(self, prompt: str, specs: list[dict[str, Any]]) -> str:
        messages, tools = [_system(), _user(prompt)], {"tools": specs} if specs else {}
        while True:
            said = await self._ask(messages, tools)
            messages.append(said)
            if not said.get("tool_calls"):
                return str(said["content"])
            messages.extend(await asyncio.gather(*(self._called(one) for one in said["tool_calls"])))

    async def _called(self, one: dict[str, Any]) -> Message:
        if one["function"]["name"] == "delegate":
            share = json.loads(one["function"]["arguments"])["task"]
            id_ = f"{workflow.info().workflow_id}/{one['id']}"
            said = await workflow.execute_child_workflow("sub", share, id=id_, result_type=str)
            return {"role": "tool", "tool_call_id": one["id"], "content": said}
        answer = await workflow.execute_activity(lookup, json.loads(one["function"]["arguments"])["key"], **OPTIONS)
        return {"role": "tool", "tool_call_id": one["id"], "content": json.dumps(answer)}

    async def _ask(self, messages: list[Message], more: dict[str, Any] | None = None) -> Message:
        return await workflow.execute_activity(ask, {"messages": messages, **(more or {})}, **OPTIONS)


@workflow.defn(name="sub")
class Sub(Bench):
    """An agent that another one asks."""

    @workflow.run
    async def run(self, share: str) -> str:  # type: ignore[override]
        return await self._loop(share, [bench.LOOKUP_SPEC])


def _system() -> Message:
    return {"role": "system", "content": bench.SYSTEM}


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


if __name__ == "__main__":
    asyncio.run(temporal.serve([Bench, Sub], [ask, lookup, run_program]))
