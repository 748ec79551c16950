"""The most that a request may take, found out before it is made: never less than what it takes."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.budget import answered
from holdfast.contracts.message import BlobPart, Message, TextPart
from holdfast.contracts.model import ModelSettings, Usage
from holdfast.errors import ModelFailed, NoModel, TooLarge, UserError
from providers.base import ModelReply, ModelRequest, Tool
from providers.table import Models, _with_lost

KEYS = {"OPENAI_API_KEY": "sk-test", "ANTHROPIC_API_KEY": "sk-ant-test"}
GPT = ModelSettings(provider="openai", model="gpt-4.1", max_tokens=100)
CLAUDE = ModelSettings(provider="anthropic", model="claude-sonnet-4-5", max_tokens=100)
STUB = ModelSettings(provider="openai-compatible", model="stub", api_base="http://127.0.0.1:9/v1")


def asks(text: str = "hello", **more: Any) -> ModelRequest:
    message = Message(role="user", parts=[TextPart(text=text)])
    return ModelRequest(
        **{"purpose": "answer", "messages": [message], "settings": ModelSettings(), "read": lambda _: b"", **more}
    )


def models(**environ: str) -> Models:
    return Models(KEYS | environ, ModelSettings())


@given(st.text(max_size=300), st.text(max_size=300))
@settings(deadline=None)
def test_every_byte_that_is_said_is_in_the_bound(said: str, system: str) -> None:
    [found] = models().bounds([GPT], asks(said, system=system))
    [least] = models().bounds([GPT], asks("x"))
    extra = len(said.strip().encode()) + len(system.strip().encode())
    assert found.tokens >= 100 + extra
    assert least.tokens < 1000


def test_tools_and_schemas_count() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "x" * 500}}}
    tool = Tool("find", "y" * 700, {"type": "object", "properties": {}})
    [plain] = models().bounds([GPT], asks())
    [formed] = models().bounds([GPT], asks(schema=schema))
    [armed] = models().bounds([GPT], asks(tools=(tool,)))
    assert formed.tokens >= plain.tokens + 500
    assert armed.tokens >= plain.tokens + 700


def test_an_image_counts_as_the_largest() -> None:
    image = BlobPart(ref="0" * 64, media_type="image/png", size_bytes=70)
    seen = replace(asks(), messages=[Message(role="user", parts=[image])])
    [large] = models().bounds([GPT], seen)
    [mini] = models().bounds([GPT.model_copy(update={"model": "gpt-4o-mini"})], seen)
    assert large.tokens >= 5_000
    assert mini.tokens >= 50_000


def test_the_price_is_that_of_the_dearest_way() -> None:
    """Claude's input may be put into a cache, which costs a quarter more."""
    [gpt] = models().bounds([GPT], asks("x" * 10_000))
    [claude] = models().bounds([CLAUDE], asks("x" * 10_000))
    assert gpt.usd is not None
    assert gpt.usd >= Decimal(10_000) * 2 / 1_000_000
    assert claude.usd is not None
    assert claude.usd >= Decimal(10_000) * 3 * Decimal("1.25") / 1_000_000


def test_without_a_limit_of_its_own_a_reply_gets_one() -> None:
    [found] = models().bounds([GPT.model_copy(update={"max_tokens": None})], asks())
    assert found.settings.max_tokens == 4096
    assert found.tokens >= 4096


def test_a_model_without_room_for_the_prompt_is_not_in_the_bound() -> None:
    small, wide = (GPT.model_copy(update={"context_tokens": size}) for size in (8192, 100_000))
    [found] = models().bounds([small, wide], asks("1" * 20_000))
    assert found.settings.context_tokens == 100_000
    with pytest.raises(TooLarge, match="about 20132 tokens; 8092 fit"):
        models().bounds([small], asks("1" * 20_000))


def test_a_price_that_nobody_knows_is_none_and_that_of_a_free_model_nothing() -> None:
    [stub] = models().bounds([STUB], asks())
    assert (stub.name, stub.usd) == ("openai-compatible:stub", None)
    free = ModelSettings(provider="ollama", model="llama3.1")
    assert models().bounds([free], asks())[0].usd == 0
    [offline] = models().bounds([ModelSettings(provider="offline")], asks("x" * 1000))
    assert (offline.tokens, offline.usd) == (0, Decimal(0))


def test_each_model_of_a_list_is_bounded_but_those_that_cannot_be_asked() -> None:
    one_key = Models({"OPENAI_API_KEY": "sk-test"}, ModelSettings())
    assert [found.name for found in one_key.bounds([CLAUDE, GPT], asks())] == ["openai:gpt-4.1"]
    assert len(models().bounds([CLAUDE, GPT], asks())) == 2
    with pytest.raises(NoModel):
        one_key.bounds([CLAUDE], asks())


def test_a_model_whose_reply_was_cut_may_want_money_and_one_that_sent_an_error_does_not() -> None:
    reply = ModelReply("hi", Usage(provider="p", model="m", input_tokens=1, output_tokens=1))
    assert _with_lost(reply, [ModelFailed("cut")]).usage.lost == 1
    assert _with_lost(reply, [ModelFailed("broken", http_status=500), NoModel("no key")]).usage.lost == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("stop", "stop"),
        ("tokens=5000", {"add": {"tokens": 5000}}),
        ("usd=0.5, calls=3", {"add": {"usd": 0.5, "calls": 3}}),
    ],
)
def test_what_is_typed_at_a_question_for_a_top_up(text: str, value: object) -> None:
    assert answered(text) == value


@pytest.mark.parametrize("text", ["5000", "tokens", "dollars=3", "tokens=many", "tokens=-5"])
def test_what_adds_nothing_is_told(text: str) -> None:
    with pytest.raises(UserError):
        answered(text)
