"""Skills that ask a model: prompt skills are one LLM activity, a hybrid's asks are calls in the journal."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from holdfast.contracts.base import Value
from holdfast.contracts.budget import Budget
from holdfast.contracts.journal import JournalView
from holdfast.contracts.program import (
    PROGRAM_WORKFLOW,
    QUEUE_AGENTS,
    Ask,
    Nested,
    NestMessage,
    NestReply,
    ProgramResult,
)
from holdfast.ids import call_hash, call_id
from tests.support.agents import models
from tests.support.stack import Stack, progress, until
from tests.support.stub_llm import Fault, StubLlm
from workflows import policies

PROJECT = Path(__file__).parents[1] / "support" / "thinking"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    one = Stack(tmp_path_factory.mktemp("thinking"), project=PROJECT)
    try:
        one.start_server()
        one.start_worker().wait_up()
        yield one
    finally:
        one.close()


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm() as one:
        yield one


async def begun(stack: Stack, client: Client, stub: StubLlm, source: str, **fields: Any) -> Any:
    return await stack.start(client, source, models=models(stub), **fields)


async def activities(handle: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    async for event in handle.fetch_history_events():
        found[event.activity_task_scheduled_event_attributes.activity_type.name] += 1
    return found


async def test_a_prompt_skill_is_answered_by_the_model_with_defaults_filled_in(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule("RHYME moon at most 2", '{"rhyme": "June"}')
    handle = await begun(stack, client, stub, "result = skills.rhyme('moon')")
    result: ProgramResult = await handle.result()
    assert stack.value(result) == {"rhyme": "June"}
    assert (result.spent.llm_calls, len(stub.requests)) == (1, 1)
    assert (await activities(handle))["llm.skill"] == 1


async def test_an_answer_outside_the_schema_is_asked_again_and_then_an_error_in_the_program(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule(".", '{"verse": 1}')
    source = "try:\n    skills.rhyme(word='moon')\nexcept SkillError as exc:\n    result = str(exc)"
    handle = await begun(stack, client, stub, source)
    assert "rhyme" in stack.value(await handle.result())
    assert len(stub.requests) == 3


async def test_a_hybrid_asks_the_model_through_the_journal(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule("JUDGE good", "very good")
    handle = await begun(stack, client, stub, "result = skills.judge(word='good')")
    result: ProgramResult = await handle.result()
    assert stack.value(result) == {"word": "good", "said": "very good"}
    assert (result.spent.llm_calls, len(stub.requests)) == (1, 1)
    found = await activities(handle)
    assert (found["skill.run"], found["llm.ask"]) == (1, 1)


async def test_many_hybrids_at_once_get_each_its_own_answer(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(".", lambda request: request.last.removeprefix("JUDGE "), delay_s=0.2)
    source = (
        "import asyncio\n"
        "found = await asyncio.gather(*[skills.judge(word=f'w{k}') for k in range(30)])\n"
        "result = all(one['word'] == one['said'] for one in found)"
    )
    result: ProgramResult = await (await begun(stack, client, stub, source)).result()
    assert stack.value(result) is True
    assert (result.spent.llm_calls, len(stub.requests)) == (30, 30)


async def test_a_hybrid_that_fails_after_its_answer_pays_for_it_once(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule(".", "fine")
    source = "try:\n    skills.judge(word='x', fail=True)\nexcept SkillError as exc:\n    result = str(exc)"
    handle = await begun(stack, client, stub, source)
    assert "failed after the model" in stack.value(await handle.result())
    assert len(stub.requests) == 1
    assert sum(stack.begins(handle).values()) == 3


@pytest.mark.slow
async def test_a_killed_worker_asks_the_model_no_second_time(tmp_path: Path, stub: StubLlm) -> None:
    stack = Stack(tmp_path / "home", project=PROJECT)
    try:
        await _killed_after_the_answer(stack, stub)
    finally:
        stack.close()


async def _killed_after_the_answer(stack: Stack, stub: StubLlm) -> None:

    await asyncio.to_thread(stack.start_server)
    worker = stack.start_worker()
    await asyncio.to_thread(worker.wait_up)
    client = await stack.client()
    stub.rule(".", "fine")
    handle = await begun(stack, client, stub, "result = skills.judge(word='x', ms=3000)")

    async def answered() -> bool:
        view: JournalView = await handle.query("journal", result_type=JournalView)
        return any(entry.skill == "llm" and entry.state == "answered" for entry in view.fresh)

    await until(answered)
    worker.kill()
    await asyncio.to_thread(stack.start_worker().wait_up)
    assert stack.value(await handle.result()) == {"word": "x", "said": "fine"}
    assert len(stub.requests) == 1
    assert sum(stack.begins(handle).values()) == 2


async def test_a_model_that_is_down_is_an_error_that_the_program_can_catch(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule(".", fault=Fault(status=401))
    source = "try:\n    skills.judge(word='x')\nexcept SkillError as exc:\n    result = str(exc)"
    handle = await begun(stack, client, stub, source)
    assert "refused the key" in stack.value(await handle.result())


SPLITTING = """
text = "moon river " * 40_000
try:
    skills.rhyme(word=text)
    result = "asked"
except SkillError as exc:
    size = exc.details["fitting_tokens"]
    parts = [text[k : k + size] for k in range(0, 3 * size, size)]
    found = [skills.rhyme(word=part)["rhyme"] for part in parts]
    result = [exc.type, str(exc), exc.details["tokens"] > 100_000, found]
"""


@pytest.mark.parametrize(
    "budget", [{}, {"budget": Budget(tokens=1_000_000), "is_budgeted": True}], ids=["free", "budget"]
)
async def test_a_text_that_is_too_long_for_the_model_is_split_by_the_program(
    stack: Stack, client: Client, stub: StubLlm, budget: dict[str, Any]
) -> None:
    stub.rule("RHYME", '{"rhyme": "June"}')
    result = await stack.run(client, SPLITTING, models=models(stub, context_tokens=8192), **budget)
    kind, message, is_large, found = stack.value(result)
    assert (kind, is_large, found) == ("TooLarge", True, ["June"] * 3)
    assert "6144 fit (a window of 8192, less 2048 for the reply)" in message
    assert "Split the text" in message
    assert len(stub.requests) == 3
    assert max(request.size_bytes for request in stub.requests) < 8192


async def test_what_a_hybrid_asks_is_refused_before_it_is_sent_and_not_tried_again(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    source = "try:\n    skills.judge(word='moon ' * 80_000)\nexcept SkillError as exc:\n    result = str(exc)"
    handle = await stack.start(client, source, models=models(stub, context_tokens=8192))
    assert "6144 fit (a window of 8192, less 2048 for the reply)" in stack.value(await handle.result())
    assert stub.requests == []
    found = await activities(handle)
    assert (found["skill.run"], found["llm.ask"]) == (1, 1)
    assert sum(stack.begins(handle).values()) == 1


async def test_a_skill_alone_needs_no_box(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(".", '{"rhyme": "June"}')
    arguments = {"word": "moon"}
    ask = Ask(id=call_id(call_hash("program", "rhyme", arguments), 1), skill="rhyme", arguments=Value(inline=arguments))
    spec = stack.spec("", type="skill:rhyme", call=ask, models=models(stub))
    handle = await client.start_workflow(
        PROGRAM_WORKFLOW,
        spec,
        id=spec.task.workflow_id,
        task_queue=QUEUE_AGENTS,
        task_timeout=policies.TASK_TIMEOUT,
        result_type=ProgramResult,
    )
    assert stack.value(await handle.result()) == {"rhyme": "June"}
    assert (await activities(handle))["program.run"] == 0


@pytest.mark.slow
async def test_a_long_wait_for_a_model_leaves_no_trace_in_the_history(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    """Twice a second an update would use up the server's 2,000 of them in a quarter of an hour."""
    stub.rule("JUDGE x", fault=Fault(status=429, headers={"retry-after": "8"}), times=1)
    stub.rule("JUDGE x", "fine")
    tuning = {"slow_after_seconds": 0.5, "park_after_seconds": 0.1}
    handle = await begun(stack, client, stub, "result = skills.judge(word='x')", tuning=tuning)
    await until(lambda: _waits(handle))
    await asyncio.sleep(1)
    before = (await handle.describe()).history_length
    await asyncio.sleep(4)
    assert (await handle.describe()).history_length <= before + 6
    assert stack.value(await handle.result()) == {"word": "x", "said": "fine"}
    assert len(stub.requests) == 2


async def _waits(handle: Any) -> bool:
    return (await progress(handle)).state == "WAITING"


async def test_a_call_that_runs_no_more_costs_the_others_no_answer(stack: Stack, client: Client, stub: StubLlm) -> None:
    """What the skills of one worker ask at once shares an update: one of them may have been taken for lost."""
    stub.rule("JUDGE x", "fine", delay_s=3)
    stub.rule("and this", "this too")
    handle = await begun(stack, client, stub, "result = skills.judge(word='x')")
    parent = (await until(lambda: _running(handle)))[0]
    asks = [
        Nested(parent=one, ask=Ask(id=f"{digit * 24}.1", skill="llm", arguments=Value(inline={"prompt": "and this"})))
        for one, digit in ((parent, "a"), (f"{'0' * 24}.1", "b"))
    ]
    message = NestMessage(by="another worker", number=1, asks=asks)
    first: NestReply = await handle.execute_update("nest", message, result_type=NestReply)
    assert first.stale == [asks[1].ask.id]
    message = NestMessage(by="another worker", number=2, again=[asks[0].ask.id])
    second: NestReply = await handle.execute_update("nest", message, result_type=NestReply)
    assert [one.value.inline for one in second.answers if one.value] == ["this too"]
    assert stack.value(await handle.result()) == {"word": "x", "said": "fine"}


async def _running(handle: Any) -> list[str]:
    return [entry.id for entry in (await progress(handle)).open_calls if entry.skill == "judge"]
