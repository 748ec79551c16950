"""Strategy `loop`: the model calls skills turn by turn, over real HTTP to a stub model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Failure
from holdfast.contracts.budget import Budget
from holdfast.contracts.program import ProgramResult, Segment
from holdfast.contracts.question import AnswerMessage
from tests.support.agents import Handle, begin, models, task_spec
from tests.support.stack import Stack, progress, runs_of, until
from tests.support.stub_llm import Reply, Request, StubLlm, calling
from tests.support.stub_wires import Use, Wire

pytestmark = pytest.mark.slow

WIRES: dict[Wire, dict[str, str]] = {
    "openai": {"provider": "openai-compatible"},
    "anthropic": {"provider": "anthropic"},
    "converse": {"provider": "bedrock", "model": "meta.llama3-1-70b-instruct-v1:0"},
    "invoke": {"provider": "bedrock", "model": "anthropic.claude-3-sonnet-20240229-v1:0"},
}
"""What asks for each wire format."""

KEY = "sk-ant-of-a-test-0123456789"
AWS = {"AWS_ACCESS_KEY_ID": "AKIA0", "AWS_SECRET_ACCESS_KEY": "of-a-test", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker with a key: the session's own has none, so that it is offline."""
    one = Stack(tmp_path_factory.mktemp("loop"))
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


def says(stub: StubLlm, *replies: Reply) -> None:
    """A reply a turn; the last one for ever."""
    for reply in replies[:-1]:
        stub.rule(".", reply, times=1)
    stub.rule(".", replies[-1])


def echo(i: int, **more: Any) -> Use:
    return Use("echo", {"i": i, **more})


async def looped(stack: Stack, client: Client, stub: StubLlm, **fields: Any) -> Handle:
    asked = models(stub, **fields.pop("model", {}))
    return await begin(client, task_spec(stack, "Do it.", asked, strategy="loop", **fields))


async def ended(handle: Handle) -> tuple[ProgramResult, Failure]:
    """How a task ended that did not end well."""
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    result = ProgramResult.model_validate(cause.details[0])
    assert result.error is not None
    return result, result.error


def segments(stack: Stack, result: ProgramResult) -> list[Segment]:
    blobs = BlobStore(stack.settings.blobs)
    return [Segment.model_validate(blobs.get_json(ref)) for ref in result.journal]


def entries(stack: Stack, result: ProgramResult) -> list[tuple[str, str]]:
    return [(entry.skill, entry.state) for one in segments(stack, result) for entry in one.entries]


@pytest.mark.parametrize("wire", WIRES)
async def test_model_calls_reads_and_answers(stack: Stack, client: Client, stub: StubLlm, wire: Wire) -> None:
    says(stub, calling(echo(1), text="First."), calling(echo(2), echo(3)), "Six.")
    handle = await looped(stack, client, stub, model=WIRES[wire])
    result = await handle.result()
    assert {request.wire for request in stub.requests} == {wire}
    assert stack.value(result) == "Six."
    assert (result.calls, result.spent.llm_calls, len(stub.requests)) == (3, 3, 3)
    assert entries(stack, result) == [("echo", "answered")] * 3
    assert stub.requests[0].tools["echo"]["required"] == ["i"]
    told = stub.requests[-1].results
    assert [json.loads(one.text)["i"] for one in told] == [1, 2, 3]
    assert [one.id for one in told] == [call.id for call in stub.requests[-1].calls]
    assert [call.detail for one in segments(stack, result) for call in one.llm] == [
        "turn 1: echo",
        "turn 2: echo (2 times)",
        "turn 3: answer",
    ]
    assert list(stack.begins(handle).values()) == [1, 1, 1]


async def test_three_calls_of_one_reply_overlap_in_time(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, calling(*(echo(i, ms=3000) for i in range(3))), "Done.")
    handle = await looped(stack, client, stub)
    await handle.result()
    lines = stack.effects(handle.id.partition("/")[2])
    assert [line[0] for line in sorted(lines, key=lambda line: line[4])] == ["begin"] * 3 + ["end"] * 3


CALLS = {
    "a tag": '<tool name="echo">{"i": 1, "tag": "a \\"b\\"\\nc"}</tool>',
    "python": 'I look.\n```python\necho(1, tag="a \\"b\\"\\nc")\n```',
    "a function": '{"tool_calls": [{"function": {"name": "echo", "arguments": {"i": 1, "tag": "a \\"b\\"\\nc"}}}]}',
    "python's words": "<tool name='echo'>{'i': 1, 'tag': 'a \"b\"\\nc'}</tool>",
}


@pytest.mark.parametrize("form", CALLS)
async def test_calls_in_words_are_made_too(stack: Stack, client: Client, stub: StubLlm, form: str) -> None:
    says(stub, CALLS[form], "Done.")
    handle = await looped(stack, client, stub)
    result = await handle.result()
    [entry] = [entry for one in segments(stack, result) for entry in one.entries]
    assert entry.arguments.inline == {"i": 1, "tag": 'a "b"\nc'}
    assert '[echo answered]\n{"i": 1' in stub.requests[-1].last
    assert not stub.requests[-1].results


async def test_code_in_an_answer_is_no_call(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, "Use it so:\n```python\necho(1)\n```\nThat is all.")
    handle = await looped(stack, client, stub)
    result = await handle.result()
    assert (result.calls, len(stub.requests)) == (0, 1)


WRONG: dict[str, tuple[Use, str]] = {
    "no JSON": (Use("echo", '{"i": 1'), "no JSON object"),
    "no object": (Use("echo", "[1]"), "no JSON object"),
    "wrong type": (echo("one"), "'one' (string); allowed: integer"),  # type: ignore[arg-type]
    "wrong name": (echo(1, colour="red"), "unknown 'colour'"),
    "unknown skill": (Use("ecco", {"i": 1}), "no skill named 'ecco'; did you mean 'echo'?"),
    "not granted": (Use("boom", {"i": 1}), "'boom' is not granted to this task; it may use: 'echo'"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_call_that_cannot_be_made_goes_back_and_is_recorded(
    stack: Stack, client: Client, stub: StubLlm, what: str
) -> None:
    use, said = WRONG[what]
    says(stub, calling(use, echo(7)), "Done.")
    handle = await looped(stack, client, stub, skills=["echo"])
    result = await handle.result()
    wrong, right = stub.requests[-1].results
    assert said in wrong.text and wrong.text.startswith("Error: ")
    assert json.loads(right.text)["i"] == 7
    assert entries(stack, result) == [(use.name, "failed"), ("echo", "answered")]
    assert len(stack.begins(handle)) == 1


async def test_failed_skill_is_an_error_for_the_model(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, calling(Use("boom", {"i": 3})), "It failed.")
    result = await (await looped(stack, client, stub, model=WIRES["anthropic"])).result()
    [told] = stub.requests[-1].results
    assert (told.is_error, "boom 3" in told.text) == (True, True)
    assert entries(stack, result) == [("boom", "failed")]


async def test_long_answer_is_cut_for_the_model_and_kept_whole(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, calling(Use("big", {"i": 1, "size": 100_000})), "Done.")
    result = await (await looped(stack, client, stub)).result()
    [told] = stub.requests[-1].results
    assert 16 << 10 <= len(told.text) <= 17 << 10
    assert "83616 of 100000 characters are not shown" in told.text
    [entry] = [entry for one in segments(stack, result) for entry in one.entries]
    assert entry.value is not None
    assert entry.value.size_bytes == 100_002


async def test_twenty_turns_pause_and_go_on(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(lambda request: len(request.results) < 25, _one_more)
    stub.rule(".", "At last.")
    handle = await looped(stack, client, stub)
    question = (await until(lambda: _open(handle)))[0]
    assert (question.id, question.options) == ("continue.1", ["continue", "stop"])
    assert "taken 20 turns" in question.text
    assert len(stub.requests) == 20
    await until(lambda: _is(handle, "WAITING"))
    await handle.execute_update("answer", AnswerMessage(question_id="continue.1", value="continue"))
    result = await handle.result()
    assert (stack.value(result), result.calls, len(stub.requests)) == ("At last.", 25, 26)


async def test_stop_ends_a_paused_loop_in_a_clear_error(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(".", _one_more)
    handle = await looped(stack, client, stub, max_steps=2)
    await until(lambda: _open(handle))
    await handle.execute_update("answer", AnswerMessage(question_id="continue.1", value="stop"))
    result, error = await ended(handle)
    assert (result.state, error.type, result.calls) == ("ERROR", "LoopStopped", 2)
    assert "stopped after 2 turns" in error.message


async def test_three_identical_failures_bring_guidance_and_three_refusals_the_end(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule(".", calling(Use("boom", {"i": 1})))
    handle = await looped(stack, client, stub)
    result, error = await ended(handle)
    assert (result.state, error.type, len(stub.requests)) == ("ERROR", "LoopStuck", 6)
    assert sum(stack.begins(handle).values()) == 3
    assert "The same call of boom has failed 3 times" in stub.requests[3].last
    assert "not made" in stub.requests[4].results[-1].text
    assert entries(stack, result) == [("boom", "failed")] * 6


async def test_guidance_is_enough_for_a_model_that_heeds_it(stack: Stack, client: Client, stub: StubLlm) -> None:
    boom = calling(Use("boom", {"i": 1}))
    says(stub, boom, boom, boom, calling(echo(5)), "Five.")
    result = await (await looped(stack, client, stub)).result()
    assert (stack.value(result), result.calls) == ("Five.", 4)


async def test_loop_asks_people_and_waits(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, calling(Use("ask", {"text": "Which?", "options": ["red", "blue"]})), "So be it.")
    handle = await looped(stack, client, stub)
    question = (await until(lambda: _open(handle)))[0]
    assert (question.text, question.options) == ("Which?", ["red", "blue"])
    await until(lambda: _is(handle, "WAITING"))
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="blue"))
    assert stack.value(await handle.result()) == "So be it."
    assert stub.requests[-1].results[0].text == "blue"


async def test_output_schema_makes_the_answer_json(stack: Stack, client: Client, stub: StubLlm) -> None:
    schema = {"type": "object", "required": ["sum"], "properties": {"sum": {"type": "integer"}}}
    says(stub, calling(echo(1)), "It is one", '{"sum": 1}')
    result = await (await looped(stack, client, stub, output_schema=schema)).result()
    assert (stack.value(result), len(stub.requests)) == ({"sum": 1}, 3)
    assert json.dumps(schema) in stub.requests[0].last


async def test_full_history_continues_as_new_and_nothing_is_lost(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(lambda request: len(request.results) < 12, _one_more)
    stub.rule(".", lambda request: str([json.loads(one.text)["i"] for one in request.results]))
    handle = await looped(stack, client, stub, tuning={"bound_events": 40})
    result = await handle.result()
    assert stack.value(result) == str(list(range(12)))
    runs = [len(events) async for events in runs_of(client, handle)]
    assert result.runs == len(runs) > 2
    assert (result.calls, list(stack.begins(handle).values())) == (12, [1] * 12)
    assert [call.detail for one in segments(stack, result) for call in one.llm][-1] == "turn 13: answer"
    assert entries(stack, result) == [("echo", "answered")] * 12


async def test_calls_of_a_loop_wait_for_a_top_up(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(lambda request: len(request.results) < 5, lambda request: calling(echo(len(request.results)), echo(9)))
    stub.rule(".", "Done.")
    fields: dict[str, Any] = {"budget": Budget(calls=3), "is_budgeted": True, "tuning": {"bound_events": 30}}
    handle = await looped(stack, client, stub, **fields)
    question = (await until(lambda: _open(handle)))[0]
    await until(lambda: _is(handle, "WAITING"))
    assert sum(stack.begins(handle).values()) == 3
    message = AnswerMessage(question_id=question.id, value={"add": {"calls": 10}})
    await handle.execute_update("answer", message)
    result = await handle.result()
    assert (stack.value(result), result.calls) == ("Done.", 6)
    assert result.budget is not None
    assert (result.budget.taken.calls, result.budget.limit.calls) == (6, 13)
    assert result.runs > 1


async def test_cancel_ends_what_runs(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, calling(echo(1, ms=30_000), Use("ask", {"text": "Well?"})), "Done.")
    handle = await looped(stack, client, stub)
    await until(lambda: stack.begins(handle))
    await until(lambda: _open(handle))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    told = await progress(handle)
    assert (told.state, [question.state for question in told.questions]) == ("CANCELLED", ["withdrawn"])


async def test_deadline_ends_a_loop(stack: Stack, client: Client, stub: StubLlm) -> None:
    says(stub, calling(Use("sleep", {"seconds": 600})), "Done.")
    handle = await looped(stack, client, stub, limits={"task_seconds": 2.0})
    result, _ = await ended(handle)
    assert result.state == "TIMED_OUT"


def _one_more(request: Request) -> Reply:
    return calling(echo(len(request.results)))


async def _open(handle: Handle) -> list[Any]:
    return [question for question in (await progress(handle)).questions if question.state == "open"]


async def _is(handle: Handle, state: str) -> bool:
    return (await progress(handle)).state == state
