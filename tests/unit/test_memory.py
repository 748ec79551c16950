"""What a session remembers: turns in its transcript, what a model is sent of them, and older ones summed up."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities import conversation, memory, notes
from activities.asking import Asked, Asker
from activities.context import told_names
from activities.conversation import Conversation
from activities.dialogue import Dialogue, Turn
from activities.memory import Summing, noted
from activities.turns import _Turn
from activities.wording import system_text
from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, load
from holdfast.contracts.base import Failure, Value
from holdfast.contracts.llm import Brief, TurnRequest
from holdfast.contracts.message import CallPart, Message, Part, ResultPart, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.principal import Principal, TaskRef
from holdfast.contracts.session import Noted, NoteRequest, Summary, SummaryRequest
from holdfast.errors import ModelUnavailable, NoModel, TooLarge
from holdfast.windows import estimate, tokens
from providers.base import Known, ModelReply, ModelRequest
from providers.table import Models
from tests.support.stub_llm import Fault, StubLlm

HANDLE = re.compile(r'recall\(handle="([0-9a-f]{64})"')
LONG = "".join(f"row {number}: value {number * 7}\n" for number in range(400))


class Direct(Asker):
    """Asks without an activity around it."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.asked: list[ModelRequest] = []

    async def ask(self, asked: Asked, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        return await self._models.complete(asked.models, request)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm() as one:
        yield one


def ref(number: int = 1, tenant: str = "acme") -> TaskRef:
    return TaskRef(task_id=f"task-{number}", principal=Principal(tenant=tenant), trace_id="0" * 32)


def model(stub: StubLlm, **fields: Any) -> ModelSettings:
    return ModelSettings(**{"provider": "openai-compatible", "model": "stub", "api_base": f"{stub.url}/v1", **fields})


def brief(blobs: BlobStore, *models: ModelSettings, **fields: Any) -> Brief:
    return Brief(task=ref(), models=list(models), **{"catalogue": "0" * 64, **fields})


def note(blobs: BlobStore, head: str | None, said: str, answer: Any = "Yes.", number: int = 1, **fields: Any) -> Noted:
    told: dict[str, Any] = {"state": "DONE", "value": Value(inline=answer)} | fields
    request = NoteRequest(task=ref(number), head=head, say=[TextPart(text=said)], **told)
    return asyncio.run(noted(blobs, request))


def talked(blobs: BlobStore, turns: int, answer: str = "Noted.") -> str:
    head: str | None = None
    for number in range(turns):
        head = note(blobs, head, f"Fact {number} is {number * 11}.", answer, number).head
    assert head
    return head


def a_loop(blobs: BlobStore, task: str, result: str, answer: str | None = "Done.", **arguments: Any) -> str:
    """The own conversation of a task of strategy loop, as `llm.turn` leaves it."""
    call = CallPart(id="call_1", skill="read_file", arguments=arguments)
    head = conversation.add(
        blobs, None, [conversation.of("user", "PROMPT", TextPart(text=task)), assistant(call)], task
    )
    if answer is None:
        return head
    given = Message(role="user", parts=[ResultPart(id="call_1", skill="read_file", text=result)])
    return conversation.add(blobs, head, [given, conversation.of("assistant", answer)])


def assistant(*parts: Part) -> Message:
    return Message(role="assistant", parts=list(parts))


def texts(blobs: BlobStore, head: str) -> list[tuple[str, str]]:
    return [(one.role, conversation.text(one.parts)) for one in conversation.read(blobs, head).messages]


# the transcript


def test_a_turn_is_what_the_person_and_the_model_said(blobs: BlobStore) -> None:
    first = note(blobs, None, "My name is Alice.", "Hello Alice.")
    second = note(blobs, first.head, "What is my name?", {"name": "Alice"}, 2)
    assert texts(blobs, second.head) == [
        ("user", "My name is Alice."),
        ("assistant", "Hello Alice."),
        ("user", "What is my name?"),
        ("assistant", '{"name": "Alice"}'),
    ]
    assert conversation.read(blobs, second.head).said == ["My name is Alice.", "What is my name?"]
    assert (second.answer, second.is_full) == ('{"name": "Alice"}', False)
    assert second.tokens == sum(map(tokens, conversation.read(blobs, second.head).messages))


def test_the_same_turn_at_the_same_head_has_the_same_new_head(blobs: BlobStore) -> None:
    assert note(blobs, None, "Hello") == note(blobs, None, "Hello")


def test_a_loops_calls_and_results_are_remembered_and_its_prompt_is_not(blobs: BlobStore) -> None:
    found = note(blobs, None, "Read it.", "Done.", talk=a_loop(blobs, "Read it.", "42", path="a.txt"))
    messages = conversation.read(blobs, found.head).messages
    (call,), (result,) = messages[1].parts, messages[2].parts
    assert isinstance(call, CallPart)
    assert isinstance(result, ResultPart)
    assert (call.arguments, result.text, call.id) == ({"path": "a.txt"}, "42", result.id)
    assert [one.role for one in messages] == ["user", "assistant", "user", "assistant"]
    assert "PROMPT" not in str(messages)


def test_calls_of_two_turns_never_share_an_id(blobs: BlobStore) -> None:
    first = note(blobs, None, "a", talk=a_loop(blobs, "a", "1"))
    second = note(blobs, first.head, "b", number=2, talk=a_loop(blobs, "b", "2"))
    parts = [part for one in conversation.read(blobs, second.head).messages for part in one.parts]
    ids = [part.id for part in parts if isinstance(part, CallPart)]
    assert len(set(ids)) == len(ids) == 2


def test_a_long_result_is_kept_whole_behind_a_handle(blobs: BlobStore) -> None:
    found = note(blobs, None, "Read it.", talk=a_loop(blobs, "Read it.", LONG, content=LONG))
    shown = json.dumps([one.model_dump() for one in conversation.read(blobs, found.head).messages], ensure_ascii=False)
    handles = set(HANDLE.findall(shown.replace('\\"', '"')))
    assert {notes.read(blobs, "acme", handle) for handle in handles} == {LONG}
    assert len(shown) < 6000


def test_a_long_answer_is_cut_and_shown_to_people_by_its_beginning(blobs: BlobStore) -> None:
    found = note(blobs, None, "All of it.", LONG)
    (_, (_, said)) = texts(blobs, found.head)
    (handle,) = HANDLE.findall(said)
    assert notes.read(blobs, "acme", handle) == LONG
    assert found.answer == LONG[:2000]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"state": "ERROR", "error": Failure(type="SkillFailed", message="no such file")}, "no such file"),
        ({"state": "CANCELLED"}, "cancelled"),
        ({"state": "TIMED_OUT", "error": Failure(type="TaskTimeout", message="60 s")}, "TIMED_OUT"),
    ],
)
def test_a_turn_without_an_answer_says_why(blobs: BlobStore, fields: dict[str, Any], says: str) -> None:
    found = note(blobs, None, "Try.", value=None, **fields)
    (_, (role, said)) = texts(blobs, found.head)
    assert (role, found.answer) == ("assistant", "")
    assert says in said


def test_a_call_that_nobody_answered_is_left_out_of_a_turn_that_failed(blobs: BlobStore) -> None:
    open_call = a_loop(blobs, "Read it.", "", answer=None)
    found = note(blobs, None, "Read it.", talk=open_call, value=None, state="CANCELLED")
    parts = [part for one in conversation.read(blobs, found.head).messages for part in one.parts]
    assert not [part for part in parts if isinstance(part, CallPart)]


def test_a_conversation_is_full_above_six_tenths_of_the_smallest_window(blobs: BlobStore) -> None:
    small, large = ModelSettings(context_tokens=2000), ModelSettings(context_tokens=100_000)
    text = "word " * 900
    assert note(blobs, None, text, models=[large, small]).is_full is False
    assert note(blobs, None, text * 2, models=[large, small]).is_full is True
    assert note(blobs, None, text * 2, models=[large]).is_full is False


def test_a_model_that_is_left_open_has_the_window_of_the_default() -> None:
    local = ModelSettings(provider="ollama", model="llama3.1")
    assert memory.window([], local) == memory.window([ModelSettings()], local) == 8192
    assert memory.window([ModelSettings(provider="anthropic", model="claude-sonnet-4-5")], local) == 200_000


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read from the disk from now on, with nothing at hand."""
    read: list[str] = []
    get = BlobStore.get

    def seen(blobs: BlobStore, name: str) -> bytes:
        read.append(name)
        return get(blobs, name)

    monkeypatch.setattr(BlobStore, "get", seen)
    monkeypatch.setattr(conversation, "_links", conversation._Links(conversation.CACHED_BYTES))
    return read


def test_noting_reads_the_newest_turn_only(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    head = talked(blobs, 40)
    read = reads(monkeypatch)
    note(blobs, head, "One more.")
    assert read == [head]


def test_a_long_conversation_is_read_from_the_disk_once(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    head = talked(blobs, 300)
    read = reads(monkeypatch)
    for number in range(5):
        head = note(blobs, head, f"more {number}").head
        assert len(conversation.read(blobs, head).said) == 301 + number
    assert len(read) == 305


def test_what_is_held_of_conversations_is_bounded_by_bytes(blobs: BlobStore) -> None:
    links = conversation._Links(10_000)
    refs = [conversation.add(blobs, None, [conversation.of("user", str(number) * 3000)]) for number in range(8)]
    for one in refs:
        links.turn(blobs, one)
    assert len(links._turns) == 3


# what a model is sent


async def sent(blobs: BlobStore, stub: StubLlm, about: Brief, words: str = "What is fact 3?") -> ModelReply:
    models = Models({}, ModelSettings())
    try:
        turn = Turn(blobs, None, "", [TextPart(text=words)])
        return await Dialogue(Direct(models), blobs).ask(about, "answer", turn, Known())
    finally:
        await models.close()


async def test_a_model_is_sent_the_sessions_conversation_before_the_task(blobs: BlobStore, stub: StubLlm) -> None:
    head = (await noted(blobs, NoteRequest(task=ref(), say=[TextPart(text="My name is Alice.")], state="DONE"))).head
    await sent(blobs, stub, brief(blobs, model(stub), before=head), "What is my name?")
    (request,) = stub.requests
    assert [text for _, text in request.messages] == ["My name is Alice.", "null", "What is my name?"]
    assert "newest turn of a conversation" in request.system


async def test_without_a_session_nothing_is_added(blobs: BlobStore, stub: StubLlm) -> None:
    about = brief(blobs, model(stub), skills=["recall", "calculator"])
    await sent(blobs, stub, about)
    (request,) = stub.requests
    assert request.messages == [("user", "What is fact 3?")]
    assert request.system == system_text(blobs, brief(blobs)) == system_text(blobs, about)
    assert told_names(about.skills, about) == ["calculator"]


async def test_each_model_of_a_list_gets_what_fits_into_its_own_window(blobs: BlobStore, stub: StubLlm) -> None:
    head = await asyncio.to_thread(talked, blobs, 120, "Noted. " * 20)
    small = model(stub, model="small", context_tokens=2048)
    wide = model(stub, model="wide", context_tokens=100_000)
    about = brief(blobs, wide, small, before=head)
    stub.rule(lambda request: request.model == "wide", fault=Fault(status=500))
    await sent(blobs, stub, about)
    first, second = stub.requests
    assert (first.model, second.model) == ("wide", "small")
    assert "Fact 0 is 0." in first.text
    assert "left out" not in first.text
    assert "Fact 0 is 0." not in second.text
    assert "earlier messages are left out" in second.text
    assert second.last == "What is fact 3?"
    assert second.size_bytes / 4 < 2048 * 3 / 4


async def test_a_project_says_what_its_local_server_was_started_with(blobs: BlobStore) -> None:
    known = Models({}, ModelSettings(provider="ollama"), {"ollama": {"context_tokens": 32_768}})
    assert memory.window([], known.default()) == 32_768
    assert Models({}, ModelSettings(provider="vllm", model="m")).default().context_tokens is None


async def test_a_reply_leaves_half_of_the_window_to_what_is_said(blobs: BlobStore, stub: StubLlm) -> None:
    await sent(blobs, stub, brief(blobs, model(stub, context_tokens=4096, max_tokens=4096)))
    assert stub.requests[0].body["max_tokens"] == 2048


async def test_a_window_without_room_says_what_takes_it(blobs: BlobStore, stub: StubLlm) -> None:
    system = blobs.put(("rule " * 2000).encode())
    with pytest.raises(NoModel, match=r"window of 2048 tokens.*set llm_config\.context_tokens"):
        await sent(blobs, stub, brief(blobs, model(stub, context_tokens=2048), system=system))
    assert stub.requests == []


# what may not be cut


async def whole(blobs: BlobStore, words: str, *asked: ModelSettings, system: str = "") -> ModelReply:
    """The reply to what the code of a skill asks."""
    models = Models({}, ModelSettings())
    try:
        about = Asked(ref(), "skill:x", asked, 0)
        return await Dialogue(Direct(models), blobs).one(
            about, "ask", [conversation.of("user", words)], Known(), system
        )
    finally:
        await models.close()


async def test_a_prompt_without_room_is_refused_before_it_is_sent(blobs: BlobStore, stub: StubLlm) -> None:
    small = model(stub, context_tokens=8192, max_tokens=1024)
    with pytest.raises(TooLarge) as caught:
        await whole(blobs, "row 1234567\n" * 40_000, small)
    assert re.search(
        r"model 'stub' has about 360132 tokens; 7168 fit \(a window of 8192, less 1024 for the reply\), so it was not "
        r"asked\. Split the text, ask about each part",
        str(caught.value),
    )
    assert caught.value.details == {"tokens": 360_132, "fitting_tokens": 7168}
    assert not caught.value.retryable
    assert stub.requests == []


async def test_the_last_token_that_fits_is_sent_and_the_next_is_refused(blobs: BlobStore, stub: StubLlm) -> None:
    """A digit is a token; 132 stand around a text, and a system text of 100."""
    small = model(stub, context_tokens=2048, max_tokens=500)
    await whole(blobs, "1" * (1548 - 232), small, system="2" * 100)
    with pytest.raises(TooLarge, match="about 1549 tokens; 1548 fit"):
        await whole(blobs, "1" * (1548 - 231), small, system="2" * 100)
    (request,) = stub.requests
    assert request.last == "1" * (1548 - 232)


async def test_a_model_of_the_list_with_more_room_is_asked_instead(blobs: BlobStore, stub: StubLlm) -> None:
    small, wide = (model(stub, model=str(size), context_tokens=size) for size in (8192, 100_000))
    await whole(blobs, "1" * 50_000, small, wide)
    (request,) = stub.requests
    assert (request.model, len(request.last)) == ("100000", 50_000)


async def test_of_models_without_room_the_one_that_reads_most_says_how_much(blobs: BlobStore, stub: StubLlm) -> None:
    sizes = [model(stub, model=f"m{size}", context_tokens=size, max_tokens=100) for size in (2048, 8192, 4096)]
    with pytest.raises(TooLarge, match=r"'m2048'.*1948 fit.*'m8192'.*8092 fit.*'m4096'.*3996 fit") as caught:
        await whole(blobs, "1" * 50_000, *sizes)
    assert caught.value.details == {"tokens": 50_132, "fitting_tokens": 8092}
    assert stub.requests == []


async def test_a_model_with_room_that_is_down_is_waited_for(blobs: BlobStore, stub: StubLlm) -> None:
    down = model(stub, api_base="http://127.0.0.1:9/v1", context_tokens=100_000)
    with pytest.raises(ModelUnavailable, match="about 50132 tokens"):
        await whole(blobs, "1" * 50_000, model(stub, context_tokens=8192), down)


async def test_a_model_that_refuses_does_not_hide_that_a_shorter_prompt_would_do(
    blobs: BlobStore, stub: StubLlm
) -> None:
    stub.rule(".", fault=Fault(status=401))
    with pytest.raises(TooLarge, match="refused the key"):
        await whole(blobs, "1" * 50_000, model(stub, context_tokens=8192), model(stub, context_tokens=100_000))


def test_the_bound_of_a_budget_is_that_of_the_fitted_request(blobs: BlobStore, stub: StubLlm) -> None:
    head = talked(blobs, 300, "Noted. " * 40)
    small = model(stub, context_tokens=8192, max_tokens=1000)

    async def measured() -> int:
        models = Models({}, ModelSettings())
        asker = Direct(models)
        await Dialogue(asker, blobs).ask(
            brief(blobs, small, before=head), "answer", Turn(blobs, None, "", [TextPart(text="?")]), Known()
        )
        (bound,) = models.bounds([small], asker.asked[0])
        await models.close()
        return bound.tokens

    bound = asyncio.run(measured())
    # A byte counts as a token in a bound, so it is above the window: but not by what was left out.
    assert 8192 < bound < 8192 * 5
    assert len(json.dumps(texts(blobs, head))) > 80_000


def loop_turn(blobs: BlobStore, about: Brief, head: str | None, say: str = "") -> _Turn:
    request = TurnRequest(brief=about, head=head, say=[TextPart(text=say)] if say else [])
    return _Turn(blobs, request, [])


def test_a_loop_hears_of_recall_in_a_session_or_with_the_first_cut_text(blobs: BlobStore, stub: StubLlm) -> None:
    about = brief(
        blobs, skills=["calculator", "recall"], catalogue=load(Path("/nowhere"), BUILTIN).catalogue.save(blobs)
    )
    alone = loop_turn(blobs, about, None, "Do it.").asks()
    assert [tool.name for tool in alone.tools] == ["calculator"]
    head = note(blobs, None, "Hello").head
    within = loop_turn(blobs, about.model_copy(update={"before": head}), None, "Do it.").asks()
    assert [tool.name for tool in within.tools] == ["calculator", "recall"]
    assert alone.fit is not None
    assert alone.fit(alone, 100_000) == alone
    long = loop_turn(blobs, about, None, "word " * 5000).asks()
    assert long.fit is not None
    fitted = long.fit(long, 3000)
    assert [tool.name for tool in fitted.tools] == ["calculator", "recall"]
    assert HANDLE.search(conversation.text(fitted.messages[-1].parts))


def test_the_names_of_saved_variables_are_told(blobs: BlobStore) -> None:
    assert "`session`: rates, users" in system_text(blobs, brief(blobs, variables=["rates", "users"]))


# summaries


async def summed(blobs: BlobStore, head: str, *models: ModelSettings, default: ModelSettings | None = None) -> Summary:
    known = Models({}, default or ModelSettings())
    try:
        summing = Summing(Dialogue(Direct(known), blobs), default or ModelSettings())
        return await summing.summary(SummaryRequest(brief=brief(blobs, *models), head=head))
    finally:
        await known.close()


async def test_older_turns_are_summed_up_and_the_newest_stay_word_for_word(blobs: BlobStore, stub: StubLlm) -> None:
    stub.rule("Sum it up", "Facts 0 to 80 are their number times 11.")
    head = await asyncio.to_thread(talked, blobs, 120)
    found = await summed(blobs, head, model(stub, context_tokens=8192))
    (request,) = stub.requests
    assert "Fact 0 is 0." in request.text
    told = texts(blobs, found.head)
    assert "Facts 0 to 80 are their number times 11." in told[0][1]
    newest = texts(blobs, head)[-len(told) + 1 :]
    assert told[1:] == newest
    assert 0.2 * 8192 < found.tokens < 0.4 * 8192
    assert found.tokens == memory.tokens_of(blobs, found.head)
    assert [one.output_tokens for one in found.usage] == [10]


async def test_a_summary_of_a_summary_counts_all_turns_and_stays(blobs: BlobStore, stub: StubLlm) -> None:
    stub.rule("Sum it up", "In short: numbers.")
    settings = model(stub, context_tokens=4096)
    head = await asyncio.to_thread(talked, blobs, 60)
    once = await summed(blobs, head, settings)
    more = once.head
    for number in range(60):
        request = NoteRequest(task=ref(number), head=more, say=[TextPart(text=f"More {number}.")], state="DONE")
        more = (await noted(blobs, request)).head
    twice = await summed(blobs, more, settings)
    turns = conversation.turns(blobs, twice.head)
    assert sum(turn.sums_up or 1 for turn in turns) == 120
    assert [turn.keep for turn in turns].count(True) == 1
    assert "In short: numbers." in stub.requests[-1].text
    assert conversation.read(blobs, twice.head).kept == {0}


async def test_turns_that_are_kept_survive_a_summary(blobs: BlobStore, stub: StubLlm) -> None:
    first = [conversation.of("assistant", "Which of the two?")]
    head: str | None = conversation.add(blobs, None, first, keep=True)
    for number in range(80):
        request = NoteRequest(task=ref(number), head=head, say=[TextPart(text=f"Turn {number}.")], state="DONE")
        head = (await noted(blobs, request)).head
    assert head
    found = await summed(blobs, head, model(stub, context_tokens=2048))
    assert "Which of the two?" in [text for _, text in texts(blobs, found.head)]


async def test_what_is_short_enough_is_not_summed_up(blobs: BlobStore, stub: StubLlm) -> None:
    head = await asyncio.to_thread(talked, blobs, 3)
    found = await summed(blobs, head, model(stub))
    assert (found.head, found.usage, stub.requests) == (head, [], [])


async def test_a_summary_that_is_too_long_is_cut(blobs: BlobStore, stub: StubLlm) -> None:
    stub.rule("Sum it up", "and so on " * 5000)
    head = await asyncio.to_thread(talked, blobs, 200)
    found = await summed(blobs, head, model(stub, context_tokens=4096))
    assert found.tokens < 0.45 * 4096
    assert estimate(texts(blobs, found.head)[0][1]) <= 0.1 * 4096


async def test_without_a_model_the_summary_says_that_it_is_made_by_rule(blobs: BlobStore) -> None:
    head = await asyncio.to_thread(talked, blobs, 150)
    offline = ModelSettings(provider="offline", context_tokens=4096)
    found = await summed(blobs, head, offline)
    summary = texts(blobs, found.head)[0][1]
    assert "without a model" in summary
    assert "Fact 117 is 1287." in summary
    assert "Fact 0 is 0." not in summary
    again = await summed(blobs, found.head, offline.model_copy(update={"context_tokens": 1024}))
    assert texts(blobs, again.head)[0][1].count("without a model") == 1


def test_an_empty_conversation_has_no_tokens(blobs: BlobStore) -> None:
    assert memory.tokens_of(blobs, None) == 0
    assert conversation.read(blobs, None) == Conversation()
