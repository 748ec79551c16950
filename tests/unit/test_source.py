import ast
import textwrap
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.program import MAX_SOURCE_BYTES
from holdfast.source import Problem, Source, check, describe, normalise

SKILLS = ["ask", "code-analysis", "list-files", "web-search"]


def run(source: Source) -> dict[str, Any]:
    """The names that a program leaves, compiled the way the guest does."""
    tree = ast.parse(source.source)
    ast.increment_lineno(tree, source.first_line - 1)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(tree, "<program>", "exec"), names)
    return names


def problems(text: str) -> list[Problem]:
    return check(normalise(text), SKILLS)


PLAIN = 'text = """\n    four\n  two\r\n\ttab\n"""\nresult = [\n  1,\n      2,\n]\n'


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "async def main():\n    return 1\n",
        "import asyncio\nasync def main():\n    return 1\nif __name__ == '__main__':\n    asyncio.run(main())\n",
        "result = await skills.web_search(query='x')\n",
        "result = {\n'a': 1,\n        'b': {\n    'c': 2}}\n",
        "result = '```python'\n",
        "x = 1\r\ny = 2\r\n",
        "# nothing but ``` in it\nresult = 1",
    ],
)
def test_text_that_compiles_is_kept_byte_for_byte(text: str) -> None:
    assert normalise(text) == Source(text, 1)
    assert problems(text) == []


@pytest.mark.parametrize(
    ("before", "after", "first_line"),
    [
        ("```python\n", "\n```", 2),
        ("```\n", "\n```\n\n", 2),
        ("\n\n  ```py\n", "\n  ```  ", 4),
        ("~~~python\n", "\n~~~", 2),
        ("````python\n", "\n````", 2),
        ("<code>\n", "\n</code>", 2),
        ("<code>", "</code>\n", 1),
        ('<CODE lang="python">\n', "</CODE>", 2),
        ("<code>\n```python\n", "\n```\n</code>", 3),
        ("\ufeff```python\r\n", "\r\n```\r\n", 2),
    ],
)
def test_one_surrounding_fence_is_taken_off_and_lines_keep_their_numbers(
    before: str, after: str, first_line: int
) -> None:
    body = "x = 1\nresult = x / 0"
    source = normalise(before + body + after)
    assert source.source.strip() == body
    assert source.first_line == first_line
    with pytest.raises(ZeroDivisionError) as raised:
        run(source)
    assert traceback.extract_tb(raised.tb)[-1].lineno == first_line + 1


def test_bom_is_dropped() -> None:
    assert normalise("\ufeffresult = 1") == Source("result = 1", 1)


def test_text_indented_as_a_whole_runs_with_its_strings_and_line_numbers_unchanged() -> None:
    text = textwrap.indent(PLAIN, "    ").replace("\n      four", "\n  four") + "    1 / 0\n"
    source = normalise(text)
    assert source == Source(f"if True:\n{text}", 0)
    with pytest.raises(ZeroDivisionError) as raised:
        run(source)
    assert traceback.extract_tb(raised.tb)[-1].lineno == text.count("\n")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("x = 1\n    result = x + 1\n", 2),
        ("def main():\n            return 3\n\n        result = main()", 3),
        ("\n\n  # a comment\n  result = 4", 4),
        ("\tx = 5\n\tresult = x", 5),
        ("if True:\n      x = 6\n    result = x", 6),
        ("```python\n    x = 7\n    result = x\n```", 7),
    ],
)
def test_odd_indentation_is_mended(text: str, result: int) -> None:
    assert problems(text) == []
    assert run(normalise(text))["result"] == result


def test_first_line_that_lost_its_indent_keeps_its_number() -> None:
    source = normalise("\n\nx = 0\n    result = 1 / x")
    with pytest.raises(ZeroDivisionError) as raised:
        run(source)
    assert traceback.extract_tb(raised.tb)[-1].lineno == 4


@given(st.text(alphabet="ab \n\t'\"`#:=()", max_size=60))
def test_normalise_takes_any_text_and_again_changes_nothing(text: str) -> None:
    once = normalise(text)
    if not check(once, SKILLS):
        assert normalise(once.source).source == once.source


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters='\0\r"\\'), max_size=40))
def test_strings_survive_mending_byte_for_byte(content: str) -> None:
    source = normalise(f'    result = """{content} """\n    x = 1')
    assert source.first_line == 0
    assert run(source)["result"] == f"{content} "


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("x = = 1", 1, "invalid syntax in 'x = = 1'"),
        ("x = 1\nprint('a'", 2, "was never closed"),
        ("x = 1\nreturn x", 2, "leave its answer in the variable `result`"),
        ("def f():\n    await g()", 2, "async def"),
        ("if x:\ny = 1", 2, "indent each block"),
        ("x = 1\nx = '\0'", 2, "null byte"),
        ("x = 1\nx = '\ud800'", 2, "surrogate"),
        ("", 1, "empty"),
        ("# only a comment", 1, "empty"),
        ("```python\nx = 1\ny = (\n```", 3, "was never closed"),
        ("(" * 150 + "1" + ")" * 150 + "\n" + "-" * 50_000 + "1", 1, "nested too deeply"),
        ("here is your program: it prints\nprint(1)", 1, "invalid syntax"),
    ],
)
def test_text_that_cannot_run_is_refused_with_its_line_and_what_to_do(text: str, line: int, says: str) -> None:
    found = problems(text)
    assert [problem.line for problem in found] == [line]
    assert says in found[0].message


def test_a_program_may_have_256_kib_and_not_a_byte_more() -> None:
    text = "result = '" + "ä" * ((MAX_SOURCE_BYTES - 11) // 2) + "'"
    padded = text + " " * (MAX_SOURCE_BYTES - len(text.encode()))
    assert problems(padded) == []
    assert "262145 bytes; 262144 are allowed" in problems(padded + " ")[0].message


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a = 1\nx = skills.web_serch(query='q')", [(2, 5)]),
        ("s = 'äöü'; skills.nope(); skills.nada()", [(1, 12), (1, 27)]),
        ("f = skills.nope", [(1, 5)]),
        ("import skills\nskills.nope()", [(2, 1)]),
        ("import skills as s\ns.nope()", [(2, 1)]),
        ("from skills import web_search, nope", [(1, 1)]),
        ("executor.execute('nope', {})", [(1, 18)]),
        ("executor.execute(skill_name='nope', input_data={})", [(1, 29)]),
        ("executor.execute_batch([{'skill_name': 'web-search'}, {'skill_name': 'nope'}])", [(1, 70)]),
        ("    x = 1\n    skills.nope()", [(2, 5)]),
    ],
)
def test_unknown_skill_is_found_where_it_is_named(text: str, places: list[tuple[int, int]]) -> None:
    assert [(problem.line, problem.column) for problem in problems(text)] == places


@pytest.mark.parametrize(
    "text",
    [
        "skills.web_search(); skills.code_analysis(); skills.ask(); skills.sleep()",
        "executor.execute('web-search', {}); executor.execute('web_search', {})",
        "executor.execute(name, {}); executor.other('nope'); executor.execute()",
        "skills = ['a']\nskills.append('b')",
        "def f(skills):\n    return skills.count(1)\nf([])",
        "for skills in []:\n    skills.pop()",
        "from mine import skills\nskills.nope()",
        "import mine as executor\nexecutor.execute('nope')",
        "with open('x') as skills:\n    skills.read()",
        "try:\n    pass\nexcept OSError as skills:\n    skills.nope()",
        "match x:\n    case [*skills]:\n        skills.pop()",
        "skills.__doc__",
        "from skills import *",
        "from skills import SkillError",
        "from .skills import nope",
        "x.skills.nope()",
        r"import re; re.compile('\d')",
    ],
)
def test_known_and_shadowed_names_raise_no_false_alarm(text: str) -> None:
    assert problems(text) == []


def test_unknown_skill_message_guesses_and_lists() -> None:
    assert describe(problems("x = 1\nskills.web_serch()")) == (
        "line 2, column 1: no skill named 'web_serch'; did you mean 'web-search'? "
        "Known: 'ask', 'code-analysis', 'list-files', 'web-search'"
    )


def test_a_sign_that_ends_no_line_for_python_moves_no_column() -> None:
    (problem,) = problems("x = 'a\u2028b\x0cc'\ny = 'é'; skills.ecco(i=1)")
    assert (problem.line, problem.column) == (2, 10)
