"""Tool calls instead of a program: read in every form that the older systems took."""

import json
import time

import pytest

from activities.toolcalls import ToolCall, Written, as_program, read_calls, written_calls
from holdfast.source import check, normalise

SKILLS = ["list-files", "write-file", "echo"]
CODE = "def f(x):\n    return \"it's\" + '\"' + x\n"


def only(text: str) -> ToolCall:
    read = read_calls(text, SKILLS)
    assert read.problems == ""
    [call] = read.calls
    return call


@pytest.mark.parametrize(
    "text",
    [
        '<tool name="list_files">{"path": "."}</tool>',
        "I look.\n<tool name='list-files'>\n{'path': '.'}\n</tool>",
        '{"name": "list_files", "arguments": {"path": "."}}',
        '{"tool_calls": [{"id": "1", "type": "function", "function": {"name": "list_files", "arguments": "{\\"path\\": \\".\\"}"}}]}',
        'I look at the folder:\n\n    list_files(path=".")\n',
    ],
)
def test_one_call_is_read_in_every_form(text: str) -> None:
    assert only(text) == ToolCall("list-files", kwargs={"path": "."})


def test_positional_arguments_stay_positional() -> None:
    assert only('list_files(".")') == ToolCall("list-files", args=["."])


def test_code_of_many_lines_and_nested_quotes_survive() -> None:
    body = json.dumps({"path": "f.py", "content": CODE})
    assert only(f'<tool name="write_file">{body}</tool>').kwargs["content"] == CODE
    loose = '<tool name="write_file">{"path": "f.py", "content": "a\nb"}</tool>'
    assert only(loose).kwargs["content"] == "a\nb"
    assert only(f"write_file('f.py', {CODE!r})").args == ["f.py", CODE]
    assert only('write_file(\n    "f.py",\n    """a) b\nc""",\n)').args == ["f.py", "a) b\nc"]


def test_words_of_python_in_json_are_understood() -> None:
    call = only('<tool name="echo">{"a": True, "b": None, "c": False}</tool>')
    assert call.kwargs == {"a": True, "b": None, "c": False}
    assert only('<tool name="echo">{"a": "it\\\'s"}</tool>').kwargs == {"a": "it's"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('<tool name="echo">{"a": }</tool>', "no JSON object"),
        ('<tool name="ecco">{}</tool>', "did you mean 'echo'"),
        ("echo(a=b)", "not all literals"),
        ('echo("a', "not complete"),
    ],
)
def test_what_is_wrong_is_said_to_the_model(text: str, told: str) -> None:
    read = read_calls(text, SKILLS)
    assert read.calls == []
    assert told in read.problems


@pytest.mark.parametrize("text", ["", "I would call echo.", '{"selected_skills": ["echo"]}', "print(1)"])
def test_other_text_has_no_calls(text: str) -> None:
    read = read_calls(text, SKILLS)
    assert (read.calls, read.problems) == ([], "")


def test_many_calls_become_one_program_that_makes_them_at_once() -> None:
    read = read_calls('<tool name="echo">{"i": 1}</tool><tool name="list_files">{"path": "\'"}</tool>', SKILLS)
    source = as_program(read.calls)
    assert "asyncio.gather" in source
    assert check(normalise(source), SKILLS) == []


@pytest.mark.parametrize("text", ["echo(\n" * 150_000, "echo(')')\n" * 100_000, '<tool name="x">' * 70_000])
def test_a_hostile_megabyte_is_read_in_a_moment(text: str) -> None:
    began = time.process_time()
    read = read_calls(text, ["echo"])
    assert time.process_time() - began < 10
    assert len(read.calls) <= 100 and len(read.problems) < 10_000


def test_more_unknown_names_than_a_model_reads_are_told_in_part() -> None:
    text = json.dumps({"tool_calls": [{"name": f"ecco{k}", "arguments": {}} for k in range(50_000)]})
    assert len(read_calls(text, ["echo"]).problems) < 10_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<tool name="rm">{}</tool>', [Written("rm", "{}")]),
        ('<tool name="echo">{"i": }</tool>', [Written("echo", '{"i": }')]),
        ('{"name": "echo", "arguments": {"i": 1}}', [Written("echo", {"i": 1})]),
        ("Now:\n```python\necho(1)\necho(i=2)\n```", [Written("echo", {}, [1]), Written("echo", {"i": 2})]),
        ("echo(1)\nThat is how it is called.", []),
        ("rm(1)", []),
        ("echo(1", []),
        ("The answer is 7.", []),
    ],
)
def test_reply_of_a_loop_is_calls_or_the_answer(text: str, expected: list[Written]) -> None:
    assert written_calls(text, SKILLS) == expected


def test_call_whose_arguments_are_computed_is_told_what_is_wrong_with_it() -> None:
    [problem] = written_calls("echo(1 + x)", SKILLS)
    assert isinstance(problem, str) and "not all literals" in problem
