"""Models that are busy, down or refuse: waited for as they say, within the task's deadline, and never asked in vain."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from temporalio.client import Client

from holdfast.contracts.model import ModelSettings
from tests.integration.test_agent_tasks import KEY, ended, stack, stub
from tests.support.agents import begin, models, task_spec
from tests.support.authors import plans
from tests.support.stack import Stack, until
from tests.support.stub_llm import Fault, StubLlm

__all__ = ["stack", "stub"]


def gaps(stub: StubLlm) -> list[float]:
    return [after.at - before.at for before, after in itertools.pairwise(stub.requests)]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_busy_model_is_waited_for_as_long_as_it_says(
    stack: Stack, client: Client, stub: StubLlm, form: str
) -> None:
    wait = "3" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=5), usegmt=True)
    stub.rule(".", times=1, fault=Fault(status=429, headers={"retry-after": wait}))
    stub.rule(".", "Paris")
    spec = task_spec(stack, "capital?", models(stub), strategy="direct", max_retries=0)
    result = await (await begin(client, spec)).result()
    assert stack.value(result) == "Paris"
    [gap] = gaps(stub)
    assert 2.5 <= gap <= 9


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 529])
async def test_waiting_for_a_busy_model_is_no_failure(stack: Stack, client: Client, stub: StubLlm, status: int) -> None:
    stub.rule(".", times=4, fault=Fault(status=status))
    stub.rule(".", "Paris")
    spec = task_spec(stack, "capital?", models(stub, "anthropic"), strategy="direct", max_retries=0)
    assert stack.value(await (await begin(client, spec)).result()) == "Paris"
    assert len(stub.requests) == 5


async def test_a_wait_beyond_the_deadline_ends_the_task_and_says_so(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    stub.rule(".", fault=Fault(status=429, headers={"retry-after": "36000"}))
    began = time.monotonic()
    spec = task_spec(stack, "capital?", models(stub), strategy="direct", limits={"task_seconds": 6.0})
    result = await ended(await begin(client, spec))
    assert time.monotonic() - began < 15
    assert len(stub.requests) == 1
    assert result.error is not None
    assert result.state == "TIMED_OUT" or "429" in result.error.message


async def test_a_wait_stands_in_the_pending_activity(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(".", fault=Fault(status=429, headers={"retry-after": "36000"}))
    handle = await begin(client, task_spec(stack, "capital?", models(stub), strategy="direct"))

    async def due() -> timedelta | None:
        pending = (await handle.describe()).raw_description.pending_activities
        told = [one for one in pending if "429" in one.last_failure.message]
        return told[0].next_attempt_schedule_time.ToDatetime(UTC) - datetime.now(UTC) if told else None

    async def is_far() -> bool:
        found = await due()
        return found is not None and timedelta(hours=9) < found < timedelta(hours=10, minutes=1)

    await until(is_far)
    await handle.cancel()


async def test_an_outage_is_waited_out(stack: Stack, client: Client, stub: StubLlm) -> None:
    plans(stub, "result = skills.echo(i=1)['i']")
    asked = models(stub)
    stub.stop()
    handle = await begin(client, task_spec(stack, "one", asked, max_retries=0))
    await asyncio.sleep(4)
    stub.start()
    assert stack.value(await handle.result()) == 1
    assert len(stub.requests) == 2


async def test_a_failing_model_is_tried_as_often_as_the_agent_says(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(".", fault=Fault(status=500))
    result = await ended(await begin(client, task_spec(stack, "?", models(stub), strategy="direct", max_retries=2)))
    assert result.error is not None and result.error.type == "ModelFailed"
    assert len(stub.requests) == 3


async def test_a_wrong_key_is_tried_once_and_the_variable_is_named(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(".", fault=Fault(status=401))
    spec = task_spec(stack, "?", models(stub, "anthropic"), strategy="direct")
    result = await ended(await begin(client, spec))
    assert result.error is not None
    assert "ANTHROPIC_API_KEY" in result.error.message
    assert len(stub.requests) == 1


async def test_a_missing_key_is_named_and_nothing_is_asked(stack: Stack, client: Client, stub: StubLlm) -> None:
    spec = task_spec(stack, "?", [ModelSettings(provider="openai", model="gpt-4")], strategy="direct")
    result = await ended(await begin(client, spec))
    assert result.error is not None and result.error.type == "NoModel"
    assert "OPENAI_API_KEY" in result.error.message


async def test_the_next_model_is_asked_when_one_is_down(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(lambda request: request.wire == "openai", fault=Fault(status=500))
    stub.rule(".", "Paris")
    both = [*models(stub), *models(stub, "anthropic")]
    result = await (await begin(client, task_spec(stack, "?", both, strategy="direct", max_retries=0))).result()
    assert stack.value(result) == "Paris"
    assert result.spent.model == "anthropic:stub"


async def test_a_model_that_declines_ends_the_task(stack: Stack, client: Client, stub: StubLlm) -> None:
    stub.rule(".", "I will not.", fault=Fault(refusal=True))
    result = await ended(await begin(client, task_spec(stack, "?", models(stub), strategy="direct")))
    assert result.error is not None and result.error.type == "ModelDeclined"


async def test_no_key_stands_in_history_log_or_blob(stack: Stack, client: Client, stub: StubLlm) -> None:
    plans(stub, "result = skills.echo(i=1)['i']")
    handle = await begin(client, task_spec(stack, "one", models(stub, "anthropic")))
    await handle.result()
    sent = [value for request in stub.requests for value in request.headers.values()]
    assert any(KEY in value for value in sent)
    texts = [(await client.get_workflow_handle(one).fetch_history()).to_json().encode() for one in _ids(handle.id)]
    texts += [path.read_bytes() for path in stack.home.rglob("*") if path.is_file() and path.suffix != ".db-shm"]
    assert not any(KEY.encode() in text for text in texts)


def _ids(task: str) -> Iterator[str]:
    yield from (task, f"{task}/program")
