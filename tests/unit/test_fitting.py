"""A conversation in the window of a model: what gives way, what stays, and what no wire format would refuse."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities import conversation, fitting, notes
from activities.fitting import fit
from holdfast.contracts.message import BlobPart, CallPart, Message, Part, ResultPart, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.windows import LOCAL_TOKENS, UNKNOWN_TOKENS, context_tokens, estimate, tokens
from providers.tools import paired

HANDLE = re.compile(r'recall\(handle="(?P<handle>[0-9a-f]{64})", offset=(?P<offset>\d+)\)')
FILES = {"f" * 64: b"a line of a file\n" * 400, "e" * 64: b"\x89PNG"}


class Shelf:
    """Where cut texts go in these tests."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def keep(self, text: str) -> str:
        handle = f"{len(self.texts):064x}"
        self.texts[handle] = text
        return handle


def user(*parts: Part | str) -> Message:
    return Message(role="user", parts=[TextPart(text=one) if isinstance(one, str) else one for one in parts])


def assistant(*parts: Part | str) -> Message:
    return Message(role="assistant", parts=[TextPart(text=one) if isinstance(one, str) else one for one in parts])


def call(one: str, **arguments: Any) -> CallPart:
    return CallPart(id=one, skill="look", arguments=arguments)


def result(one: str, text: str) -> ResultPart:
    return ResultPart(id=one, skill="look", text=text)


def loop(turns: int, characters: int = 5000) -> list[Message]:
    """A task, and so many calls with what they gave."""
    said = [user("The task: look at all of it.")]
    for number in range(turns):
        said += [assistant(call(f"c{number}", page=number)), user(result(f"c{number}", page(number, characters)))]
    return said


def chat(turns: int) -> list[Message]:
    said = [
        message for number in range(turns) for message in (user(f"question {number}?"), assistant(f"answer {number}."))
    ]
    return [*said, user("the newest question")]


def page(number: int, characters: int) -> str:
    return (f"page {number}: " + "lorem ipsum " * characters)[:characters]


def total(messages: Sequence[Message]) -> int:
    return sum(tokens(one, FILES.__getitem__) for one in messages)


def text(messages: Sequence[Message]) -> str:
    return "\n".join(conversation.text(one.parts) for one in messages)


def fitted(messages: list[Message], room: int, *protected: int, shelf: Shelf | None = None) -> list[Message]:
    found = fit(messages, room, protected, (shelf or Shelf()).keep, FILES.__getitem__)
    assert total(found) <= room
    return found


def test_what_fits_is_sent_as_it_is() -> None:
    messages = loop(3)
    assert fitted(messages, total(messages), 0) == messages


def test_older_results_become_heads_with_a_handle_before_anything_is_left_out() -> None:
    messages, shelf = loop(8), Shelf()
    found = fitted(messages, 6000, 0, shelf=shelf)
    assert len(found) == len(messages)
    first = conversation.text(found[2].parts)
    assert first.startswith("page 0: ")
    cut = HANDLE.search(first)
    assert cut
    assert shelf.texts[cut["handle"]] == page(0, 5000)
    assert first[: int(cut["offset"])] == page(0, 5000)[: int(cut["offset"])]
    assert found[-1] == messages[-1]


def test_what_is_left_out_is_counted() -> None:
    messages = chat(100)
    found = fitted(messages, 1000)
    (notice,) = [line for line in text(found).splitlines() if "left out" in line]
    count = re.search(r"\d+", notice)
    assert count
    assert int(count[0]) == len(messages) - (len(found) - 1)
    assert found[-len(found) + 1 :] == messages[-len(found) + 1 :]


def test_the_task_stays_when_its_older_turns_go() -> None:
    messages = loop(60)
    found = fitted(messages, 4000, 0)
    assert found[0] == messages[0]
    assert "left out" in conversation.text(found[1].parts)
    assert found[-2:] == messages[-2:]


def test_protected_messages_stay_where_they_were() -> None:
    messages = chat(200)
    found = fitted(messages, 1500, 100, 150)
    assert [one for one in found if one in (messages[100], messages[150])] == [messages[100], messages[150]]
    assert text(found).count("left out") == 3


def test_a_newest_message_that_is_too_long_by_itself_is_cut_with_a_handle() -> None:
    shelf, long = Shelf(), "word " * 40_000
    found = fitted([*chat(3), user("Sum this up:", long)], 2000, shelf=shelf)
    last = conversation.text(found[-1].parts)
    assert last.startswith("Sum this up:\nword word")
    cut = HANDLE.search(last)
    assert cut
    assert shelf.texts[cut["handle"]] == long
    assert total(found) > 1000


def test_many_long_results_of_one_turn_share_the_room_and_keep_their_calls() -> None:
    calls = [call(f"c{number}") for number in range(8)]
    results = [result(f"c{number}", page(number, 16_000)) for number in range(8)]
    found = fitted([user("task"), assistant(*calls), user(*results)], 4000, 0)
    assert [part.id for part in found[-1].parts if isinstance(part, ResultPart)] == [one.id for one in calls]
    assert found[1].parts == calls


def test_a_text_that_was_cut_before_keeps_its_handle() -> None:
    shelf = Shelf()
    once = notes.cut("x" * 5000, 1000, shelf.keep)
    twice = notes.cut(once, 100, shelf.keep)
    assert HANDLE.findall(twice) == [("0" * 64, "100")]
    assert "4900 of 5000 characters are not shown" in twice
    assert len(shelf.texts) == 1


def test_where_nothing_can_be_recalled_a_cut_says_only_how_much_is_missing() -> None:
    found = fit(loop(60), 4000, [0], lambda _text: "", FILES.__getitem__)
    assert "recall" not in text(found)
    assert total(found) <= 4000


def test_an_older_file_is_named_and_a_newest_one_is_cut() -> None:
    file = BlobPart(ref="f" * 64, media_type="text/plain", size_bytes=6800, name="notes.txt")
    found = fitted([user("look", file), assistant("seen. " * 400), *chat(2)], 1200)
    assert "a line of a file" not in text(found)
    found = fitted([*chat(2), user("look", file)], 800)
    assert "notes.txt" in text(found)
    assert "a line of a file" in text(found)


def test_the_beginning_of_the_prompt_stays_the_same_for_some_turns() -> None:
    prompts = [fitted(loop(turns, 800), 6000, 0) for turns in range(30, 60)]
    starts = {text(prompt[:4]) for prompt in prompts}
    assert len(starts) < len(prompts) / 3


texts = st.one_of(
    st.text(max_size=80),
    st.builds(lambda word, times: word * times, st.text(min_size=1, max_size=12), st.integers(1, 1000)),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    messages: list[Message] = []
    for number in range(draw(st.integers(0, 12))):
        messages.append(user(draw(texts)))
        for step in range(draw(st.integers(0, 3))):
            ids = [f"c{number}_{step}_{one}" for one in range(draw(st.integers(1, 4)))]
            arguments = [{draw(st.text(max_size=5)): draw(texts)} for _ in ids]
            messages.append(assistant(*(call(one, **given) for one, given in zip(ids, arguments, strict=True))))
            messages.append(user(*(result(one, draw(texts)) for one in ids)))
        messages.append(assistant(draw(texts)))
    last: Part | str = draw(st.one_of(texts, st.just(BlobPart(ref="f" * 64, media_type="text/x", size_bytes=6800))))
    return [*messages, user(last)]


@settings(max_examples=60, deadline=None)
@given(conversations(), st.integers(256, 12_000), st.data())
def test_never_over_the_room_and_always_a_talk_that_every_provider_takes(
    messages: list[Message], room: int, data: st.DataObject
) -> None:
    protected = data.draw(st.sets(st.integers(0, len(messages) - 1), max_size=3))
    shelf = Shelf()
    found = fit(messages, room, protected, shelf.keep, FILES.__getitem__)
    assert total(found) <= room
    assert found[0].role == "user"
    assert found[-1].role == "user"
    ids = paired(messages)
    parts = [part for one in found for part in one.parts if isinstance(part, CallPart | ResultPart)]
    assert {part.id for part in parts} == paired(found) <= ids
    for one, answer in pairwise(found):
        called = [part.id for part in one.parts if isinstance(part, CallPart)]
        assert called == [part.id for part in answer.parts if isinstance(part, ResultPart)]


@settings(max_examples=40, deadline=None)
@given(conversations(), st.data())
def test_protected_messages_are_whole_where_they_have_room(messages: list[Message], data: st.DataObject) -> None:
    protected = data.draw(st.sets(st.integers(0, len(messages) - 1), max_size=3))
    units = fitting._units(messages, protected, FILES.__getitem__)
    needed = sum(unit.tokens for unit in units[:-1] if unit.is_protected) + units[-1].tokens + 48 * 8
    found = fit(messages, max(256, needed), protected, Shelf().keep, FILES.__getitem__)
    for place in protected:
        assert messages[place] in found
    assert found[-1] == messages[-1]


@settings(max_examples=100)
@given(st.text())
def test_an_estimate_is_never_more_than_the_bytes(said: str) -> None:
    assert 0 <= estimate(said) <= len(said.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        # Counted with the tokenizers of GPT-4, GPT-5 and Llama 3.
        ("The quick brown fox jumps over the lazy dog. " * 20, 181, 300),
        ("Die Verarbeitungsgeschwindigkeit der Datenübertragung hängt von vielen Einflussgrößen ab. " * 20, 480, 900),
        ('{"id": 17, "name": "user 17", "price": 12.5, "ok": true}' * 20, 420, 700),
        ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" * 10, 380, 640),
        ("数据处理速度取决于多种因素" * 20, 160, 420),
    ],
)
def test_an_estimate_is_near_what_tokenizers_count(said: str, least: int, most: int) -> None:
    assert least <= estimate(said) <= most


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"model": "claude-sonnet-4-5"}, 200_000),
        ({"model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "provider": "bedrock"}, 200_000),
        ({"model": "claude-sonnet-5-5"}, 1_000_000),
        ({"model": "gpt-4.1"}, 1_000_000),
        ({"model": "gpt-4"}, 8192),
        ({"model": "gpt-4o"}, UNKNOWN_TOKENS),
        ({"model": "never-heard-of"}, UNKNOWN_TOKENS),
        ({"provider": "Ollama", "model": "llama3.1"}, LOCAL_TOKENS),
        ({"provider": "lm-studio"}, LOCAL_TOKENS),
        ({"provider": "vllm", "context_tokens": 32_768}, 32_768),
        ({}, UNKNOWN_TOKENS),
    ],
)
def test_the_window_of_a_model_is_what_is_said_or_known_of_it(known: dict[str, Any], expected: int) -> None:
    assert context_tokens(ModelSettings.model_validate(known)) == expected
