"""Budgets of whole trees, over a real server and a stub model that counts for itself what it was paid."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

import holdfast
from holdfast.contracts.budget import Budget, BudgetState, TopUp
from holdfast.contracts.program import ProgramResult
from holdfast.contracts.question import AnswerMessage
from holdfast.contracts.task import TaskRequest
from holdfast.errors import UserError
from tests.integration.test_thinking_skills import PROJECT
from tests.support.agents import begin, models, task_spec
from tests.support.api import Api, problem
from tests.support.authors import plans
from tests.support.skill_folders import write_files
from tests.support.stack import Stack, progress, until
from tests.support.stub_llm import Fault, StubLlm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MOON = '{"rhyme": "June"}'
TWENTY = """
import asyncio
found = await asyncio.gather(*[skills.rhyme(word=f"word{i}") for i in range(20)])
result = len(found)
"""
TEN = "total = 0\nfor k in range(10):\n    total += skills.echo(i=k)['i']\nresult = total"


TELLER = "name: teller\nsystem_prompt: You tell.\nskills: []\nllm_config: {max_tokens: 20}\n"
FAN = "name: fan\ncoordination_type: parallel\nsteps:\n" + "".join(
    f"  - {{name: s{i:02}, agent: teller}}\n" for i in range(20)
)


def asked_at(model: StubLlm) -> dict[str, str]:
    """What tells a worker that this is its model."""
    named = {"DEFAULT_LLM_PROVIDER": "openai-compatible", "DEFAULT_LLM_MODEL": "stub"}
    return {"LLM_BASE_URL": model.url, **named}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("budgets")
    project = shutil.copytree(PROJECT, folder / "project")
    write_files(project, {"agents/teller.yaml": TELLER, "flows/fan.yaml": FAN})
    one = Stack(folder / "home", project=project)
    try:
        one.start_server()
        one.start_worker(**asked_at(model)).wait_up()
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    one = Api(stack.home, stack.project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    yield one
    one.close()


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
    # On a slow machine it is parked, and waits, before all that was granted has begun.
    await until(lambda: len(stub.requests) == 12)
    await top_up(handle, calls=100)
    result: ProgramResult = await handle.result()
    assert stack.value(result) == 20
    assert (result.budget and result.budget.taken.calls, len(stub.requests)) == (20, 20)


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


FIVE = "result = [skills.rhyme(word=str(i))['rhyme'] for i in range(5)]"


def posted(api: Api, **fields: Any) -> dict[str, Any]:
    body = {"type": "program", "program": FIVE, "model": "openai-compatible:stub", **fields}
    response = api.http.post("/tasks", json=body)
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


async def asks_for_more(api: Api, task_id: str) -> dict[str, Any]:
    async def waiting() -> Any:
        task = api.get(f"/tasks/{task_id}")
        return task if task["state"] == "WAITING" and task["questions"] else None

    found: dict[str, Any] = await until(waiting)
    return found


async def test_a_budget_over_http(stack: Stack, api: Api, stub: StubLlm) -> None:
    stub.rule("RHYME", MOON)
    task = posted(api, budget={"calls": 2, "tokens": 100_000})
    seen = await asks_for_more(api, task["id"])
    assert seen["budget"]["limit"] == {"tokens": 100_000, "usd": None, "calls": 2, "seconds": None}
    assert (seen["budget"]["taken"]["calls"], seen["budget"]["waiting"]) == (2, 1)
    assert api.get(f"/tasks/{task['id']}/budget") == seen["budget"]
    [question] = api.get(f"/tasks/{task['id']}/questions")
    assert (question["id"], question["kind"]) == ("budget.1", "budget")
    path = f"/tasks/{task['id']}/budget"
    problem(api.http.post(path, json={"add": {}}), 422, "INVALID_REQUEST")
    problem(api.http.post(path, json={"add": {"token": 5}}), 422, "INVALID_REQUEST")
    more = api.http.post(path, json={"add": {"calls": 3}, "user_id": "ann@example.org"})
    assert (more.status_code, more.json()["limit"]["calls"]) == (200, 5)
    done = api.get(f"/tasks/{task['id']}", wait=30)
    assert (done["state"], done["output"]) == ("DONE", ["June"] * 5)
    assert done["budget"]["taken"]["calls"] == 5
    assert done["budget"]["taken"]["tokens"] == paid(stub)
    problem(api.http.post(path, json={"add": {"calls": 3}}), 409, "CONFLICT")
    [closed] = api.get(f"/tasks/{task['id']}/questions")
    assert (closed["state"], closed["answer"]) == ("answered", {"add": {"calls": 3}})
    assert len(closed["answered_by"]) == 64


def test_a_limit_that_is_misspelt_is_refused(api: Api) -> None:
    body = {"type": "program", "program": "result = 1", "budget": {"dollars": 5}}
    told = problem(api.http.post("/tasks", json=body), 422, "INVALID_REQUEST")
    assert "'dollars' is no unit of a budget; allowed: tokens, usd, calls, seconds" in told["message"]


async def test_a_task_without_a_budget_has_none_to_show_or_to_add_to(stack: Stack, api: Api) -> None:
    task = posted(api, program="result = skills.ask(text='?')", model=None)
    await asks_for_more(api, task["id"])
    problem(api.http.get(f"/tasks/{task['id']}/budget"), 422, "INVALID_REQUEST")
    told = problem(api.http.post(f"/tasks/{task['id']}/budget", json={"add": {"calls": 1}}), 422, "INVALID_REQUEST")
    assert "no budget" in told["message"]
    assert api.get(f"/tasks/{task['id']}")["budget"] is None
    assert api.http.post(f"/tasks/{task['id']}/cancel").status_code == 202


async def test_a_budget_at_the_command_line(stack: Stack, api: Api, stub: StubLlm, tmp_path: Path) -> None:
    stub.rule("RHYME", MOON)
    (tmp_path / "five.py").write_text(FIVE.replace("5", "4"))

    def command(*words: str) -> str:
        line = [sys.executable, "-m", "cli.main", *words]
        ran = subprocess.run(line, cwd=stack.project, env=api.environment, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    task_id = command("exec", str(tmp_path / "five.py"), "--max-calls", "1", "--max-seconds", "600", "--detach").strip()
    await asks_for_more(api, task_id)
    shown = [line.split(maxsplit=1) for line in command("budget", task_id).splitlines()]
    assert ["calls", "1 of 1"] in shown
    assert ["waiting", "1 for a top-up"] in shown
    assert "budget" in command("show", task_id)
    assert json.loads(command("budget", task_id, "--add-calls", "1", "--json"))["limit"]["calls"] == 2
    await until(lambda: len(api.get(f"/tasks/{task_id}/questions")) == 2)
    command("answer", task_id, "calls=10 seconds=5")
    assert api.get(f"/tasks/{task_id}", wait=30)["output"] == ["June"] * 4


async def test_a_budget_from_python(stack: Stack, api: Api, stub: StubLlm) -> None:
    stub.rule("RHYME", MOON)
    with holdfast.Client(str(api.http.base_url), "") as client:
        request = {"type": "program", "program": FIVE, "model": "openai-compatible:stub", "budget": {"calls": 1}}
        task = client.wait(client.send(TaskRequest.model_validate(request)).id, 30)
        assert task.state == "WAITING"
        assert client.budget(task.id).taken.calls == 1
        with pytest.raises(UserError, match="no unit of a budget"):
            client.top_up(task.id, dollars=5)  # type: ignore[call-arg]
        assert client.top_up(task.id, calls=9).limit.calls == 10
        assert client.wait(task.id, 30).output == ["June"] * 5


@pytest.mark.parametrize("is_killed", [False, True])
async def test_twenty_children_of_a_flow_against_a_budget_for_seven(
    stack: Stack, client: Client, api: Api, stub: StubLlm, is_killed: bool
) -> None:
    """Each child is a workflow of its own, and asks the root. The stub counts for itself what it is paid."""
    stub.rule(".", "told", delay_s=0.3 if is_killed else 0)
    response = api.http.post("/tasks", json={"type": "workflow:fan", "input": {"n": 1}, "budget": {"tokens": 1}})
    assert response.status_code == 201, response.text
    handle = client.get_workflow_handle(f"default/{response.json()['id']}")
    seen = await all_wait(handle, 1, 20)
    bound, limit = seen.wanted.tokens // 20, seen.limit.tokens or 0
    assert stub.requests == []
    limit = await more(handle, limit, bound)
    one = (await all_wait(handle, 2, 19)).taken.tokens
    assert one == paid(stub, "told")
    limit = await more(handle, limit, 6 * one)
    if is_killed:
        await until(lambda: len(stub.requests) > 3)
        stack.workers[-1].kill()
        stack.start_worker(**asked_at(stub)).wait_up()
    number = 3
    while (state := api.get(f"/tasks/{handle.id.partition('/')[2]}")["state"]) != "DONE":
        assert state in ("RUNNING", "WAITING")
        assert paid(stub, "told") <= limit
        if any(one.id == f"budget.{number}" for one in (await progress(handle)).questions):
            seen = await all_wait(handle, number)
            assert is_killed or number > 3 or (len(stub.requests), seen.waiting) == (7, 13)
            limit, number = await more(handle, limit, 13 * bound), number + 1
    task = api.get(f"/tasks/{handle.id.partition('/')[2]}")
    assert paid(stub, "told") <= task["budget"]["taken"]["tokens"] <= limit
    assert task["budget"]["reserved"]["tokens"] == 0
    assert list(task["output"]["step_outputs"].values()) == ["told"] * 20
    assert len(stub.requests) == 20 or is_killed


async def all_wait(handle: Any, number: int, count: int | None = None) -> BudgetState:
    """How the budget stands once so many pieces wait, and nothing is under way."""

    async def waiting() -> Any:
        seen = await progress(handle)
        is_right = seen.budget and count in (None, seen.budget.waiting) and seen.state == "WAITING"
        return seen.budget if is_right and any(one.id == f"budget.{number}" for one in seen.questions) else None

    found: BudgetState = await until(waiting, 60)
    return found


async def more(handle: Any, limit: int, tokens: int) -> int:
    """The new limit."""
    await top_up(handle, tokens=tokens)
    return limit + tokens


async def test_plain_calls_of_a_program_below_wait_for_a_top_up_too(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    """They are settled late, for their end makes no room: nobody may wait for that."""
    calls = "[skills.calculator(expression=f'{i} + 1') for i in range(12)]"
    plans(stub, f"import asyncio\nresult = len(await asyncio.gather(*{calls}))", skills='["calculator"]')
    budget = Budget(calls=5, tokens=100_000)
    spec = task_spec(stack, "count", models(stub), skills=["calculator"], budget=budget, is_budgeted=True)
    handle = await begin(client, spec)
    assert (await waits(handle)).taken.calls == 5
    await top_up(handle, calls=4)
    assert (await waits(handle, "budget.2")).taken.calls == 9
    await top_up(handle, calls=4)
    result = await handle.result()
    assert (stack.value(result), result.calls) == (12, 12)
    assert result.budget is not None
    assert result.budget.taken.calls == 12


async def test_the_roots_history_does_not_grow_with_each_call_of_a_program_below(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    source = (
        "total = 0\nfor i in range(120):\n    skills.calculator(expression=f'{i} + 1')\n    total += 1\nresult = total"
    )
    plans(stub, source, skills='["calculator"]')
    lengths = {}
    for name, budget in {"calls": Budget(calls=20_000), "tokens": Budget(tokens=100_000)}.items():
        spec = task_spec(stack, "count", models(stub), skills=["calculator"], budget=budget, is_budgeted=True)
        handle = await begin(client, spec)
        result = await handle.result()
        assert result.budget is not None
        assert (stack.value(result), result.budget.taken.calls, result.budget.reserved.calls) == (120, 120, 0)
        lengths[name] = (await handle.describe()).history_length
    assert max(lengths.values()) < 120, lengths


async def test_a_worker_that_dies_overspends_nothing(stack: Stack, client: Client, stub: StubLlm) -> None:
    """A request that was in flight may be paid for twice: then each has a reservation of its own."""
    stub.rule("RHYME", MOON, delay_s=0.6)
    limit = 6000
    handle = await spends(stack, client, stub, TWENTY, Budget(tokens=limit), limits={"max_parallel": 4})
    await until(lambda: len(stub.requests) >= 3)
    stack.workers[-1].kill()
    stack.start_worker(**asked_at(stub)).wait_up()
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
