"""The step graph at work: what begins when, what a failure does to the others, and how far a history grows."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from holdfast.contracts.flow import AskSpec, FlowSpec, StepRetry, StepRun, StepSpec
from holdfast.contracts.program import ProgramResult
from holdfast.contracts.question import AnswerMessage
from tests.support.flows import Handle, begin, echo, flow, flow_task, noted, program
from tests.support.stack import Stack, progress, runs_of, until

pytestmark = pytest.mark.slow

FAILS = "1 / 0"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    one = Stack(tmp_path_factory.mktemp("steps") / "home")
    try:
        one.start_server()
        one.start_worker().wait_up()
        yield one
    finally:
        one.close()


async def started(stack: Stack, what: FlowSpec, given: Any = None, **fields: Any) -> Handle:
    return await begin(await stack.client(), flow_task(stack, what, given, **fields))


async def ended(handle: Handle) -> ProgramResult:
    """How it ended, well or not."""
    try:
        return await asyncio.wait_for(handle.result(), 60)
    except WorkflowFailureError as exc:
        assert isinstance(exc.cause, ApplicationError), exc.cause
        return ProgramResult.model_validate(exc.cause.details[0])


async def ran(stack: Stack, what: FlowSpec, given: Any = None, **fields: Any) -> ProgramResult:
    return await ended(await started(stack, what, given, **fields))


def by_name(result: ProgramResult) -> dict[str, StepRun]:
    return {run.name: run for run in result.steps}


def states(result: ProgramResult) -> dict[str, str]:
    return {run.name: run.state for run in result.steps}


async def test_names_that_are_words_of_policies_are_names(stack: Stack) -> None:
    result = await ran(stack, flow(echo("fail", 1), echo("continue", 2, depends_on=["fail"])))
    assert states(result) == {"fail": "done", "continue": "done"}


async def test_a_failure_stops_the_others_and_then_what_compensates_it_runs_and_sees_it(stack: Stack) -> None:
    undo = program("undo", "result = inputs", input=["${steps.fails.state}", "${steps.fails.error}"])
    other = echo("other", 2, ms=20_000)
    after = echo("after", 3, depends_on=["fails"])
    fails = program("fails", f"skills.echo(i=1, ms=300)\n{FAILS}", on_failure="compensate:undo")
    result = await ran(stack, flow(other, fails, after, undo))
    assert states(result) == {"other": "cancelled", "fails": "failed", "after": "pending", "undo": "done"}
    runs = by_name(result)
    state, error = stack.value(ProgramResult(state="DONE", value=runs["undo"].output))
    assert state == "failed"
    assert "division by zero" in error
    assert runs["other"].ended_at is not None and runs["undo"].started_at is not None
    assert runs["other"].ended_at <= runs["undo"].started_at
    assert result.error is not None and result.error.details["step"] == "fails"


async def test_no_step_begins_while_a_failure_is_compensated(stack: Stack) -> None:
    """The other step ends while what compensates runs: that must not let go on what depends on both."""
    steps = [
        program("fails", FAILS, on_failure="compensate:undo"),
        echo("other", 1, ms=300),
        echo("after", 2, depends_on=["fails"]),
        echo("third", 3, depends_on=["other"]),
        echo("undo", 4, ms=900),
    ]
    handle = await started(stack, flow(*steps))
    result = await ended(handle)
    assert states(result)["undo"] == "done"
    assert not {"after", "third"} & set(noted(stack, handle, "begin"))


async def test_a_compensation_that_fails_too_is_told(stack: Stack) -> None:
    steps = [program("fails", FAILS, on_failure="compensate:undo"), program("undo", "[][1]")]
    result = await ran(stack, flow(*steps))
    assert states(result) == {"fails": "failed", "undo": "failed"}
    assert result.error is not None
    assert "division by zero" in result.error.message
    assert "'undo', which compensates it, too" in result.error.message


async def test_what_compensates_is_left_out_when_all_goes_well(stack: Stack) -> None:
    steps = [echo("a", 1, on_failure="compensate:undo"), echo("undo", 2)]
    result = await ran(stack, flow(*steps))
    assert result.state == "DONE"
    assert states(result) == {"a": "done", "undo": "skipped"}


async def test_every_try_of_a_step_counts(stack: Stack) -> None:
    retry = StepRetry(max_retries=2, delay_seconds=0)
    step = program("fails", f"skills.echo(i=1)\n{FAILS}", retry=retry, on_failure="continue")
    handle = await started(stack, flow(step))
    result = await ended(handle)
    run = by_name(result)["fails"]
    assert (run.state, run.attempt, run.child, run.calls) == ("failed", 3, "fails.a3", 3)
    assert noted(stack, handle, "begin") == ["fails", "fails.a2", "fails.a3"]


async def test_what_cannot_be_started_is_not_tried_again(stack: Stack) -> None:
    retry = StepRetry(max_retries=5, delay_seconds=60)
    unknown = StepSpec(name="a", kind="skill", who="ecko", input={}, retry=retry)
    result = await ran(stack, flow(unknown))
    assert result.error is not None
    assert "step 'a' (skill ecko) failed" in result.error.message
    assert "did you mean 'echo'" in result.error.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"condition": "input.nobody > 1"}, "condition"),
        ({"input": {"i": "${input.nobody}"}}, "${input.nobody}"),
        ({"input": {"i": "no number"}}, "i"),
    ],
)
async def test_a_step_that_cannot_be_made_ready_says_why(stack: Stack, change: dict[str, Any], said: str) -> None:
    result = await ran(stack, flow(echo("a", 1).model_copy(update=change)), {"n": 1})
    assert result.state == "ERROR" and result.error is not None
    assert result.error.message.startswith("step 'a' (skill echo) failed:")
    assert said in result.error.message


async def test_no_more_steps_run_at_once_than_may(stack: Stack) -> None:
    steps = [echo(f"s{number}", number) for number in range(5)]
    result = await ran(stack, flow(*steps, coordination="parallel", max_parallel=2))
    turns = [turn for run in result.steps for turn in ((run.started_at or 0, 1), (run.ended_at or 0, -1))]
    at_once = list(itertools.accumulate(change for _, change in sorted(turns)))
    assert max(at_once) == 2, turns


@pytest.mark.parametrize("bound", [1, 60])
async def test_a_long_flow_goes_on_in_new_runs_with_the_same_result(stack: Stack, bound: int) -> None:
    steps = [echo("s0", 0), *(echo(f"s{n}", f"${{steps.s{n - 1}.output.i}}") for n in range(1, 8))]
    client = await stack.client()
    handle = await begin(
        client, flow_task(stack, flow(*steps, coordination="sequential"), tuning={"bound_events": bound})
    )
    result = await ended(handle)
    assert stack.value(result)["final_output"]["i"] == 0
    assert noted(stack, handle, "begin") == [step.name for step in steps]
    sizes = [len(events) async for events in runs_of(client, handle)]
    assert len(sizes) == (8 if bound == 1 else result.runs) and len(sizes) > 1, sizes
    assert max(sizes) < bound + 60, sizes


async def test_a_question_of_a_step_is_withdrawn_when_another_fails(stack: Stack) -> None:
    asks = StepSpec(name="asks", kind="ask", ask=AskSpec(text="now?"))
    fails = program("fails", f"skills.echo(i=1, ms=400)\n{FAILS}")
    handle = await started(stack, flow(asks, fails))
    await ended(handle)
    [question] = (await progress(handle)).questions
    assert question.state == "withdrawn"


async def test_a_question_nobody_answers_has_its_default(stack: Stack) -> None:
    ask = AskSpec(text="which?", default="blue", deadline_seconds=0.2, on_timeout="default")
    steps = [
        StepSpec(name="asks", kind="ask", ask=ask),
        program("use", "result = inputs", input="${steps.asks.output}", depends_on=["asks"]),
    ]
    result = await ran(stack, flow(*steps))
    assert stack.value(result)["step_outputs"] == {"asks": "blue", "use": "blue"}
    late = StepSpec(name="asks", kind="ask", ask=ask.model_copy(update={"on_timeout": "fail"}))
    result = await ran(stack, flow(late))
    assert result.error is not None and "no answer to 'which?': expired" in result.error.message


async def test_what_a_step_asks_is_asked_of_the_flow_and_answered_there(stack: Stack) -> None:
    handle = await started(stack, flow(program("which", "result = skills.ask(text='red?')"), coordination="sequential"))

    async def waits() -> Any:
        seen = await progress(handle)
        return seen.state == "WAITING" and seen.questions

    [question] = await until(waits)
    assert (question.text, question.id.partition(":")[0]) == ("red?", "which")
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="yes"))
    assert stack.value(await ended(handle))["final_output"] == "yes"


async def test_what_cancelled_steps_did_counts(stack: Stack) -> None:
    long = program("long", "skills.echo(i=1)\nskills.echo(i=2)\nskills.echo(i=3, ms=20000)")
    fails = program("fails", f"skills.echo(i=1, ms=1500)\n{FAILS}")
    run = by_name(await ran(stack, flow(long, fails)))["long"]
    assert run.state == "cancelled"
    assert run.calls >= 2


async def test_a_cancelled_flow_leaves_nothing_running(stack: Stack) -> None:
    client = await stack.client()
    handle = await started(stack, flow(echo("a", 1, ms=20_000), program("b", "skills.ask(text='?')")))
    await until(lambda: noted(stack, handle, "begin"))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(handle.result(), 30)
    for part in ("a", "b"):
        described = await client.get_workflow_handle(f"{handle.id}/{part}").describe()
        assert described.status is not None and described.status.name in ("CANCELED", "COMPLETED"), part


@pytest.mark.parametrize("seed", range(3))
async def test_a_step_begins_when_all_that_it_depends_on_is_over(stack: Stack, seed: int) -> None:
    """Graphs of chance."""
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(9)]
    arrows = {name: chance.sample(names[:at], chance.randint(0, min(at, 3))) for at, name in enumerate(names)}
    steps = [echo(name, 1, ms=chance.randint(0, 120), depends_on=arrows[name]) for name in names]
    handle = await started(stack, flow(*chance.sample(steps, len(steps)), max_parallel=chance.choice([2, 20])))
    result = await ended(handle)
    assert set(states(result).values()) == {"done"}
    task = handle.id.partition("/")[2]
    at = {(what, of.rpartition("/")[2]): when for what, of, _, _, when in stack.effects() if of.startswith(task)}
    for name, before in arrows.items():
        assert all(at["end", one] <= at["begin", name] for one in before), (seed, name)
    assert set(Counter(noted(stack, handle, "begin")).values()) == {1}
