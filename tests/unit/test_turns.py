"""Turns of a loop, read: which call a reply makes, and what a model gets to see."""

import json
from pathlib import Path
from typing import Any

import pytest

from activities import notes
from activities.toolcalls import Written
from activities.turns import SHOWN_CHARACTERS, _Call, _Granted, _in_words, _native, _unused, cut
from holdfast.blobs import BlobStore
from holdfast.catalogue import load
from holdfast.contracts.llm import Brief
from holdfast.contracts.model import Usage
from holdfast.contracts.principal import TaskRef
from holdfast.errors import SkillInputError, UnknownSkill
from holdfast.ids import new_task_id, new_trace_id
from providers.base import Called, ModelReply
from tests.support.stack import PROJECT, ROOT

REPLY = ModelReply("", Usage(provider="p", model="m"))
CUT = ModelReply("", Usage(provider="p", model="m"), stop="length")


@pytest.fixture
def granted(tmp_path: Path) -> _Granted:
    blobs = BlobStore(tmp_path)
    catalogue = load(PROJECT, ROOT / "skills" / "builtin").catalogue
    task = TaskRef(task_id=new_task_id(), trace_id=new_trace_id())
    brief = Brief(task=task, catalogue=catalogue.save(blobs), skills=["echo", "once-note"])
    return _Granted(blobs, brief)


def test_tools_are_what_is_granted_by_names_that_every_provider_takes(granted: _Granted) -> None:
    tools = {tool.name: tool for tool in granted.tools()}
    assert set(tools) == {"echo", "once_note"}
    assert tools["echo"].schema["type"] == "object"
    assert tools["echo"].schema["required"] == ["i"]
    assert granted.find(_Call("1", "once_note", {})).name == "once-note"


@pytest.mark.parametrize(
    ("name", "says"),
    [("boom", "'boom' is not granted to this task; it may use: 'echo', 'once-note'"), ("ecco", "did you mean 'echo'?")],
)
def test_skill_that_may_not_be_used_is_named_with_what_may(granted: _Granted, name: str, says: str) -> None:
    with pytest.raises(UnknownSkill, match="skill") as caught:
        granted.find(_Call("1", name, {}))
    assert says in str(caught.value)


def test_text_that_is_no_call_keeps_its_problem(granted: _Granted) -> None:
    with pytest.raises(SkillInputError, match="not complete"):
        granted.find(_in_words("this call is not complete", "1"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"i": 1}, {"i": 1}),
        ("{'i': True}", {"i": True}),
        ('{"i": NaN}', '{"i": NaN}'),
        ('{"i": "\\ud800"}', '{"i": "\\ud800"}'),
        ("[1]", "[1]"),
        ('{"i": ' + "[" * 5000 + "]" * 5000 + "}", None),
    ],
)
def test_arguments_are_json_that_can_be_stored_or_their_text(arguments: Any, expected: Any) -> None:
    found = _native(Called("1", "echo", arguments), "1", REPLY).arguments
    assert found == expected if expected is not None else isinstance(found, str)
    json.dumps(found, allow_nan=False).encode()
    assert _in_words(Written("echo", arguments), "1").arguments == found


def test_arguments_that_were_cut_say_why() -> None:
    found = _native(Called("1", "echo", '{"i": "abc'), "1", CUT).arguments
    assert found == '(cut at the model\'s length limit, llm_config.max_tokens) {"i": "abc'


def test_ids_are_used_once_and_have_letters_that_all_providers_take() -> None:
    used: set[str] = set()
    found = [_unused(one, used) for one in ("call_1", "call_1", "", "a b", "x" * 65, "toolu_01")]
    assert found == ["call_1", "call_2", "call_3", "call_4", "call_5", "toolu_01"]


def test_long_answer_keeps_its_beginning_and_its_end() -> None:
    text = "a" * SHOWN_CHARACTERS + "b" * 100
    short = cut(text, lambda _text: "")
    assert len(short) < SHOWN_CHARACTERS + 200
    assert short.startswith("aaa") and short.endswith("b" * 100)
    assert f"100 of {len(text)} characters are not shown" in short
    assert cut("short", lambda _text: "") == "short"


def test_a_long_result_that_can_be_recalled_names_its_handle_and_keeps_it_when_it_is_cut_again() -> None:
    text = "".join(f"{number}, " for number in range(10_000))
    once = cut(text, lambda _text: "a" * 64)
    assert once.startswith(text[:12_000])
    assert once.endswith(text[-4000:])
    assert f'recall(handle="{"a" * 64}", offset=12288) reads on' in once
    twice = notes.cut(once, 400, lambda _text: "b" * 64)
    assert twice.startswith(text[:400])
    assert (
        f'{len(text) - 400} of {len(text)} characters are not shown: recall(handle="{"a" * 64}", offset=400)' in twice
    )


def test_a_result_that_speaks_of_a_cut_text_is_kept_whole_itself() -> None:
    other = notes.Cut("x" * 10, 9000, "a" * 64).text
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return "b" * 64

    short = notes.cut(f"The log says: {other}" + "y" * 2000, 1000, keep)
    assert "b" * 64 in short
    assert [len(text) for text in kept] == [len(f"The log says: {other}") + 2000]
