"""What programs of a conversation hand on: saved once, found by the next, and the same however often a box is lost."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from holdfast.blobs import BlobStore
from holdfast.contracts.base import Value
from holdfast.contracts.program import FINAL, ProgramResult
from holdfast.contracts.question import AnswerMessage
from tests.support.agents import begin, models, task_spec
from tests.support.api import Api
from tests.support.authors import FUSED, PROGRAM, fenced, plans, says
from tests.support.stack import Stack, progress, until
from tests.support.stub_llm import StubLlm

EMPTY = Value(inline={})
TOLD = "`session` is a dict of what programs of earlier turns saved"


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm() as one:
        yield one


def saved(stack: Stack, result: ProgramResult) -> Any:
    assert result.variables is not None
    if result.variables.ref is None:
        return result.variables.inline
    return BlobStore(stack.settings.blobs).get_json(result.variables.ref)


def ended(api: Api, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 40
    while True:
        task: dict[str, Any] = api.get(f"/tasks/{task_id}")
        if task["state"] in FINAL:
            return task
        assert time.monotonic() < deadline, task
        time.sleep(0.05)


async def test_a_program_saves_and_the_next_one_finds_it(stack: Stack, client: Client) -> None:
    first = await stack.run(client, "session['seen'] = [1, 2]; session['big'] = 'x' * 5000", variables=EMPTY)
    assert first.variables is not None and first.variables.ref is not None
    source = "session['seen'].append(3); del session['big']; result = len(session)"
    second = await stack.run(client, source, variables=first.variables)
    third = await stack.run(client, "result = session", variables=second.variables)
    assert (stack.value(second), saved(stack, second)) == (1, {"seen": [1, 2, 3]})
    assert (stack.value(third), third.variables) == ({"seen": [1, 2, 3]}, None)


async def test_outside_a_session_nothing_is_saved_and_the_history_says_nothing_of_it(
    stack: Stack, client: Client
) -> None:
    handle = await stack.start(client, "session['n'] = skills.echo(i=1)['i']; result = session")
    result = await handle.result()
    assert (stack.value(result), result.variables) == ({"n": 1}, None)
    events = json.loads((await handle.fetch_history()).to_json())["events"]
    began, *rest = events
    assert "workflowExecutionStartedEventAttributes" in began
    assert "variables" not in json.dumps(rest)


@pytest.mark.slow
async def test_a_killed_box_finds_what_the_first_one_found_and_repeats_no_call(stack: Stack, client: Client) -> None:
    source = (
        "session['n'] = session['n'] + skills.echo(i=1)['i']\n"
        "skills.echo(i=2, ms=1500)\n"
        "session['n'] = session['n'] + skills.echo(i=3)['i']"
    )
    handle = await stack.start(client, source, variables=Value(inline={"n": 10}))
    await until(lambda: len(stack.begins(handle)) == 2)
    boxes = stack.boxes()
    assert boxes
    for box in boxes:
        os.kill(box, signal.SIGKILL)
    result = await handle.result()
    assert saved(stack, result) == {"n": 14}
    assert set(stack.begins(handle).values()) == {1} and len(stack.begins(handle)) == 3


@pytest.mark.slow
async def test_suspension_and_continue_as_new_rebuild_it_from_where_it_began(stack: Stack, client: Client) -> None:
    source = (
        "for i in range(20):\n    session['n'] = session.get('n', 0) + skills.echo(i=1, tag=str(i))['i']\n"
        "session['who'] = skills.ask(text='who?')"
    )
    handle = await stack.start(client, source, variables=EMPTY, tuning={"bound_events": 60})

    async def asks() -> Any:
        seen = await progress(handle)
        return seen.questions if seen.state == "WAITING" and not seen.box else None

    [question] = await until(asks)
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="Ada"))
    result = await handle.result()
    assert result.runs > 1
    assert saved(stack, result) == {"n": 20, "who": "Ada"}
    assert set(stack.begins(handle).values()) == {1}


async def test_what_cannot_be_kept_fails_the_program_and_says_what_is_allowed(stack: Stack, client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await stack.run(client, "session['rows'] = ['x' * 100] * 3000", variables=EMPTY)
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError) and cause.type == "SessionTooLarge"
    assert "the limit is 262144; the largest is session['rows']" in cause.message


@pytest.mark.slow
async def test_a_mended_program_begins_with_what_the_first_one_found(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    plans(stub, "session['n'] += 1\nsession['tags'] = {1}", "session['n'] += 1\nresult = session['n']")
    spec = task_spec(stack, "count", models(stub), skills=["echo"], variables=Value(inline={"n": 1}))
    result = await (await begin(client, spec)).result()
    assert (result.version, stack.value(result), saved(stack, result)) == (2, 2, {"n": 2})
    assert "session['tags'] is not JSON" in stub.requests[-1].last


@pytest.mark.parametrize("planning", ["split", "fused"])
async def test_a_model_is_told_of_it_in_a_session_only(
    stack: Stack, client: Client, stub: StubLlm, planning: str
) -> None:
    plans(stub, "result = 1")
    says(stub, FUSED, fenced("result = 1"))
    told = []
    for variables in (None, EMPTY):
        spec = task_spec(stack, "one", models(stub), skills=["echo"], planning=planning, variables=variables)
        if variables is not None:
            spec = spec.model_copy(update={"brief": spec.brief.model_copy(update={"variables": ["n", "rows"]})})
        await (await begin(client, spec)).result()
        told.append(next(one.text for one in reversed(stub.requests) if PROGRAM in one.text or FUSED in one.text))
    assert [TOLD in text for text in told] == [False, True]
    assert ["what earlier turns saved in the dict `session`: n, rows." in text for text in told] == [False, True]
    assert "holds the task's input.\n" in told[0]


@pytest.mark.slow
def test_turns_of_a_conversation_find_what_those_before_saved(stack: Stack) -> None:
    api = Api(stack.home, stack.project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    try:
        talk = f"talk-{uuid4()}"
        programs = [
            "session['n'] = 1; session['rows'] = ['x' * 100] * 20",
            "session['n'] = 99\n1 / 0",
            "session['n'] += 1; result = [session['n'], len(session['rows'])]",
            "session.clear()",
            "result = session",
        ]
        tasks = [api.submit(program, session_id=talk)["id"] for program in programs]
        ends = [ended(api, task) for task in tasks]
        assert [end["state"] for end in ends] == ["DONE", "ERROR", "DONE", "DONE", "DONE"]
        assert (ends[2]["output"], ends[4]["output"]) == ([2, 20], {})
        other = ended(api, api.submit("result = session", session_id=f"talk-{uuid4()}")["id"])
        assert other["output"] == {}
    finally:
        api.close()
