import sys
import time
from typing import Any

import pytest

from holdfast import typechecker
from holdfast.foundtypes import is_surely_wrong
from holdfast.snapshot import CatalogueSkill
from holdfast.source import check, describe, normalise
from holdfast.specs import SkillSpec
from holdfast.typecheck import check_calls

ECHO = {
    "type": "object",
    "required": ["i"],
    "properties": {
        "i": {"type": "integer"},
        "ms": {"type": "number", "default": 0},
        "tag": {"type": ["string", "null"]},
        "flag": {"type": "boolean", "default": False},
        "checks": {"type": "array", "items": {"type": "string", "enum": ["style", "bugs"]}},
        "where": {"type": "object"},
    },
}
FIND = {
    "type": "object",
    "required": ["pattern", "mode"],
    "additionalProperties": False,
    "properties": {
        "limit": {"type": "integer", "minimum": 1, "default": 10},
        "pattern": {"type": "string", "maxLength": 20},
        "mode": {"enum": ["plain", "regex", 7]},
        "place": {"$ref": "#/$defs/place"},
    },
    "$defs": {"place": {"type": "string", "pattern": "^/"}},
}


def skill(name: str, schema: dict[str, Any]) -> CatalogueSkill:
    names = list(schema.get("properties", {}))
    return CatalogueSkill(
        spec=SkillSpec(name=name, description=name, input_schema=schema, parameters=names), origin="project"
    )


SKILLS = [
    skill("echo", ECHO),
    skill("find-in-files", FIND),
    skill("open-ended", {"type": "object", "additionalProperties": True, "properties": {"a": {"type": "string"}}}),
    skill("anything", {"type": "object"}),
    skill(
        "odd-names", {"type": "object", "properties": {"max-size": {"type": "integer"}, "class": {"type": "string"}}}
    ),
    skill("len", {"type": "object", "properties": {"of": {"type": "string"}}}),
]


def found(text: str) -> str:
    source = normalise(text)
    assert check(source, [each.name for each in SKILLS]) == []
    return describe(check_calls(source, SKILLS))


TAKES = (
    "it takes i: integer, ms: number = 0, tag: string | null = null, flag: boolean = false, "
    'checks: ["style" | "bugs"] = null, where: object = null'
)

WRONG = {
    "r = await skills.echo(i=1, wrong=2)": f"line 1, column 28: skills.echo has no argument 'wrong'; {TAKES}",
    "\nx = skills.echo(i=1, flga=True)": f"line 2, column 22: skills.echo has no argument 'flga'; did you mean 'flag'? {TAKES}",
    "skills.echo()": f"line 1, column 1: skills.echo needs 'i', which is not given; {TAKES}",
    "skills.find_in_files(limit=3)": "needs 'pattern' and 'mode'",
    "skills.echo('one')": "line 1, column 13: skills.echo: argument 'i': found 'one' (string); allowed: integer",
    "skills.echo(i=1.5)": "argument 'i': found 1.5 (number); allowed: integer",
    "skills.echo(1, tag=5)": "argument 'tag': found 5 (integer); allowed: string or null",
    "skills.echo(1, checks='style')": "argument 'checks': found 'style' (string); allowed: array",
    "skills.echo(1, checks=['stile'])": "argument 'checks'[0]: found 'stile'; allowed: one of 'style', 'bugs'",
    "skills.echo(i=None)": "argument 'i': found None (null); allowed: integer",
    "skills.find_in_files(pattern='a', mode='fuzzy')": "argument 'mode': found 'fuzzy'",
    "skills.find_in_files(pattern='x' * 3, mode=7, limit=0)": "argument 'limit': found 0; allowed: at least 1",
    "skills.find_in_files(pattern='x', mode=7, place='a')": "argument 'place': found 'a'; allowed: text that matches '^/'",
    "skills.echo(1, i=2)": "gets 'i' twice",
    "skills.echo(1, 2, None, True, [], {}, 7)": "line 1, column 39: skills.echo takes at most 6 arguments",
    # by the types of variables
    "n = input()\nskills.echo(i=n)": "line 2, column 13: skills.echo: argument 'i': found str; allowed: integer",
    "ids = [str(k) for k in range(3)]\nrs = [await skills.echo(i) for i in ids]": "line 2, column 25: skills.echo: argument 'i': found str",
    "def f(name: str):\n    return skills.echo(i=name)": "found str",
    "import pathlib\nskills.find_in_files(pattern=pathlib.Path('a') / 'b', mode=7)": "argument 'pattern': found Path; allowed: string",
    "tags = {'a', 'b'}\nskills.echo(1, checks=tags)": "argument 'checks': found set[str]",
    "skills.echo(1, where=[1] + [2])": "found list[int]; allowed: object",
    "skills.echo(1, checks=f'{input()}')": "found str",
    # under another name
    "f = skills.echo\nf(1, wrong=2)": "line 2, column 6: skills.echo has no argument 'wrong'",
    "import skills as s\ns.echo(1, wrong=2)": "line 2, column 11: skills.echo has no argument 'wrong'",
    "from skills import echo as e\ne(1, wrong=2)": "line 2, column 6: skills.echo has no argument 'wrong'",
    "echo(1, wrong=2)": "line 1, column 9: skills.echo has no argument 'wrong'",
    # where it stands in the text that was sent
    "é = 'ü'; skills.echo(1, wrong=é)": "line 1, column 25",
    "Here:\n```python\nx = 1\nskills.echo(1, wrong=2)\n```"[6:]: "line 3, column 16",
    "    x = 1\n    skills.echo(1, wrong=2)\n": "line 2, column 20",
    "async def main():\n    a, b = await asyncio.gather(skills.echo(1), skills.echo(2, wrong=1))": "line 2, column 64",
    "try:\n    skills.echo(1, wrong=2)\nexcept ValueError:\n    pass": "has no argument 'wrong'",
    "try:\n    pass\nexcept SkillError:\n    skills.echo(1, wrong=2)": "has no argument 'wrong'",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_call_that_surely_fails_is_found_with_its_place(text: str) -> None:
    assert WRONG[text] in found(text)


def test_all_findings_come_in_the_order_of_lines() -> None:
    text = "b = skills.echo('x', wrong=1)\na = skills.echo()\n"
    assert [row.split(":")[0] for row in found(text).splitlines()] == [
        "line 1, column 17",
        "line 1, column 22",
        "line 2, column 5",
    ]


VALID = [
    "result = await skills.echo(i=1, ms=0.5, tag=None, flag=True, checks=['style'], where={'a': [1]})",
    "result = skills.echo(1, 2, 'tag', False, ('bugs',), {})",
    "r = skills.echo(i=1)\nresult = r['a'][0].b + r.c(1) - r",
    "kw = {'i': 1, 'tag': 'x'}\nresult = skills.echo(**kw)",
    "kw = {'n': 1}\nresult = skills.find_in_files('a', mode='plain', **kw)",
    "args = [1, 2.0, None]\nresult = skills.echo(*args)",
    "result = getattr(skills, 'ec' + 'ho')(wrong=1)",
    "result = [await skills.echo(i=k) for k in range(3)]",
    "result = await asyncio.gather(*(skills.echo(k, ms=k / 2) for k in range(3)))",
    "async def one(k):\n    return await skills.echo(k)\nresult = await asyncio.gather(*map(one, range(3)))",
    "n = 1\nn = 'a' if inputs else 2\nresult = skills.echo(i=n)",
    "d = {'i': '1'}\nresult = skills.echo(i=int(d['i']), tag=d.get('tag'))",
    "d = {'tag': 'x', 'i': 1}\nresult = skills.echo(i=d['i'], tag=d['tag'])",
    "result = skills.echo(i=inputs['a'], ms=inputs.get('b'), tag=inputs)",
    "session['n'] = session.get('n', 0) + 1\nresult = skills.echo(i=session['n'], where=session)",
    "session = 3\nresult = skills.echo(i=session)",
    "i = None\ndef load():\n    global i\n    i = 7\nload()\nresult = skills.echo(i=i)",
    "class Box:\n    i = None\ndef fill(b):\n    b.i = 7\nb = Box()\nb.i = None\nfill(b)\nresult = skills.echo(i=b.i)",
    "box = {'i': None}\nbox['i'] = 'a'\nbox.update(i=1)\nresult = skills.echo(i=box['i'])",
    "def f(i: str | int):\n    return skills.echo(i)\nresult = f(1)",
    "def f(i=None):\n    i = i or 3\n    return skills.echo(i)\nresult = f()",
    "checks = ['style']\nfor one in ['bugs']:\n    checks.append(one)\nresult = skills.echo(1, checks=checks)",
    "for mode in ['plain', 'regex']:\n    skills.find_in_files(pattern='a', mode=mode)",
    "result = skills.echo(i=7 / 2 * 2, ms=sum([1, 2]))",
    "try:\n    skills.echo(wrong=1)\nexcept SkillError as exc:\n    result = exc.type",
    "try:\n    skills.echo('x')\nexcept:\n    result = 1",
    "try:\n    await skills.echo('x')\nexcept (ValueError, skills.SkillError):\n    result = 1",
    "import contextlib\nwith contextlib.suppress(SkillError):\n    skills.echo(wrong=1)",
    "result = await asyncio.gather(skills.echo(wrong=1), return_exceptions=True)",
    "result = executor.execute('echo', {'wrong': 1})\nprint(result.output['a'], result.success)",
    "result = await executor.execute_batch([{'skill_name': 'echo', 'input_data': {'i': 1}}])",
    "class skills:\n    @staticmethod\n    def echo(wrong): return wrong\nresult = skills.echo(wrong=1)",
    "def echo(wrong): return wrong\nresult = echo(wrong=1)",
    "skills.echo = lambda wrong: wrong\nresult = skills.echo(wrong=1)",
    "import functools\nresult = functools.partial(skills.echo, ms=1)(i=2)",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    result = list(pool.map(skills.echo, [1, 2]))",
    "result = await asyncio.to_thread(skills.echo, 1, tag='x')",
    "async with asyncio.TaskGroup() as group:\n    tasks = [group.create_task(skills.echo(k)) for k in range(2)]\nresult = [t.result() for t in tasks]",
    "result = await asyncio.wait_for(skills.echo(1), timeout=1)",
    "result = len('abc') + len([1, 2])",
    "result = skills.open_ended(a='x', b=1, c=[2])",
    "result = skills.anything(whatever=1, else_=2)",
    "result = skills.odd_names(5, 'x'), skills.odd_names(**{'max-size': 1})",
    "result = skills.Find_In_Files(5, 'a', 'regex')",
    "match inputs:\n    case {'i': i}:\n        result = skills.echo(i)\n    case str() as tag:\n        result = skills.echo(1, tag=tag)",
    "if isinstance(inputs, str) and inputs:\n    result = skills.echo(1, tag=inputs)",
    "names = {'a': 1}\nresult = [skills.echo(v, tag=k) for k, v in sorted(names.items())]",
    "import json, csv, io\nrows = list(csv.DictReader(io.StringIO('a\\n1')))\nresult = skills.echo(int(rows[0]['a']), where=rows[0])",
    "from dataclasses import dataclass, asdict\n@dataclass\nclass P:\n    x: int\nresult = skills.echo(P(1).x, where=asdict(P(2)))",
    "from enum import StrEnum\nclass E(StrEnum):\n    A = 'a'\nresult = skills.echo(1, tag=E.A)",
    "import numpy as np, pandas as pd\nresult = skills.echo(np.int64(3).item(), ms=pd.Series([1]).mean())",
    "names = {'echo': skills.echo}\nresult = names['echo'](1)",
    "exec('i = 7')\nresult = skills.echo(i=globals()['i'])",
    "async def main():\n    return (await skills.echo(1))['x']\nif __name__ == '__main__':\n    asyncio.run(main())",
    "x: int = 'a'\ny = undefined + 1\nimport nothing_like_this\nresult = 1 + 'a'",
]


def test_there_are_enough_valid_programs_to_mean_something() -> None:
    assert len(VALID) >= 30


@pytest.mark.parametrize("text", VALID)
def test_a_program_that_may_well_run_is_left_alone(text: str) -> None:
    assert found(text) == ""


@pytest.mark.parametrize(
    ("found", "allowed", "wrong"),
    [
        ("str", ["integer"], True),
        ("int | float", ["integer"], False),
        ("str | None", ["string"], False),
        ("int | None", ["string"], True),
        ("None", ["string"], False),
        ("Unknown | int", ["string"], False),
        ("list[Unknown | str]", ["string"], True),
        ('Literal["a | b", "c"]', ["number"], True),
        ('Literal[1, "a"]', ["boolean"], False),
        ("str & ~AlwaysFalsy", ["array", "null"], True),
        ("Path", ["string", "array"], True),
        ("MyText", ["integer"], False),
        ("(int) -> str", ["integer"], False),
        ("int", [], False),
    ],
)
def test_only_a_type_of_which_no_part_fits_is_wrong(found: str, allowed: list[str], wrong: bool) -> None:
    assert is_surely_wrong(found, allowed) is wrong


def test_without_the_checker_only_the_text_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ty", None)
    assert "has no argument 'wrong'" in found("skills.echo(1, wrong=2)")
    assert found("n = input()\nskills.echo(i=n)") == ""


def test_a_checker_that_is_too_slow_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typechecker, "SECONDS", 0.001)
    assert found("n = input()\nskills.echo(i=n)") == ""


def test_a_program_made_to_be_slow_to_check_is_not_checked_for_long() -> None:
    began = time.process_time()
    assert found("é = 1; " + "skills.echo(1); " * 10_000) == ""
    assert time.process_time() - began < 5
