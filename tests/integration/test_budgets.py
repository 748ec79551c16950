"""Budgets of whole trees, over a real server and a stub model that counts for itself what it was paid."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from holdfast.contracts.budget import Budget, BudgetState, TopUp
from holdfast.contracts.program import ProgramResult
from holdfast.contracts.question import AnswerMessage
from tests.integration.test_thinking_skills import PROJECT
from tests.support.agents import begin, models, task_spec
from tests.support.authors import plans
from tests.support.stack import Stack, progress, until
from tests.support.stub_llm import Fault, StubLlm

MOON = '{"rhyme": "June"}'
TWENTY = """
import asyncio
found = await asyncio.gather(*[skills.rhyme(word=f"word{i}") for i in range(20)])
result = len(found)
"""
TEN = "total = 0\nfor k in range(10):\n    total += skills.echo(i=k)['i']\nresult = total"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    one = Stack(tmp_path_factory.mktemp("budgets"), project=PROJECT)
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


def paid(stub: StubLlm, reply: str = MOON) -> int:
    """Tokens by the stub's own count."""
    return sum(request.size_bytes // 4 + max(1, len(reply) // 4) for request in stub.requests)


async def spends(stack: Stack, client: Client, stub: StubLlm, source: str, budget: Budget, **fields: Any) -> Any:
    asked = models(stub, max_tokens=20)
    return await stack.start(client, source, models=asked, budget=budget, is_budgeted=True, **fields)


async def waits(handle: Any, question: str = "budget.1") -> BudgetState:
    """How the budget stands once the task waits for a top-up."""

    async def asked() -> Any:
        seen = await progress(handle)
        is_open = any(one.id == question and one.state == "open" for one in seen.questions)
        return seen.budget if seen.state == "WAITING" and is_open else None

    found: BudgetState = await until(asked)
    return found


async def top_up(handle: Any, **add: Any) -> BudgetState:
    state: BudgetState = await handle.execute_update("top_up", TopUp(add=Budget(**add)), result_type=BudgetState)
    return state


async def failed(handle: Any) -> ProgramResult:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    return ProgramResult.model_validate(cause.details[0])


async def activities(handle: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    async for event in handle.fetch_history_events():
        found[event.activity_task_scheduled_event_attributes.activity_type.name] += 1
    return found


@pytest.mark.slow
async def test_twenty_calls_against_a_budget_for_seven_wait_for_a_top_up_and_are_done(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule("RHYME", MOON)
    handle = await spends(stack, client, stub, TWENTY, Budget(calls=7))
    seen = await waits(handle)
    assert (len(stub.requests), seen.taken.calls, seen.reserved.calls, seen.waiting) == (7, 7, 0, 13)
    [question] = (await progress(handle)).questions
    assert question.kind == "budget"
    assert "7 of 7 calls taken" in question.text
    assert (await top_up(handle, calls=5)).limit.calls == 12
    assert (await waits(handle, "budget.2")).taken.calls == 12
    assert len(stub.requests) == 12
    await top_up(handle, calls=100)
    result: ProgramResult = await handle.result()
    assert stack.value(result) == 20
    assert (result.budget and result.budget.taken.calls, len(stub.requests)) == (20, 20)


@pytest.mark.slow
async def test_tokens_are_never_overspent_by_calls_that_ask_at_once(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule("RHYME", MOON, delay_s=0.05)
    limit = 1500
    handle = await spends(stack, client, stub, TWENTY, Budget(tokens=limit))
    number, rounds = 1, 0
    while True:
        done = asyncio.create_task(handle.result())
        asked = asyncio.create_task(waits(handle, f"budget.{number}"))
        await asyncio.wait([done, asked], return_when=asyncio.FIRST_COMPLETED)
        assert paid(stub) <= limit
        if done.done():
            asked.cancel()
            break
        seen = await asked
        assert seen.taken.tokens == paid(stub)
        done.cancel()
        number, limit, rounds = number + 1, limit + 1000, rounds + 1
        await top_up(handle, tokens=1000)
    result: ProgramResult = done.result()
    assert rounds
    assert result.budget is not None
    assert (stack.value(result), result.budget.taken.tokens) == (20, paid(stub))
    assert result.budget.taken.tokens == result.spent.input_tokens + result.spent.output_tokens


@pytest.mark.slow
async def test_an_agents_program_asks_the_root_and_is_parked_while_it_waits(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    source = "found = [skills.rhyme(word=str(i))['rhyme'] for i in range(5)]\nresult = len(found)"
    stub.rule("RHYME", MOON)
    plans(stub, source, skills='["rhyme"]')
    spec = task_spec(stack, "rhyme", models(stub), skills=["rhyme"], budget=Budget(calls=2), is_budgeted=True)
    handle = await begin(client, spec)
    seen = await waits(handle)
    assert (seen.taken.calls, seen.waiting) == (2, 1)
    child = client.get_workflow_handle(f"{handle.id}/program")
    assert (await progress(child)).state == "WAITING"
    assert not (await progress(child)).box
    await handle.execute_update("answer", AnswerMessage(question_id="budget.1", value={"add": {"calls": 3}}))
    result = await handle.result()
    assert (stack.value(result), result.calls, result.suspensions) == (5, 5, 1)
    assert result.budget is not None
    assert (result.budget.taken.calls, result.budget.waiting, result.budget.reserved.tokens) == (5, 0, 0)
    assert result.budget.taken.tokens == result.spent.input_tokens + result.spent.output_tokens


async def test_stop_gives_up_what_waits_and_the_task_fails_clearly(stack: Stack, client: Client, stub: StubLlm) -> None:
    handle = await begin(
        client,
        task_spec(stack, "hello", models(stub), strategy="direct", budget=Budget(tokens=100), is_budgeted=True),
    )
    await waits(handle)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("answer", AnswerMessage(question_id="budget.1", value="more, please"))
    await handle.execute_update("answer", AnswerMessage(question_id="budget.1", value="stop"))
    result = await failed(handle)
    assert result.error is not None
    assert result.error.type == "BudgetExhausted"
    assert "0 of 100 tokens taken" in result.error.message
    assert stub.requests == []


@pytest.mark.slow
async def test_a_program_may_catch_that_its_budget_is_used_up(stack: Stack, client: Client, stub: StubLlm) -> None:
    source = """
done = 0
try:
    for i in range(5):
        skills.rhyme(word=str(i))
        done += 1
except SkillError as exc:
    result = [done, str(exc)]
"""
    stub.rule("RHYME", MOON)
    handle = await spends(stack, client, stub, source, Budget(calls=2))
    await waits(handle)
    await handle.execute_update("answer", AnswerMessage(question_id="budget.1", value="stop"))
    done, why = stack.value(await handle.result())
    assert done == 2
    assert "nobody added to it: 2 of 2 calls taken" in why


async def test_an_unknown_price_under_a_budget_in_dollars_is_refused_before_it_is_asked(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    budget = Budget(usd=Decimal(1))
    spec = task_spec(stack, "hello", models(stub), strategy="direct", budget=budget, is_budgeted=True)
    result = await failed(await begin(client, spec))
    assert result.error is not None
    assert result.error.type == "PriceUnknown"
    assert "openai-compatible:stub" in result.error.message
    assert stub.requests == []


async def test_a_free_model_takes_no_dollars(stack: Stack, client: Client, stub: StubLlm) -> None:
    asked = models(stub, provider="ollama")
    spec = task_spec(stack, "hello", asked, strategy="direct", budget=Budget(usd=Decimal(0)), is_budgeted=True)
    result = await (await begin(client, spec)).result()
    assert stack.value(result) == "OK"
    assert result.budget is not None
    assert (result.budget.taken.usd, result.budget.unknown) == (Decimal(0), 0)


async def test_what_a_model_may_say_is_really_bounded(stack: Stack, client: Client, stub: StubLlm) -> None:
    spec = task_spec(stack, "hello", models(stub), strategy="direct", budget=Budget(tokens=9000), is_budgeted=True)
    await (await begin(client, spec)).result()
    assert stub.requests[0].body["max_tokens"] == 4096


@pytest.mark.slow
async def test_each_attempt_that_may_be_paid_for_has_a_reservation_of_its_own(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    """A reply that is cut is paid for; an error page is not."""
    stub.rule(".", fault=Fault(status=500), times=1)
    stub.rule(".", "Hello there", fault=Fault(cut_after=1), times=1)
    stub.rule(".", "Hello")
    spec = task_spec(
        stack, "hello", models(stub, max_tokens=50), strategy="direct", budget=Budget(tokens=5000), is_budgeted=True
    )
    result = await (await begin(client, spec)).result()
    said = stub.requests[-1].size_bytes // 4 + 1
    assert len(stub.requests) == 3
    assert result.budget is not None
    assert result.budget.reserved.tokens == 0
    bound = result.budget.taken.tokens - said
    assert stub.requests[1].size_bytes // 4 + 50 <= bound <= stub.requests[1].size_bytes + 2000


@pytest.mark.slow
async def test_wall_time_stands_still_while_a_top_up_is_waited_for(stack: Stack, client: Client, stub: StubLlm) -> None:
    source = (
        "import asyncio\nfor i in range(3):\n    skills.rhyme(word=str(i))\n    await asyncio.sleep(0.7)\nresult = 3"
    )
    stub.rule("RHYME", MOON)
    handle = await spends(stack, client, stub, source.replace("skills.", "await skills."), Budget(seconds=0.6))
    seen = await waits(handle)
    assert seen.waiting == 1
    await asyncio.sleep(1.0)
    assert (await progress(handle)).budget == seen
    await top_up(handle, seconds=3600)
    result = await handle.result()
    assert stack.value(result) == 3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancelled", "overdue"])
async def test_a_task_that_waits_for_a_top_up_can_be_ended(
    stack: Stack, client: Client, stub: StubLlm, how: str
) -> None:
    limits = {"task_seconds": 2.0} if how == "overdue" else {}
    budget = Budget(tokens=10)
    spec = task_spec(stack, "hi", models(stub), strategy="direct", budget=budget, is_budgeted=True, limits=limits)
    handle = await begin(client, spec)
    await waits(handle)
    if how == "cancelled":
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    else:
        assert (await failed(handle)).state == "TIMED_OUT"
    assert (await progress(handle)).questions[0].state == "withdrawn"


@pytest.mark.slow
async def test_the_ledger_goes_on_over_continue_as_new(stack: Stack, client: Client, stub: StubLlm) -> None:
    source = "import asyncio\nn = 0\nfor k in range(4):\n    found = await asyncio.gather(*[skills.rhyme(word=f'{k}.{i}') for i in range(4)])\n    n += len(found)\nresult = n"
    stub.rule("RHYME", MOON)
    handle = await spends(stack, client, stub, source, Budget(calls=10), tuning={"bound_events": 60})
    seen = await waits(handle)
    assert (seen.taken.calls, len(stub.requests)) == (10, 10)
    await top_up(handle, calls=6)
    result = await handle.result()
    assert (stack.value(result), result.runs > 1, len(stub.requests)) == (16, True, 16)
    assert result.budget is not None
    assert result.budget.taken.calls == 16


async def test_without_a_budget_nothing_is_asked_for(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule("RHYME", MOON)
    source = "result = [skills.rhyme(word='x'), skills.ask(text='?')]"
    handle = await stack.start(client, source, models=models(stub))

    async def asks() -> Any:
        return [one.id for one in (await progress(handle)).questions]

    [question] = await until(asks)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await top_up(handle, calls=1)
    assert "no budget" in str(caught.value.cause)
    await handle.execute_update("answer", AnswerMessage(question_id=question, value="yes"))
    result = await handle.result()
    assert result.budget is None
    found = await activities(handle)
    assert (found["llm.skill"], found["llm.estimate"]) == (1, 0)


@pytest.mark.slow
async def test_workers_that_die_overspend_nothing(stack: Stack, client: Client, stub: StubLlm) -> None:
    """A request that was in flight may be paid for twice: then each has a reservation of its own."""
    stub.rule("RHYME", MOON, delay_s=0.6)
    limit = 6000
    handle = await spends(stack, client, stub, TWENTY, Budget(tokens=limit), limits={"max_parallel": 4})
    for _ in range(2):
        before = len(stub.requests)
        await until(lambda before=before: len(stub.requests) >= before + 2)
        stack.workers[-1].kill()
        stack.start_worker().wait_up()
    number = 1
    while True:
        done = asyncio.create_task(handle.result())
        asked = asyncio.create_task(waits(handle, f"budget.{number}"))
        await asyncio.wait([done, asked], return_when=asyncio.FIRST_COMPLETED, timeout=60)
        assert paid(stub) <= limit
        if done.done():
            asked.cancel()
            break
        done.cancel()
        await asked
        number, limit = number + 1, limit + 2000
        await top_up(handle, tokens=2000)
    result: ProgramResult = done.result()
    assert result.budget is not None
    assert stack.value(result) == 20
    assert len(stub.requests) > 20
    assert paid(stub) <= result.budget.taken.tokens <= limit
