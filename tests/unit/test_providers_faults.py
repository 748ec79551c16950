"""Retry-After in all its spellings, and the words of an error body."""

from email.utils import formatdate
from typing import Any

import pytest

from holdfast.contracts.model import ModelSettings
from holdfast.errors import ModelBusy, ModelFailed, ModelRefused
from providers.endpoint import endpoint
from providers.faults import Asked, retry_after, said_in
from providers.rows import rows

NOW = 1_800_000_000.0
KEY = "sk-ant-hush"
ASKED = Asked(
    endpoint("anthropic", rows()["anthropic"], ModelSettings(), {"ANTHROPIC_API_KEY": KEY}, is_default=True),
    "claude-x",
)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "36000"}, 36000.0),
        ({"retry-after": "-5"}, 0.0),
        ({"Retry-After-Ms": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Mon, 99 Foo 2026 99:99:99 GMT"}, None),
        ({}, None),
    ],
)
def test_wait_is_read_in_every_spelling(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"type": "error", "error": {"type": "api_error", "message": "Overheated"}}, "Overheated"),
        ({"message": "Slow down"}, "Slow down"),
        ({"error": "model not found"}, "model not found"),
        ({"detail": "Not here"}, "Not here"),
        ("<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        ("", "it said nothing"),
        (None, "it said nothing"),
        ({"error": {"message": ""}}, "{'message': ''}"),
    ],
)
def test_words_of_a_provider_are_found_in_its_body(body: Any, words: str) -> None:
    assert said_in(body) == words


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}},
        {"code": "insufficient_quota", "message": "You exceeded your quota"},
        {"error": {"code": "1113", "message": "balance"}},
    ],
)
def test_account_without_credit_is_not_waited_for(body: dict[str, Any]) -> None:
    problem = ASKED.status(429, {"retry-after": "3"}, body)
    assert type(problem) is ModelRefused
    assert "no credit" in str(problem)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 599])
def test_fault_of_the_server_counts_as_a_failure(status: int) -> None:
    assert type(ASKED.status(status, {}, {})) is ModelFailed


def test_status_travels_with_the_error() -> None:
    busy = ASKED.status(529, {"retry-after": "7"}, {"error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert isinstance(busy, ModelBusy)
    assert (busy.retry_after, busy.details) == (7.0, {"http_status": 529})
    assert str(busy) == "anthropic:claude-x is busy (529): Overloaded"


def test_key_in_a_message_is_hidden_also_when_the_message_is_cut_within_it() -> None:
    for padding in (0, 490, 495):
        text = str(ASKED.status(400, {}, "x" * padding + KEY + " " + "y" * 600))
        assert KEY not in text
        assert "sk-ant" not in text
        assert len(text) < 700


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "the request exceeds the available context size, try increasing it",
    ],
)
def test_a_prompt_that_is_too_long_says_which_setting_makes_it_fit(said: str) -> None:
    found = ASKED.status(400, {}, {"error": {"message": said}})
    assert isinstance(found, ModelRefused)
    assert "set llm_config.context_tokens" in str(found).lower()
    assert "context_tokens" not in str(ASKED.status(400, {}, {"error": {"message": "max_tokens is too large"}}))
