"""Tasks in plain words, over real HTTP to a stub model: plans, programs, repairs, answers, questions."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError

from holdfast.contracts.program import ProgramEnd, ProgramResult
from holdfast.contracts.question import AnswerMessage
from store.database import Database
from store.deltas import Deltas
from tests.support.agents import Handle, begin, models, task_spec
from tests.support.authors import FUSED, PHRASE, PLAN, PROGRAM, REPAIR, fenced, plans, says
from tests.support.stack import Stack, progress, until
from tests.support.stub_llm import Fault, Request, StubLlm
from tests.support.stub_wires import Wire

TEN = "total = 0\nfor k in range(10):\n    total += skills.echo(i=k)['i']\nresult = total"
SEVEN = "import asyncio\nfor k in range(7):\n    await skills.echo(i=k)\n"
WHOLE = SEVEN + "result = 'whole'"

WIRES: dict[Wire, dict[str, str]] = {
    "openai": {"provider": "openai-compatible"},
    "anthropic": {"provider": "anthropic"},
    "converse": {"provider": "bedrock", "model": "meta.llama3-70b-instruct-v1:0"},
    "invoke": {"provider": "bedrock", "model": "anthropic.claude-3-sonnet-20240229-v1:0"},
}
"""What asks for each wire format."""

KEY = "sk-ant-of-a-test-0123456789"
AWS = {"AWS_ACCESS_KEY_ID": "AKIA0", "AWS_SECRET_ACCESS_KEY": "of-a-test", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker with a key: the session's own has none, so that it is offline."""
    one = Stack(tmp_path_factory.mktemp("agents"))
    try:
        one.start_server()
        one.start_worker(ANTHROPIC_API_KEY=KEY, **AWS).wait_up()
        yield one
    finally:
        one.close()


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm() as one:
        yield one


async def ended(handle: Handle) -> ProgramResult:
    """How a task ended that did not end well."""
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    return ProgramResult.model_validate(cause.details[0])


async def scheduled(stack: Stack, client: Client, handle: Handle) -> dict[str, int]:
    child = client.get_workflow_handle(f"{handle.id}/program")
    first = await child.describe()
    runs = client.get_workflow_handle(f"{handle.id}/program", run_id=first.run_id)
    runs._first_execution_run_id = first.run_id
    return dict(await stack.scheduled(client, runs))


@pytest.mark.parametrize("wire", WIRES)
async def test_ten_lookups_take_two_requests_and_ten_recorded_calls(
    stack: Stack, client: Client, stub: StubLlm, wire: Wire
) -> None:
    plans(stub, TEN)
    handle = await begin(client, task_spec(stack, "add ten numbers", models(stub, **WIRES[wire])))
    result = await handle.result()
    assert {request.wire for request in stub.requests} == {wire}
    assert stack.value(result) == 45
    assert (result.calls, result.spent.llm_calls, len(stub.requests)) == (10, 2, 2)
    assert [call.step for call in result.llm] == ["plan", "program"]
    assert result.spent.input_tokens == sum(request.size_bytes // 4 for request in stub.requests)
    assert "add ten numbers" in stub.requests[0].last
    assert "skills.echo(" in stub.requests[1].last and "skills.boom(" not in stub.requests[1].last
    assert list((await scheduled(stack, client, handle)).values()) == [1] * 10


@pytest.mark.parametrize("wire", WIRES)
async def test_fused_planning_takes_one_request(stack: Stack, client: Client, stub: StubLlm, wire: Wire) -> None:
    says(stub, FUSED, fenced(TEN))
    spec = task_spec(stack, "add ten numbers", models(stub, **WIRES[wire]), skills=["echo"], planning="fused")
    result = await (await begin(client, spec)).result()
    assert stack.value(result) == 45
    assert (result.calls, result.spent.llm_calls, len(stub.requests)) == (10, 1, 1)


@pytest.mark.parametrize("planning", ["split", "fused"])
async def test_a_plan_may_be_the_answer(stack: Stack, client: Client, stub: StubLlm, planning: str) -> None:
    stub.rule(".", '{"answer": "Paris"}')
    spec = task_spec(stack, "What is the capital of France?", models(stub), planning=planning)
    result = await (await begin(client, spec)).result()
    assert (stack.value(result), result.calls, len(stub.requests)) == ("Paris", 0, 1)


async def test_direct_is_one_llm_call_and_no_program(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule("capital of France", "Paris")
    handle = await begin(client, task_spec(stack, "capital of France?", models(stub), strategy="direct"))
    assert stack.value(await handle.result()) == "Paris"
    kinds = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        async for event in handle.fetch_history_events()
    ]
    assert [kind for kind in kinds if kind.startswith(("llm", "program"))] == ["llm.answer"]


async def test_a_slow_reply_is_told_piece_by_piece_and_whole_at_the_end(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    words = " ".join(f"word{k}" for k in range(40))
    stub.rule(".", words, fault=Fault(slow_s=0.1))
    handle = await begin(client, task_spec(stack, "tell", models(stub), strategy="direct"))
    assert stack.value(await handle.result()) == words
    database = await Database.open(stack.settings)
    try:
        rows = await Deltas(database).since("default", handle.id.partition("/")[2], 0)
    finally:
        await database.close()
    assert len(rows) > 2
    assert "".join(row.text for row in rows) == words
    assert {row.step for row in rows} == {"answer"}


async def test_a_result_is_phrased_if_the_agent_says_so(stack: Stack, client: Client, stub: StubLlm) -> None:
    plans(stub, TEN)
    says(stub, PHRASE, "The sum is forty-five.")
    result = await (await begin(client, task_spec(stack, "add", models(stub), phrase=True))).result()
    assert stack.value(result) == "The sum is forty-five."
    assert "45" in stub.requests[-1].last


async def test_an_output_schema_makes_the_answer_json(stack: Stack, client: Client, stub: StubLlm) -> None:
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    stub.rule(".", "I think: it is Paris", times=1)
    stub.rule(".", '```json\n{"city": "Paris"}\n```')
    spec = task_spec(stack, "capital?", models(stub), strategy="direct", output_schema=schema)
    assert stack.value(await (await begin(client, spec)).result()) == {"city": "Paris"}
    assert len(stub.requests) == 2


BROKEN = {
    "syntax": "for k in range(7)\n    skills.echo(i=k)",
    "unknown skill": "skills.ecco(i=1)",
    "wrong argument": SEVEN + "await skills.echo(i=7, wrong=1)",
    "exception after call 7": SEVEN + "raise ValueError('after seven')",
    "endless loop": SEVEN + "while True:\n    pass",
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_program_is_mended_once_and_repeats_no_finished_call(
    stack: Stack, client: Client, stub: StubLlm, fault: str
) -> None:
    plans(stub, BROKEN[fault], WHOLE)
    handle = await begin(client, task_spec(stack, "seven", models(stub), limits={"run_seconds": 1.5}))
    result = await handle.result()
    assert stack.value(result) == "whole"
    assert (result.repairs, result.version, result.spent.llm_calls, len(stub.requests)) == (1, 2, 3, 3)
    assert [call.detail for call in result.llm][-1] == "version 2"
    assert list((await scheduled(stack, client, handle)).values()) == [1] * 7
    told = stub.requests[-1].last
    expected = {"syntax": "line 1", "unknown skill": "echo", "wrong argument": "wrong", "endless loop": "1.5 s"}
    assert expected.get(fault, "after seven") in told


async def test_a_wrong_argument_goes_back_with_its_place_before_anything_runs(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    plans(stub, "await skills.echo(i=1)\nawait skills.echo(i=2, wrong=3)", "result = 'mended'")
    handle = await begin(client, task_spec(stack, "two", models(stub)))
    result = await handle.result()
    assert (stack.value(result), result.calls, result.repairs) == ("mended", 0, 1)
    assert await scheduled(stack, client, handle) == {}
    assert "line 2, column 24: skills.echo has no argument 'wrong'; it takes i: integer" in stub.requests[-1].last


async def test_prose_without_a_program_is_asked_again(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, PLAN, '{"selected_skills": ["echo"]}')
    says(stub, PROGRAM, "I would call echo seven times.")
    says(stub, REPAIR, fenced(WHOLE))
    result = await (await begin(client, task_spec(stack, "seven", models(stub)))).result()
    assert (stack.value(result), result.repairs) == ("whole", 1)


async def test_tool_calls_instead_of_a_program_are_made(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, PLAN, '{"selected_skills": ["echo"]}')
    says(stub, PROGRAM, '<tool name="echo">{"i": }</tool>')
    says(stub, REPAIR, '<tool name="echo">{"i": 1}</tool>\n<tool name="echo">{"i": 2}</tool>')
    result = await (await begin(client, task_spec(stack, "two", models(stub)))).result()
    assert [one["i"] for one in stack.value(result)] == [1, 2]
    assert "no JSON object" in stub.requests[-1].last


async def test_a_program_that_is_never_mended_ends_in_error_with_its_line(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    plans(stub, "x = skills.echo(i=1)\nresult = x['nothing']")
    handle = await begin(client, task_spec(stack, "one", models(stub), limits={"max_repairs": 2}))
    result = await ended(handle)
    assert (result.state, result.repairs, len(stub.requests)) == ("ERROR", 2, 4)
    assert result.error is not None
    assert result.error.type == "KeyError"
    assert "line 2" in result.error.message and "'nothing'" in result.error.message
    assert result.calls == 1


async def test_an_unknown_skill_in_the_plan_is_asked_again_and_then_given_up(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule(".", '{"selected_skills": ["ecco"]}')
    result = await ended(await begin(client, task_spec(stack, "one", models(stub))))
    assert result.error is not None and result.error.type == "PlanInvalid"
    assert "'ecco'" in result.error.message and "'echo'" in result.error.message
    assert "no skill named" in stub.requests[1].last


async def test_a_plan_asks_and_goes_on_with_the_answer(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, PLAN, '{"ask": "Which one?", "options": ["red", "blue"]}')
    stub.rule(lambda request: "blue" in request.last, '{"answer": "blue it is"}')
    handle = await begin(client, task_spec(stack, "choose", models(stub)))
    question = (await until(lambda: _open(handle)))[0]
    assert (question.text, question.options) == ("Which one?", ["red", "blue"])
    assert (await progress(handle)).state == "WAITING"
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="green"))
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="blue"))
    assert stack.value(await handle.result()) == "blue it is"


@pytest.mark.parametrize("way", ["update", "signal"])
async def test_a_question_of_the_program_is_answered_at_the_task(
    stack: Stack, client: Client, stub: StubLlm, way: str
) -> None:
    plans(stub, "a = await skills.echo(i=1)\nresult = await skills.ask(text='ok?')", skills='["echo", "ask"]')
    handle = await begin(client, task_spec(stack, "ask me", models(stub)))
    question = (await until(lambda: _open(handle)))[0]
    await until(lambda: _is(handle, "WAITING"))
    message = AnswerMessage(question_id=question.id, value="fine")
    if way == "update":
        await handle.execute_update("answer", message)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("answer", message)
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "CONFLICT"
    else:
        await handle.signal("answer_question", message)
    result = await handle.result()
    assert stack.value(result) == "fine"
    assert list((await scheduled(stack, client, handle)).values()) == [1]


async def test_a_program_runs_on_the_sandbox_that_its_agent_asks_for(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    plans(stub, TEN)
    handle = await begin(client, task_spec(stack, "add ten", models(stub), adapter="landlock"))
    assert stack.value(await handle.result()) == 45
    history = client.get_workflow_handle(f"{handle.id}/program").fetch_history_events()
    told = [event.activity_task_completed_event_attributes.result.payloads async for event in history]
    ends = [ProgramEnd.model_validate_json(one.data) for [one] in filter(None, told) if b'"outcome"' in one.data]
    assert {(end.adapter, end.isolation.partition(",")[0]) for end in ends} == {("landlock", "Landlock")}


async def test_a_sandbox_that_is_not_there_ends_the_task_and_no_model_is_asked_to_mend_it(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    plans(stub, TEN)
    result = await ended(await begin(client, task_spec(stack, "add ten", models(stub), adapter="moon")))
    assert (result.state, result.repairs, result.calls, len(stub.requests)) == ("ERROR", 0, 0, 2)
    assert result.error is not None and result.error.type == "NoSandbox"
    for said in ("asks for sandbox 'moon'", "it has 'local'", "known: docker, landlock, local", "holdfast doctor"):
        assert said in result.error.message


async def test_cancelling_a_task_ends_its_program(stack: Stack, client: Client, stub: StubLlm) -> None:
    plans(stub, "await skills.echo(i=1, ms=20000)")
    handle = await begin(client, task_spec(stack, "wait", models(stub)))
    child = client.get_workflow_handle(f"{handle.id}/program")
    await until(lambda: stack.begins(handle))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await child.describe()).status == (await handle.describe()).status
    await until(lambda: not stack.boxes())


@pytest.mark.slow
async def test_a_reply_that_is_faster_than_the_word_to_stop_begins_nothing_more(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    """The activity hears of it with its next heartbeat, some seconds later; the reply comes before."""
    go = threading.Event()

    def reply(_: Request) -> str:
        go.wait(60)
        return '{"selected_skills": ["echo"], "reasoning": "it fits"}'

    stub.rule(lambda request: PLAN in request.last, reply)
    says(stub, PROGRAM, fenced("result = 1"))
    handle = await begin(client, task_spec(stack, "wait", models(stub)))
    await until(lambda: stub.requests)
    await asyncio.sleep(1)
    await handle.cancel()
    await asyncio.sleep(0.2)
    go.set()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert len(stub.requests) == 1


async def test_a_task_that_is_overdue_is_timed_out_with_its_program(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    plans(stub, "await skills.ask(text='ever?')", skills='["ask"]')
    handle = await begin(client, task_spec(stack, "wait", models(stub), limits={"task_seconds": 3.0}))
    result = await ended(handle)
    assert result.state == "TIMED_OUT"


async def _open(handle: Handle) -> list[Any]:
    return [question for question in (await progress(handle)).questions if question.state == "open"]


async def _is(handle: Handle, state: str) -> bool:
    return (await progress(handle)).state == state
