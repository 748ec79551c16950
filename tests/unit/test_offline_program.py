"""Programs that the offline provider writes: they compile, pass the check, and hold the task's text as data only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.source import Source, check
from providers.offline.choose import choose
from providers.offline.program import write
from tests.support.offline_skills import put_skill, skills
from tests.unit.test_offline_choose import CHOICES

FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
NASTY = [
    "''' + __import__('os').system('id') + '''",
    '""" + open("/etc/passwd").read() + """',
    "a\\",
    "a\\'); skills.write_file(path='x', content='y') #",
    "one\ntwo\r\nthree\u2028four\x00five\x1b[31m",
    "{1/0} %s {skills} `ls`",
    "```\nimport os\n```",
    "\udc80 \u202e ä 🙂",
]


def tree(source: str) -> ast.AST:
    found: ast.AST = compile(source, "<program>", "exec", FLAGS)
    return found


def shape(source: str) -> str:
    """The program without the values of its strings."""
    program = tree(source)
    for node in ast.walk(program):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(program)


def strings(source: str) -> Iterator[str]:
    return (n.value for n in ast.walk(tree(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str))


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("task", [task for task, _ in CHOICES])
def test_the_program_of_each_task_passes_the_check_with_the_planned_skills(task: str, careful: bool) -> None:
    choice = choose(task, skills())
    assert check(Source(write(choice, careful)), choice.names) == []


def test_a_program_holds_only_what_it_needs() -> None:
    source = write(choose("Find 'TODO' in src", skills()))
    assert "find_in_files(" in source
    assert "code_analysis(" not in source
    assert len(source.splitlines()) < 160


def test_the_same_task_has_the_same_program() -> None:
    assert len({write(choose("Review src for bugs and security problems", skills())) for _ in range(3)}) == 1


def names(source: str) -> set[str]:
    nodes = list(ast.walk(tree(source)))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }


@pytest.fixture(scope="module")
def ours() -> set[str]:
    """Every name that programs have when their tasks are plain."""
    return {name for task, _ in CHOICES for name in names(write(choose(task, skills())))}


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize(
    "task",
    ["Find “{}” in src", "Review “{}/x y.py” and src", "Review src {}", "Write “{}” to a.txt", "Ask “{}”"],
)
def test_text_of_the_task_stays_text(task: str, text: str, ours: set[str]) -> None:
    choice = choose(task.format(text), skills())
    if choice.steps:
        source = write(choice)
        assert check(Source(source), choice.names) == []
        assert names(source) <= ours


@pytest.mark.parametrize("text", [text for text in NASTY if "\udc80" not in text])
def test_a_quoted_text_reaches_the_call_as_it_is(text: str) -> None:
    source = write(choose(f"Find “{text}” in src", skills()))
    assert text in set(strings(source))


@settings(deadline=None)
@given(st.text())
def test_no_quoted_text_changes_the_program_around_it(text: str) -> None:
    quoted = re.sub("[“”/]", "", text)
    choice = choose(f"Ask “{quoted} ?”", skills())
    assert [step.filled.arguments for step in choice.steps] == [{"text": f"{quoted} ?"}]
    assert shape(write(choice)) == shape(write(choose("Ask “plain”", skills())))


PIECES = [
    *[
        "review",
        "find",
        "'x",
        "y'",
        "src",
        "a/b.py",
        "*.csv",
        "and",
        "write",
        "save",
        "to",
        "out.md",
        "security",
        "data",
        "7",
        "key=1",
        "files",
        "summarize",
        "“",
        "'",
        "`",
        "search",
        "for",
    ],
    "'a b.txt'",
    "https://a.example/b",
    "\n",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.sets(st.sampled_from([skill.name for skill in skills()])))
def test_any_words_over_any_skills_give_a_program_that_passes_or_none(words: list[str], permitted: set[str]) -> None:
    usable = tuple(skill for skill in skills() if skill.name in permitted)
    choice = choose(" ".join(words), usable)
    if choice.steps:
        assert set(choice.names) <= permitted
        assert check(Source(write(choice)), choice.names) == []


def test_paths_with_blanks_and_umlauts_reach_the_program_as_they_are() -> None:
    source = write(choose("Review 'mein Ordner/Größe & Co/übersicht.py' and \"zwei drei/\"", skills()))
    assert {"mein Ordner/Größe & Co/übersicht.py", "zwei drei"} <= set(strings(source))


TALLY = """
name: tally
version: 1.0.0
description: Tallies votes.
effect: pure
input_schema: {type: object, properties: {votes: {type: array}}}
examples:
  - why: Tally the votes of two rooms
    program: |
      import asyncio
      one, two = await asyncio.gather(skills.tally(votes=["a"]), skills.tally(votes=["b"]))
      result = {"one": one, "two": two}
"""


def test_an_example_that_is_a_program_is_used_as_it_stands(tmp_path: Path) -> None:
    put_skill(tmp_path, "tally", TALLY, "def run(votes=()):\n    return len(votes)\n")
    choice = choose("Tally the votes", skills(tmp_path))
    source = write(choice)
    assert check(Source(source), choice.names) == []
    assert 'skills.tally(votes=["a"]), skills.tally(votes=["b"])' in source
    assert "example 1 (Tally the votes of two rooms)" in source
