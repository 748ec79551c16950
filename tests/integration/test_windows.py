"""Long talks with models of small windows: no prompt is larger than its model reads, and histories grow no faster."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from temporalio.client import Client

from activities import conversation
from holdfast.blobs import BlobStore
from holdfast.contracts.begin import begin_of
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.session import QUERY_SESSION, SessionRef, SessionSettings, SessionView
from holdfast.contracts.session import Message as Said
from holdfast.ids import new_trace_id
from holdfast.temporal.sessions import send
from tests.support.agents import begin, models, task_spec
from tests.support.stack import Stack, runs_of, until
from tests.support.stub_llm import Reply, Request, StubLlm, calling
from tests.support.stub_wires import Use

pytestmark = pytest.mark.slow

SMALL = 8192
SKILLS = ["echo", "recall"]
HANDLE = re.compile(r'recall\(handle=\\?"([0-9a-f]{64})')


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    one = Stack(tmp_path_factory.mktemp("windows"))
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


def steps(stub: StubLlm, turns: int, characters: int) -> None:
    """So many turns with a call that answers with so many characters each, then the end."""

    def reply(_request: Request) -> Reply:
        number = len(stub.requests)
        return calling(Use("echo", {"i": number, "size": characters})) if number <= turns else "All done."

    stub.rule(".", reply)


async def said(stack: Stack, client: Client, session: SessionRef, text: str, asked: list[ModelSettings]) -> None:
    """One turn of a session, until it is over."""
    spec = task_spec(stack, text, asked, strategy="direct", skills=[])
    task = spec.brief.task
    begins = begin_of(spec, task=task, type=spec.type, catalogue=spec.brief.catalogue)
    await send(client, session, SessionSettings(), Said(begin=begins, say=spec.say, sent_at=time.time()))
    await until(lambda: _is_done(client, session, task.task_id), 60)


async def _is_done(client: Client, session: SessionRef, task_id: str) -> bool:
    view = await client.get_workflow_handle(session.workflow_id).query(QUERY_SESSION, result_type=SessionView)
    return any(turn.task_id == task_id and turn.state == "DONE" for turn in view.recent)


def tokens_of(request: Request) -> int:
    """As many tokenizers count English and JSON: a token for four bytes of all that goes over the wire."""
    return request.size_bytes // 4


@pytest.mark.timeout(180)
async def test_sixty_turns_on_a_window_of_eight_thousand_tokens_never_exceed_it(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    steps(stub, 60, 5000)
    asked = models(stub, context_tokens=SMALL, max_tokens=1024)
    handle = await begin(
        client, task_spec(stack, "Look at 60 pages.", asked, strategy="loop", skills=SKILLS, max_steps=100)
    )
    result = await handle.result()
    assert stack.value(result) == "All done."
    assert len(stub.requests) == 61
    assert max(map(tokens_of, stub.requests)) <= SMALL - 1024
    for number, request in enumerate(stub.requests[1:], 1):
        assert "Look at 60 pages." in request.text
        assert [call.id for call in request.calls] == [one.id for one in request.results]
        assert json.loads(request.results[-1].text)["i"] == number
    assert "left out" in stub.requests[-1].text


@pytest.mark.timeout(180)
async def test_a_session_on_a_small_window_is_summed_up_and_never_exceeds_it(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    def reply(request: Request) -> Reply:
        if "Sum it up" in request.last:
            return f"The person is Alice. Summary {sum('Sum it up' in one.last for one in stub.requests)}."
        return f"Heard {len(stub.requests)}. " + "It is noted, with all that belongs to it. " * 30

    stub.rule(".", reply)
    session = SessionRef(session_id="long", trace_id=new_trace_id())
    for number in range(14):
        text = "I am Alice." if number == 0 else f"Message {number}: " + "the harbour was full of ships. " * 40
        await said(stack, client, session, text, models(stub, context_tokens=4096, max_tokens=512))
    assert max(map(tokens_of, stub.requests)) <= 4096 - 512
    summaries = [request for request in stub.requests if "Sum it up" in request.last]
    assert 2 <= len(summaries) <= 12
    last = stub.requests[-1] if stub.requests[-1] not in summaries else stub.requests[-2]
    assert "The person is Alice." in last.text
    assert "Message 12: " in last.text
    assert "Message 2: " not in last.text


async def test_the_model_reads_the_rest_of_a_cut_result_by_its_handle(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    def reply(request: Request) -> Reply:
        handle = HANDLE.search(json.dumps(request.body["messages"]).replace("\\\\", "\\"))
        if len(stub.requests) <= 8:
            return calling(Use("echo", {"i": len(stub.requests), "size": 5000}))
        if len(stub.requests) == 9:
            assert handle
            return calling(Use("recall", {"handle": handle[1], "offset": 4000, "characters": 3000}))
        return request.results[-1].text

    stub.rule(".", reply)
    asked = models(stub, context_tokens=SMALL, max_tokens=1024)
    handle = await begin(client, task_spec(stack, "Look.", asked, strategy="loop", skills=SKILLS))
    found = json.loads(stack.value(await handle.result()))
    assert set(found["text"][:900]) == {"y"}
    assert (found["total_characters"], found["next_offset"]) == (len(json.dumps({"i": 1, "pad": "y" * 5000})), None)
    assert "recall" not in stub.requests[0].tools
    assert "recall" in stub.requests[8].tools


@pytest.mark.timeout(240)
async def test_a_hundred_turns_behind_a_long_conversation_fit_and_cost_no_more_each(
    stack: Stack, client: Client, stub: StubLlm
) -> None:
    blobs = BlobStore(stack.settings.blobs)
    head, size = None, 0
    for number in range(175):
        text = f"Turn {number}: " + "the shipment left the harbour on time, and arrived. " * 92
        head = conversation.add(blobs, head, [conversation.of("user", text), conversation.of("assistant", "Noted.")])
        size += len(text)
    assert size / 4 > 209_000
    steps(stub, 100, 5000)
    spec = task_spec(stack, "Look at 100 pages.", models(stub), strategy="loop", skills=SKILLS, max_steps=200)
    handle = await begin(client, spec.model_copy(update={"brief": spec.brief.model_copy(update={"before": head})}))
    result = await handle.result()
    assert stack.value(result) == "All done."
    assert max(map(tokens_of, stub.requests)) <= 128_000
    sizes = [event.ByteSize() async for run in runs_of(client, handle) for event in run]
    tenth = len(sizes) // 10
    first, last = sum(sizes[tenth : 2 * tenth]), sum(sizes[-2 * tenth : -tenth])
    assert last <= 1.2 * first
    assert sum(sizes) < 5_000_000
    assert "Turn 174: " in stub.requests[-1].text
    cut = re.search(r"Turn 0: .*\n\[… \d+ of \d+ characters are not shown: recall", stub.requests[0].text)
    assert cut
