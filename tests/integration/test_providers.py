"""Every row of providers.yaml against a stub of its wire format, over real HTTP: what is sent, what comes back, what fails."""

import asyncio
import base64
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from email.utils import formatdate
from pathlib import Path
from time import monotonic, time
from typing import Any, Literal

import httpx2
import pytest
import yaml

from holdfast.contracts.message import BlobPart, CallPart, Message, Part, ResultPart, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.errors import ModelBusy, ModelFailed, ModelRefused, ModelUnavailable, NoModel, OperatorError
from providers.base import Called, ModelReply, ModelRequest, Tool
from providers.rows import rows
from providers.table import Models
from tests.support.stub_llm import Calling, Fault, Request, StubLlm, calling
from tests.support.stub_wires import Use

ROOT = Path(__file__).parents[2]
PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001")
BLOBS = {"a" * 64: PNG, "b" * 64: "Zürich;41".encode(), "c" * 64: b"\xff\xd8\x00\x01"}
LONG = "A reply that is long enough to come in several pieces, with ümläuts."
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
KEYS = {
    "ANTHROPIC_API_KEY": "sk-ant-api03-of-anthropic-7f3a",
    "OPENAI_API_KEY": "sk-proj-of-openai-7f3a",
    "OPENROUTER_API_KEY": "sk-or-v1-of-openrouter-7f3a",
    "ZHIPUAI_API_KEY": "of-zhipu.7f3a",
    "GEMINI_API_KEY": "AIza-of-gemini-7f3a",
    "LLM_API_KEY": "of-compatible-7f3a",
    "AWS_ACCESS_KEY_ID": "AKIAOFBEDROCK",
    "AWS_SECRET_ACCESS_KEY": "secret-of-aws-7f3a",
    "AWS_SESSION_TOKEN": "session-of-aws-7f3a",
    "AWS_REGION": "eu-central-1",
}
SECRETS = [value for name, value in KEYS.items() if name not in ("AWS_ACCESS_KEY_ID", "AWS_REGION")]


@dataclass(frozen=True)
class Case:
    """One row, or one way of it: the model asked, the wire it must use, the path, and the header that lets it in."""

    provider: str
    model: str
    wire: str
    path: str
    authorization: str
    structured: str


_CHAT, _MESSAGES = "/v1/chat/completions", "/v1/messages"
CASES = {
    "anthropic": Case(
        "anthropic", "claude-sonnet-5-5", "anthropic", _MESSAGES, KEYS["ANTHROPIC_API_KEY"], "json_schema"
    ),
    "openai": Case("openai", "gpt-4.1", "openai", _CHAT, KEYS["OPENAI_API_KEY"], "json_schema"),
    "openrouter": Case(
        "openrouter", "anthropic/claude-sonnet-4.5", "openai", _CHAT, KEYS["OPENROUTER_API_KEY"], "json_schema"
    ),
    "glm": Case("glm", "glm-4.7", "openai", _CHAT, KEYS["ZHIPUAI_API_KEY"], "json_object"),
    "glm-anthropic": Case("glm-anthropic", "glm-4.7", "anthropic", _MESSAGES, KEYS["ZHIPUAI_API_KEY"], "prompt"),
    "gemini": Case("gemini", "gemini-2.5-flash", "openai", _CHAT, KEYS["GEMINI_API_KEY"], "json_schema"),
    "openai-compatible": Case("openai-compatible", "some", "openai", _CHAT, KEYS["LLM_API_KEY"], "json_object"),
    "ollama": Case("ollama", "llama3.1", "openai", _CHAT, "none", "json_schema"),
    "vllm": Case("vllm", "some", "openai", _CHAT, "none", "json_schema"),
    "lmstudio": Case("lmstudio", "some", "openai", _CHAT, "none", "json_schema"),
    "bedrock": Case(
        "bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "invoke",
        "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
        "Credential=AKIAOFBEDROCK/",
        "prompt",
    ),
    "bedrock-llama": Case(
        "bedrock",
        "meta.llama3-70b-instruct-v1:0",
        "converse",
        "/model/meta.llama3-70b-instruct-v1%3A0/converse",
        "Credential=AKIAOFBEDROCK/",
        "prompt",
    ),
    "bedrock-titan": Case(
        "bedrock",
        "amazon.titan-text-express-v1",
        "converse",
        "/model/amazon.titan-text-express-v1/converse",
        "Credential=AKIAOFBEDROCK/",
        "prompt",
    ),
}
WIRES = ("anthropic", "openai", "bedrock", "bedrock-llama")
"""One case of each wire format, for what does not depend on the row."""


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm() as server:
        yield server


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    made = Models(KEYS, ModelSettings())
    yield made
    await made.close()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(params=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "streamed")


def at(stub: StubLlm, case: Case, **fields: Any) -> ModelSettings:
    return ModelSettings(provider=case.provider, model=case.model, api_base=stub.url, **fields)


def asking(*messages: Message, system: str = "", schema: dict[str, Any] | None = None) -> ModelRequest:
    return ModelRequest(
        purpose="ask",
        messages=list(messages) or [said("Hello?")],
        settings=ModelSettings(),
        read=BLOBS.__getitem__,
        system=system,
        schema=schema,
        trace_id="ab" * 16,
    )


def said(text: str, role: Literal["system", "user", "assistant", "skill"] = "user") -> Message:
    return Message(role=role, parts=[TextPart(text=text)])


async def ask(
    models: Models, settings: ModelSettings | list[ModelSettings], request: ModelRequest, streamed: bool = False
) -> tuple[ModelReply, list[str]]:
    pieces: list[str] = []

    async def keep(piece: str) -> None:
        pieces.append(piece)

    wanted = settings if isinstance(settings, list) else [settings]
    return await models.complete(wanted, request, keep if streamed else None), pieces


async def problem_of(
    models: Models, settings: ModelSettings | list[ModelSettings], streamed: bool = False
) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        await ask(models, settings, asking(), streamed)
    return caught.value


# -- what is sent, and what comes back


def test_every_row_of_the_table_is_tried_here() -> None:
    assert {case.provider for case in CASES.values()} == set(rows()) - {"offline"}


async def test_reply_takes_one_request_in_the_wire_format_of_the_row(stub: StubLlm, models: Models, case: Case) -> None:
    stub.rule("Hello", LONG)
    reply, _ = await ask(models, at(stub, case), asking())
    assert (reply.text, reply.stop) == (LONG, "end")
    (request,) = stub.requests
    assert (request.wire, request.path, request.model, request.stream) == (case.wire, case.path, case.model, False)
    assert case.authorization in request.headers["authorization"]
    assert request.headers["x-holdfast-task"] == "ab" * 16


async def test_pieces_of_a_stream_join_to_the_reply(stub: StubLlm, models: Models, case: Case) -> None:
    stub.rule("Hello", LONG)
    reply, pieces = await ask(models, at(stub, case), asking(), streamed=True)
    assert len(pieces) > 3
    assert "".join(pieces) == reply.text == LONG
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens == len(LONG) // 4
    (request,) = stub.requests
    assert request.stream


async def test_system_prompt_and_turns_arrive_in_their_roles(stub: StubLlm, models: Models, case: Case) -> None:
    talk = [
        said("Speak softly.", "system"),
        said("First."),
        said("Second.", "assistant"),
        said("Third."),
        said("A skill's answer.", "skill"),
    ]
    await ask(models, at(stub, case), asking(*talk, system="Be brief."))
    (request,) = stub.requests
    titan = "titan" in case.model
    assert request.system == ("" if titan else "Be brief.\n\nSpeak softly.")
    assert [role for role, _ in request.messages] == ["user", "assistant", "user"]
    first, second, third = (text for _, text in request.messages)
    assert first == ("Be brief.\n\nSpeak softly.\nFirst." if titan else "First.")
    assert second == "Second."
    assert third.split() == ["Third.", "A", "skill's", "answer."]


async def test_image_arrives_as_the_image_of_the_wire_format(stub: StubLlm, models: Models, case: Case) -> None:
    image = BlobPart(ref="a" * 64, media_type="image/png", size_bytes=len(PNG))
    await ask(models, at(stub, case), asking(Message(role="user", parts=[TextPart(text="What is it?"), image])))
    content = stub.requests[0].body["messages"][-1]["content"]
    data = base64.b64encode(PNG).decode()
    forms: dict[str, dict[str, Any]] = {
        "openai": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        "invoke": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        "converse": {"image": {"format": "png", "source": {"bytes": data}}},
    }
    assert content[-1] == forms[case.wire]
    assert "What is it?" in stub.requests[0].last


async def test_text_file_arrives_as_text_and_another_file_is_refused(stub: StubLlm, models: Models, wire: Case) -> None:
    table = BlobPart(ref="b" * 64, media_type="text/csv", size_bytes=10, name="cities.csv")
    await ask(models, at(stub, wire), asking(Message(role="user", parts=[table])))
    assert stub.requests[0].last == "File 'cities.csv' (text/csv):\nZürich;41"
    film = BlobPart(ref="c" * 64, media_type="video/mp4", size_bytes=4, name="cats.mp4")
    with pytest.raises(ModelRefused, match=r"'cats\.mp4' \(video/mp4, 4 bytes\).*image/png"):
        await ask(models, at(stub, wire), asking(Message(role="user", parts=[film])))
    assert len(stub.requests) == 1


async def test_schema_is_asked_for_in_the_form_of_the_row(stub: StubLlm, models: Models, case: Case) -> None:
    await ask(models, at(stub, case), asking(system="Be brief.", schema=SCHEMA))
    (request,) = stub.requests
    form = request.body.get("response_format") or request.body.get("output_config")
    match case.structured, case.wire:
        case "json_schema", "openai":
            assert form == {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": SCHEMA, "strict": False},
            }
        case "json_schema", _:
            assert form == {"format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}}
        case "json_object", _:
            assert form == {"type": "json_object"}
        case _:
            assert form is None
    in_prompt = json.dumps(SCHEMA, sort_keys=True) in request.text
    assert in_prompt == (case.structured != "json_schema")


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-4"), ("openai", "gpt-3.5-turbo"), ("anthropic", "claude-3-sonnet-20240229")],
)
async def test_model_older_than_json_schemas_is_asked_in_words(
    stub: StubLlm, models: Models, provider: str, model: str
) -> None:
    settings = ModelSettings(provider=provider, model=model, api_base=stub.url)
    await ask(models, settings, asking(schema=SCHEMA))
    (request,) = stub.requests
    assert not {"response_format", "output_config"} & set(request.body)
    assert json.dumps(SCHEMA, sort_keys=True) in request.system


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"any": {}}},
        {"type": "object", "properties": {"map": {"type": "object", "additionalProperties": {"type": "string"}}}},
        {"type": ["string", "null"]},
        {"$defs": {"open": {"type": "object"}}, "$ref": "#/$defs/open"},
        {"type": "array"},
    ],
)
async def test_schema_that_strict_forms_do_not_know_is_asked_for_in_words(
    stub: StubLlm, models: Models, schema: dict[str, Any]
) -> None:
    await ask(models, at(stub, CASES["anthropic"]), asking(schema=schema))
    assert "output_config" not in stub.requests[0].body
    assert json.dumps(schema, sort_keys=True) in stub.requests[0].system


async def test_sampling_settings_arrive_under_the_names_of_the_wire_format(
    stub: StubLlm, models: Models, case: Case
) -> None:
    wanted = at(stub, case, temperature=0.5, top_p=0.25, top_k=7, max_tokens=99, stop_sequences=["END"])
    await ask(models, wanted, asking())
    body = stub.requests[0].body
    match case.wire:
        case "openai":
            most = "max_completion_tokens" if case.provider == "openai" else "max_tokens"
            assert (body["temperature"], body["top_p"], body[most], body["stop"]) == (0.5, 0.25, 99, ["END"])
            assert ("top_k" in body) == (case.provider not in ("openai", "glm", "gemini"))
        case "converse":
            expected = {"temperature": 0.5, "topP": 0.25, "maxTokens": 99, "stopSequences": ["END"]}
            assert body["inferenceConfig"] == expected
        case _:
            names = ("temperature", "top_p", "top_k", "max_tokens", "stop_sequences")
            assert [body[name] for name in names] == [0.5, 0.25, 7, 99, ["END"]]


async def test_prompt_caching_is_asked_for_at_anthropic_alone(stub: StubLlm, models: Models, case: Case) -> None:
    await ask(models, at(stub, case), asking(system="Be brief."))
    assert ("cache_control" in stub.requests[0].body) == (case.provider == "anthropic")


# -- tools

LOOK = Tool("look_up", "Looks one thing up.", {"type": "object", "properties": {"key": {"type": "string"}}})
NATIVE = {name: case for name, case in CASES.items() if name not in ("bedrock-llama", "bedrock-titan")}
NATIVE["bedrock-llama-3-1"] = replace(CASES["bedrock-llama"], model="meta.llama3-1-70b-instruct-v1:0")
IN_WORDS = ("bedrock-llama", "bedrock-titan")


@pytest.fixture(params=NATIVE)
def native(request: pytest.FixtureRequest) -> Case:
    """A row with a model that knows tools."""
    return NATIVE[request.param]


def with_tools(*messages: Message) -> ModelRequest:
    return replace(asking(*messages), tools=(LOOK,))


def looks(*keys: str, text: str = "") -> Calling:
    return calling(*(Use("look_up", {"key": key}, f"call_of_{key}") for key in keys), text=text)


def called_and_answered(*results: ResultPart) -> list[Message]:
    """A question, the calls that it led to, and what they gave."""
    calls: list[Part] = [CallPart(id=one.id, skill=one.skill, arguments={"key": one.id[-1]}) for one in results]
    return [
        said("Hello?"),
        Message(role="assistant", parts=[TextPart(text="I look."), *calls]),
        Message(role="user", parts=[*results, TextPart(text="Go on.")]),
    ]


def gave(key: str, text: str, is_error: bool = False) -> ResultPart:
    return ResultPart(id=f"call_of_{key}", skill="look_up", text=text, is_error=is_error)


async def test_one_call_comes_with_its_name_id_and_arguments(
    stub: StubLlm, models: Models, native: Case, streamed: bool
) -> None:
    stub.rule("Hello", looks("a"))
    reply, pieces = await ask(models, at(stub, native), with_tools(), streamed)
    assert reply.calls == (Called("call_of_a", "look_up", {"key": "a"}),)
    assert (reply.text, reply.stop, "".join(pieces)) == ("", "end", "")
    (request,) = stub.requests
    assert request.tools == {"look_up": LOOK.schema}
    assert "Looks one thing up." in json.dumps(request.body)
    assert "look_up" not in request.system


async def test_three_calls_come_in_their_order_beside_the_text(
    stub: StubLlm, models: Models, native: Case, streamed: bool
) -> None:
    stub.rule("Hello", looks("a", "b", "c", text=LONG))
    reply, pieces = await ask(models, at(stub, native), with_tools(), streamed)
    assert [(call.id, call.arguments) for call in reply.calls] == [(f"call_of_{k}", {"key": k}) for k in "abc"]
    assert reply.text == LONG
    assert "".join(pieces) == (LONG if streamed else "")


async def test_results_arrive_behind_their_calls_and_the_answer_comes(
    stub: StubLlm, models: Models, native: Case
) -> None:
    stub.rule("Hello", lambda request: f"{len(request.results)} results")
    messages = called_and_answered(gave("a", "one"), gave("b", "Error: two", is_error=True))
    reply, _ = await ask(models, at(stub, native), with_tools(*messages))
    assert (reply.text, reply.calls) == ("2 results", ())
    (request,) = stub.requests
    assert [(one.id, one.name, one.object) for one in request.calls] == [
        ("call_of_a", "look_up", {"key": "a"}),
        ("call_of_b", "look_up", {"key": "b"}),
    ]
    assert [(one.id, one.text) for one in request.results] == [("call_of_a", "one"), ("call_of_b", "Error: two")]
    if request.wire in ("anthropic", "invoke"):
        assert [one.is_error for one in request.results] == [False, True]
    assert request.messages[-1][1].endswith("Go on.")


async def test_arguments_that_are_no_json_come_as_their_text(
    stub: StubLlm, models: Models, native: Case, streamed: bool
) -> None:
    if not streamed and native.wire != "openai":
        pytest.skip("these formats carry an object, but in a stream")
    stub.rule("Hello", calling(Use("look_up", '{"key": "a'), Use("look_up", "")))
    reply, _ = await ask(models, at(stub, native), with_tools(), streamed)
    assert [call.arguments for call in reply.calls] == ['{"key": "a', {}]


async def test_calls_that_a_server_puts_in_one_place_are_told_apart(stub: StubLlm, models: Models) -> None:
    stub.rule("Hello", looks("a", "b"), fault=Fault(one_place=True))
    reply, _ = await ask(models, at(stub, CASES["gemini"]), with_tools(), streamed=True)
    assert [call.arguments for call in reply.calls] == [{"key": "a"}, {"key": "b"}]


async def test_name_that_a_model_made_up_goes_back_in_letters_that_are_allowed(
    stub: StubLlm, models: Models, native: Case
) -> None:
    messages = called_and_answered(gave("a", "no such tool"))
    odd = CallPart(id="call_of_a", skill="look up! " + "x" * 80, arguments={})
    messages[1] = Message(role="assistant", parts=[odd])
    await ask(models, at(stub, native), with_tools(*messages))
    [use] = stub.requests[0].calls
    assert use.name.startswith("look_up__x") and len(use.name) == 64


@pytest.mark.parametrize("name", IN_WORDS)
async def test_model_without_tools_is_told_of_them_in_words(stub: StubLlm, models: Models, name: str) -> None:
    messages = called_and_answered(gave("a", "one"), gave("b", "two", is_error=True))
    await ask(models, at(stub, CASES[name]), with_tools(*messages))
    (request,) = stub.requests
    assert (request.tools, request.calls, request.results) == ({}, [], [])
    assert json.dumps(LOOK.schema) in request.text
    assert '<tool name="look_up">{"key": "a"}</tool>' in request.text
    assert "[look_up answered]\none" in request.last and "[look_up failed]\ntwo" in request.last


async def test_model_that_refuses_tools_is_asked_again_in_words_and_not_offered_them_any_more(
    stub: StubLlm, models: Models, wire: Case
) -> None:
    case = next(one for one in NATIVE.values() if one.wire == wire.wire)
    no_tools = Fault(status=400, message="this model does not support tools")
    stub.rule(lambda request: bool(request.tools), fault=no_tools)
    stub.rule("Hello", '<tool name="look_up">{"key": "a"}</tool>')
    for _ in range(2):
        reply, _ = await ask(models, at(stub, case), with_tools())
        assert (reply.calls, reply.text[:5]) == ((), "<tool")
    assert [bool(request.tools) for request in stub.requests] == [True, False, False]


async def test_refusal_of_anything_else_is_no_refusal_of_tools(stub: StubLlm, models: Models, wire: Case) -> None:
    stub.rule("Hello", fault=Fault(status=400, message="tools.0.input_schema: missing type"))
    case = next(one for one in NATIVE.values() if one.wire == wire.wire)
    with pytest.raises(ModelRefused, match="missing type"):
        await ask(models, at(stub, case), with_tools())
    assert len(stub.requests) == 1


async def test_answer_whose_call_is_not_there_is_told_as_text(stub: StubLlm, models: Models, native: Case) -> None:
    messages = [said("Hello?"), said("<tool ...>", "assistant"), Message(role="user", parts=[gave("a", "one")])]
    await ask(models, at(stub, native), with_tools(*messages))
    (request,) = stub.requests
    assert request.results == []
    assert "[look_up answered]\none" in request.last


# -- usage and cost


async def test_cached_tokens_are_part_of_the_input_tokens(
    stub: StubLlm, models: Models, wire: Case, streamed: bool
) -> None:
    stub.cached = 20
    reply, _ = await ask(models, at(stub, wire), asking(said("Hello? " * 40)), streamed)
    assert reply.usage.input_tokens == stub.requests[0].size_bytes // 4
    assert reply.usage.cached_tokens == 20


async def test_cost_is_known_or_free_or_null(stub: StubLlm, models: Models, case: Case) -> None:
    reply, _ = await ask(models, at(stub, case), asking())
    unlisted, _ = await ask(models, at(stub, case).model_copy(update={"model": "unheard-of"}), asking())
    match case.provider:
        case "ollama" | "vllm" | "lmstudio":
            assert reply.usage.cost == unlisted.usage.cost == 0
        case "openai-compatible":
            assert reply.usage.cost is unlisted.usage.cost is None
        case _:
            assert reply.usage.cost is not None
            assert 0 < reply.usage.cost < Decimal("0.01")
            assert unlisted.usage.cost is None
    assert (reply.usage.provider, reply.usage.model) == (case.provider, case.model)


async def test_cost_counts_cached_tokens_at_their_price(stub: StubLlm, models: Models) -> None:
    stub.cached = 20
    reply, _ = await ask(models, at(stub, CASES["anthropic"]), asking())
    usage = reply.usage
    fresh, cached, out = Decimal("2e-6"), Decimal("0.1e-6"), Decimal("10e-6")
    assert usage.cost == (usage.input_tokens - 20) * fresh + 20 * cached + usage.output_tokens * out


async def test_price_of_the_project_comes_first(stub: StubLlm) -> None:
    prices = {"house-model": {"input": 2, "output": 10, "cached": 1}}
    models = Models(KEYS, ModelSettings(), {"openai": {"prices": prices}})
    stub.cached = 10
    reply, _ = await ask(models, ModelSettings(provider="openai", model="house-model", api_base=stub.url), asking())
    usage = reply.usage
    millionth = Decimal("0.000001")
    assert usage.cost == ((usage.input_tokens - 10) * 2 + 10 * 1 + usage.output_tokens * 10) * millionth
    await models.close()


async def test_reply_that_tells_no_tokens_has_no_cost(stub: StubLlm, models: Models, streamed: bool) -> None:
    stub.rule("Hello", "OK", fault=Fault(no_usage=True))
    paid, _ = await ask(models, at(stub, CASES["openai"]), asking(), streamed)
    free, _ = await ask(models, at(stub, CASES["ollama"]), asking(), streamed)
    assert (paid.text, paid.usage.cost, paid.usage.input_tokens) == ("OK", None, 0)
    assert free.usage.cost == 0


# -- faults


def in_an_hour() -> str:
    return formatdate(time() + 3600, usegmt=True)


def statuses() -> dict[str, tuple[Fault, type[OperatorError], float | None]]:
    """Made when they are asked for: some say a time."""
    return {
        "busy with seconds": (Fault(status=429, headers={"retry-after": "3"}), ModelBusy, 3.0),
        "busy for long": (Fault(status=429, headers={"Retry-After": "36000"}), ModelBusy, 36000.0),
        "busy with milliseconds": (
            Fault(status=429, headers={"retry-after-ms": "1500", "retry-after": "2"}),
            ModelBusy,
            1.5,
        ),
        "busy until a date": (Fault(status=429, headers={"retry-after": in_an_hour()}), ModelBusy, 3600.0),
        "busy until yesterday": (
            Fault(status=429, headers={"retry-after": formatdate(time() - 86400, usegmt=True)}),
            ModelBusy,
            0.0,
        ),
        "busy with nonsense": (Fault(status=429, headers={"retry-after": "soon"}), ModelBusy, None),
        "busy without a word": (Fault(status=429), ModelBusy, None),
        "overloaded": (Fault(status=529), ModelBusy, None),
        "fault of its own": (Fault(status=500), ModelFailed, None),
        "not available": (Fault(status=503), ModelFailed, None),
        "bad request": (Fault(status=400, message="max_tokens 900000 is above 64000"), ModelRefused, None),
        "wrong key": (Fault(status=401), ModelRefused, None),
        "forbidden": (Fault(status=403), ModelRefused, None),
        "no such model": (Fault(status=404), ModelRefused, None),
        "too large": (Fault(status=413), ModelRefused, None),
        "no sense": (Fault(status=422), ModelRefused, None),
    }


async def test_status_becomes_the_error_of_who_can_act(
    stub: StubLlm, models: Models, wire: Case, streamed: bool
) -> None:
    for status, (fault, kind, wait_s) in statuses().items():
        stub.reset()
        stub.rule("Hello", fault=fault)
        problem = await problem_of(models, at(stub, wire), streamed)
        assert type(problem) is kind, (status, problem)
        assert len(stub.requests) == 1, status
        assert f"{wire.provider}:{wire.model}" in str(problem)
        assert fault.message in str(problem)
        waits = problem.retry_after if isinstance(problem, ModelUnavailable) else None
        assert waits == (pytest.approx(wait_s, abs=120) if "date" in status else wait_s), status


async def test_error_of_the_key_names_its_variable(stub: StubLlm, models: Models, case: Case) -> None:
    stub.rule("Hello", fault=Fault(status=401))
    problem = await problem_of(models, at(stub, case))
    variable = next((name for name, value in KEYS.items() if value in case.authorization), "")
    if case.provider == "bedrock":
        variable = "AWS_SECRET_ACCESS_KEY"
    assert variable in str(problem)


async def test_account_without_credit_is_not_waited_for(stub: StubLlm, models: Models) -> None:
    stub.rule("Hello", fault=Fault(status=402))
    assert type(await problem_of(models, at(stub, CASES["openrouter"]))) is ModelRefused


REPLIES: dict[str, tuple[Fault, type[OperatorError]]] = {
    "dropped": (Fault(drop=True), ModelUnavailable),
    "empty": (Fault(empty=True), ModelFailed),
    "malformed": (Fault(malformed=True), ModelFailed),
    "empty at the limit": (Fault(empty=True, length=True), ModelFailed),
}


@pytest.mark.parametrize("what", REPLIES)
async def test_reply_that_is_none_is_an_error(
    stub: StubLlm, models: Models, wire: Case, streamed: bool, what: str
) -> None:
    fault, kind = REPLIES[what]
    stub.rule("Hello", LONG, fault=fault)
    problem = await problem_of(models, at(stub, wire), streamed)
    assert type(problem) is kind, problem
    assert len(stub.requests) == 1
    if "limit" in what:
        assert "max_tokens" in str(problem)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(cut_after=2), ModelFailed),
        (Fault(cut_after=0), ModelFailed),
        (Fault(cut_after=2, politely=True), ModelFailed),
        (Fault(cut_after=2, status=500, politely=True), ModelFailed),
        (Fault(cut_after=2, status=429, politely=True), ModelBusy),
    ],
    ids=["cut", "cut at once", "ended early", "broken off", "became busy"],
)
async def test_stream_that_is_cut_is_no_reply(
    stub: StubLlm, models: Models, wire: Case, fault: Fault, kind: type[OperatorError]
) -> None:
    stub.rule("Hello", LONG, fault=fault)
    problem = await problem_of(models, at(stub, wire), streamed=True)
    assert type(problem) is kind, problem
    assert problem.__cause__ is None, "the text of an SDK's error may repeat the key"
    assert len(stub.requests) == 1


async def test_refusal_and_length_are_said_with_the_reply(
    stub: StubLlm, models: Models, wire: Case, streamed: bool
) -> None:
    stub.rule("Hello", "I cannot.", times=1, fault=Fault(refusal=True))
    stub.rule("Hello", "", times=1, fault=Fault(refusal=True))
    stub.rule("Hello", "I begin", fault=Fault(length=True))
    replies = [(await ask(models, at(stub, wire), asking(), streamed))[0] for _ in range(3)]
    assert [(reply.text, reply.stop) for reply in replies] == [
        ("I cannot.", "refusal"),
        ("", "refusal"),
        ("I begin", "length"),
    ]


async def test_silence_ends_at_the_time_limit(stub: StubLlm, models: Models, wire: Case, streamed: bool) -> None:
    stub.rule("Hello", fault=Fault(hang_s=30))
    started = monotonic()
    problem = await problem_of(models, at(stub, wire, timeout_seconds=0.3), streamed)
    assert type(problem) is ModelFailed
    assert "0.3 s" in str(problem)
    assert monotonic() - started < 10


async def test_outage_is_told_and_over_when_the_server_is_back(
    stub: StubLlm, models: Models, wire: Case, streamed: bool
) -> None:
    await ask(models, at(stub, wire), asking(), streamed)
    stub.stop()
    problem = await problem_of(models, at(stub, wire), streamed)
    assert type(problem) is ModelUnavailable, problem
    assert stub.url in str(problem)
    stub.start()
    reply, _ = await ask(models, at(stub, wire), asking(), streamed)
    assert reply.text == "OK"


async def test_no_error_holds_a_key(stub: StubLlm, models: Models, case: Case, streamed: bool) -> None:
    own = [secret for secret in SECRETS if secret in case.authorization]
    own += [KEYS["AWS_SECRET_ACCESS_KEY"], KEYS["AWS_SESSION_TOKEN"]] if case.provider == "bedrock" else []
    for fault in (Fault(status=401), Fault(status=500, message=" ".join(SECRETS)), Fault(drop=True)):
        stub.reset()
        stub.rule("Hello", fault=fault)
        problem = await problem_of(models, at(stub, case), streamed)
        shown = "".join(traceback.format_exception(problem)) + repr(problem) + repr(problem.details)
        assert problem.__cause__ is None, "the text of an SDK's error may repeat the key"
        assert not [secret for secret in own if secret in shown]


async def test_no_log_holds_a_key_or_a_prompt(
    stub: StubLlm, models: Models, wire: Case, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stub.rule("words of the prompt", "words of the reply")
    await ask(models, at(stub, wire), asking(said("words of the prompt")), streamed)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert not [text for text in (*SECRETS, "words of the prompt", "words of the reply") if text in logged]


async def test_cancelled_request_leaves_at_once(stub: StubLlm, models: Models, wire: Case, streamed: bool) -> None:
    stub.rule("Hello", fault=Fault(hang_s=30))
    asked = asyncio.create_task(ask(models, at(stub, wire, timeout_seconds=1.5), asking(), streamed))
    while not stub.requests:
        await asyncio.sleep(0.01)
    started = monotonic()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert monotonic() - started < 1


async def test_requests_to_one_endpoint_share_a_connection(stub: StubLlm, models: Models, wire: Case) -> None:
    for _ in range(3):
        await ask(models, at(stub, wire), asking())
    assert len({request.connection for request in stub.requests}) == 1


async def test_closed_models_can_be_asked_again(stub: StubLlm, models: Models, wire: Case) -> None:
    await ask(models, at(stub, wire), asking())
    await models.close()
    reply, _ = await ask(models, at(stub, wire), asking())
    assert reply.text == "OK"


# -- which model is asked


async def test_next_model_replies_when_one_is_down_busy_or_fails(stub: StubLlm, models: Models) -> None:
    stub.rule(lambda r: r.model == "busy", fault=Fault(status=429))
    stub.rule(lambda r: r.model == "broken", fault=Fault(status=500))
    dead = ModelSettings(provider="ollama", model="dead", host="http://127.0.0.1:9")
    keyless = ModelSettings(provider="bedrock", model="x")
    models = Models({key: value for key, value in KEYS.items() if "AWS" not in key}, ModelSettings())
    busy, broken, fine = (at(stub, CASES["openai"]).model_copy(update={"model": m}) for m in ("busy", "broken", "fine"))
    reply, _ = await ask(models, [dead, keyless, busy, broken, fine], asking())
    assert reply.usage.model == "fine"
    assert [request.model for request in stub.requests] == ["busy", "broken", "fine"]
    await models.close()


async def test_when_all_fail_the_one_most_worth_waiting_for_is_raised(stub: StubLlm, models: Models) -> None:
    stub.rule(lambda r: r.model == "long", fault=Fault(status=429, headers={"retry-after": "36000"}))
    stub.rule(lambda r: r.model == "short", fault=Fault(status=529, headers={"retry-after": "3"}))
    stub.rule(lambda r: r.model == "broken", fault=Fault(status=500))
    stub.rule(lambda r: r.model == "never", fault=Fault(status=400))
    openai = at(stub, CASES["openai"])
    settings = [openai.model_copy(update={"model": name}) for name in ("long", "broken", "short", "never")]
    problem = await problem_of(models, settings)
    assert isinstance(problem, ModelBusy)
    assert problem.retry_after == 3.0
    for name in ("long", "broken", "short", "never"):
        assert f"openai:{name}" in str(problem)
    only_failures = await problem_of(models, [settings[1], settings[3]])
    assert type(only_failures) is ModelFailed


async def test_refusal_of_the_request_ends_the_walk(stub: StubLlm, models: Models) -> None:
    stub.rule(lambda r: r.model == "never", fault=Fault(status=400))
    openai = at(stub, CASES["openai"])
    problem = await problem_of(models, [openai.model_copy(update={"model": "never"}), openai])
    assert type(problem) is ModelRefused
    assert [request.model for request in stub.requests] == ["never"]


async def test_without_models_the_default_is_asked(stub: StubLlm) -> None:
    environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": f"{stub.url}/"}
    models = Models(environ, ModelSettings(temperature=0.2))
    reply = await models.complete([], asking())
    await models.close()
    assert (reply.usage.provider, reply.usage.model) == ("anthropic", "claude-sonnet-5-5")
    assert stub.requests[0].body["temperature"] == 0.2


BLOCKS = """
llm_config:
  provider: openai
  model: gpt-4
  temperature: 0.7
---
llm_config:
  provider: anthropic
  model: claude-3-sonnet-20240229
  max_tokens: 4096
---
llm_config:
  provider: bedrock
  model: anthropic.claude-3-sonnet-20240229-v1:0
  region: us-east-1
---
llm_config:
  provider: ollama
  model: llama2
  host: http://localhost:11434
"""
"""The README's blocks of R, letter for letter."""


@pytest.mark.parametrize(
    ("number", "wire_name", "path"),
    [
        (0, "openai", "/v1/chat/completions"),
        (1, "anthropic", "/v1/messages"),
        (2, "invoke", "/model/anthropic.claude-3-sonnet-20240229-v1:0/invoke"),
        (3, "openai", "/v1/chat/completions"),
    ],
)
async def test_documented_llm_config_reaches_its_own_wire_format(
    stub: StubLlm, number: int, wire_name: str, path: str
) -> None:
    block = list(yaml.safe_load_all(BLOCKS))[number]["llm_config"]
    if "host" in block:
        block["host"] = block["host"].replace("localhost:11434", f"localhost:{stub.port}")
    environ = KEYS | {
        "OPENAI_API_BASE_URL": f"{stub.url}/v1",
        "ANTHROPIC_BASE_URL": stub.url,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": stub.url,
    }
    models = Models(environ, ModelSettings())
    reply, _ = await ask(models, ModelSettings.model_validate(block), asking())
    await models.close()
    (request,) = stub.requests
    assert (reply.text, request.wire, request.path, request.model) == ("OK", wire_name, path, block["model"])
    if "region" in block:
        assert f"/{block['region']}/bedrock/" in request.headers["authorization"]
    assert request.body.get("temperature") == block.get("temperature")
    if wire_name in ("anthropic", "invoke"):
        assert request.body["max_tokens"] == 4096


async def test_same_task_over_anthropic_and_an_openai_compatible_server_differs_in_the_environment_alone(
    stub: StubLlm,
) -> None:
    stub.rule("Hello", lambda request: f"{request.last} {request.system}")
    anthropic = Models({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": stub.url}, ModelSettings(provider="anthropic"))
    compatible = Models(
        {"ANTHROPIC_API_KEY": "your_api_key_here", "LLM_BASE_URL": f"{stub.url}/api/paas/v4/"},
        ModelSettings(provider="openai-compatible", model="glm-4"),
    )
    texts = []
    for models in (anthropic, compatible):
        texts.append((await models.complete([], asking(system="Be brief."))).text)
        await models.close()
    assert texts == ["Hello? Be brief."] * 2
    first, second = stub.requests
    assert (first.path, second.path) == ("/v1/messages", "/api/paas/v4/chat/completions")
    assert second.model == "glm-4"
    assert second.headers["authorization"] == "Bearer your_api_key_here"


async def test_variables_of_openrouter_lead_to_it(stub: StubLlm) -> None:
    environ = {
        "OPENROUTER_API_KEY": "sk-or-k",
        "OPENAI_API_BASE_URL": f"{stub.url}/api/v1",
        "OPENAI_MODEL": "meta-llama/llama-3-70b",
    }
    models = Models(environ, ModelSettings())
    await models.complete([], asking())
    await models.close()
    (request,) = stub.requests
    assert (request.path, request.model) == ("/api/v1/chat/completions", "meta-llama/llama-3-70b")
    assert request.headers["authorization"] == "Bearer sk-or-k"


async def test_bedrock_takes_a_bearer_token_too(stub: StubLlm, streamed: bool) -> None:
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "bearer-7f3a", "AWS_REGION": "eu-central-1"}
    models = Models(environ, ModelSettings())
    for name in ("bedrock", "bedrock-llama"):
        await ask(models, at(stub, CASES[name]), asking(), streamed)
    await models.close()
    assert [request.headers["authorization"] for request in stub.requests] == ["Bearer bearer-7f3a"] * 2


async def test_nothing_is_taken_from_the_environment_of_the_process(
    stub: StubLlm, models: Models, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-the-process")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.setenv(name, "of-the-process")
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await ask(models, at(stub, case), asking())
    (request,) = stub.requests
    assert "of-the-process" not in json.dumps(request.headers)
    assert case.authorization in request.headers["authorization"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"])
async def test_own_address_is_never_asked(stub: StubLlm, name: str) -> None:
    models = Models(KEYS, ModelSettings(), own_url=f"http://127.0.0.1:{stub.port}")
    own = ModelSettings(provider="vllm", model="agent", api_base=f"http://{name}:{stub.port}/v1")
    problem = await problem_of(models, own)
    assert type(problem) is ModelRefused
    assert "holdfast's own API" in str(problem)
    assert not stub.requests


async def test_row_of_the_project_is_a_provider_like_any_other(stub: StubLlm) -> None:
    row = {"wire": "openai", "base_url": f"{stub.url}/gateway", "keys": ["GATEWAY_KEY"], "model": "house"}
    models = Models({"GATEWAY_KEY": "g"}, ModelSettings(), {"gateway": row})
    reply, _ = await ask(models, ModelSettings(provider="gateway"), asking())
    await models.close()
    assert (reply.usage.provider, reply.usage.model, reply.usage.cost) == ("gateway", "house", None)
    assert stub.requests[0].path == "/gateway/chat/completions"


async def test_concurrency_and_rate_of_a_row_hold(stub: StubLlm) -> None:
    stub.rule("Hello", delay_s=0.1)
    limits = {"ollama": {"concurrency": 2}, "vllm": {"requests_per_minute": 300}}
    models = Models({}, ModelSettings(), limits)
    spans = []
    for case in (CASES["ollama"], CASES["vllm"]):
        await ask(models, at(stub, case), asking())
        stub.requests.clear()
        await asyncio.gather(*(ask(models, at(stub, case), asking()) for _ in range(4)))
        spans.append(stub.requests[-1].at - stub.requests[0].at)
    await models.close()
    two_at_a_time, one_each_200_ms = spans
    assert two_at_a_time > 0.08
    assert one_each_200_ms > 0.5


async def test_without_a_key_the_offline_provider_replies(stub: StubLlm) -> None:
    models = Models({}, ModelSettings(model="glm-4"), own_url=stub.url)
    reply = await models.complete([], replace(asking(), purpose="answer"))
    await models.close()
    assert (reply.usage.provider, reply.usage.model, reply.usage.cost) == ("offline", "offline", Decimal(0))
    assert not stub.requests


async def test_missing_key_or_package_is_named_and_nothing_is_sent(stub: StubLlm) -> None:
    models = Models({}, ModelSettings())
    for provider, variable in (
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("openai", "OPENAI_API_KEY"),
        ("glm", "ZHIPUAI_API_KEY"),
        ("bedrock", "AWS_REGION"),
        ("openai-compatible", "LLM_BASE_URL"),
        ("vllm", "DEFAULT_LLM_MODEL"),
        ("claude", "anthropic"),
    ):
        problem = await problem_of(models, ModelSettings(provider=provider))
        assert type(problem) is NoModel
        assert variable in str(problem)
    assert not stub.requests


def test_importing_the_table_loads_no_sdk() -> None:
    code = "import sys, providers.table; print(*{'anthropic', 'openai', 'boto3', 'genai_prices', 'httpx2'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_stub_counts_no_list_of_models_as_a_request(stub: StubLlm) -> None:
    assert httpx2.get(f"{stub.url}/v1/models").json()["data"][0]["id"] == "stub"
    assert stub.requests == []


def test_rule_that_is_used_up_leaves_the_word_to_the_next(stub: StubLlm) -> None:
    first = stub.rule(r"a.c", "first", times=1)
    second = stub.rule(lambda request: isinstance(request, Request), "second")
    body = {"model": "m", "messages": [{"role": "user", "content": "abc"}]}
    replies = [httpx2.post(f"{stub.url}/chat/completions", json=body).json() for _ in range(3)]
    assert [reply["choices"][0]["message"]["content"] for reply in replies] == ["first", "second", "second"]
    assert (first.used, second.used) == (1, 2)
