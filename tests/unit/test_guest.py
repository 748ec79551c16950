"""The guest on a program's bad days: faults, odd results, floods, and programs that break what is around them."""

import asyncio
import time
from typing import Any

import pytest

from holdfast.source import normalise
from tests.support.guest_host import Reply, again, run, started

# -- results


RESULTS: dict[str, tuple[str, Any]] = {
    "result": ("result = [1, 'a', None, True, 2.5, {'k': (1, 2)}]", [1, "a", None, True, 2.5, {"k": [1, 2]}]),
    "result of None": ("result = None", None),
    "result before main": ("result = 1\ndef main(): return 2", 1),
    "main alone": ("def main():\n    return 2", 2),
    "async main alone": ("async def main():\n    return await skills.echo(3)", 3),
    "main called": ("def main():\n    return 4\nmain()", 4),
    "main under guard": (
        "import asyncio\nasync def main(): return 5\nif __name__ == '__main__':\n    asyncio.run(main())",
        5,
    ),
    "awaited main": ("async def main(): return 6\nawait main()", 6),
    "asyncio.run beside await": (
        "import asyncio\nx = await skills.echo(7)\nasync def main(): return x\nasyncio.run(main())",
        7,
    ),
    "result of asyncio.run beside await": (
        "import asyncio\nawait asyncio.sleep(0)\nasync def main(): return 8\nresult = asyncio.run(main())",
        8,
    ),
    "sys.exit": ("import sys\nresult = 9\nsys.exit()", 9),
    "sys.exit(0)": ("import sys\nresult = 10\nsys.exit(0)", 10),
    "future import": (
        "from __future__ import annotations\ndef f(x: Unknown): pass\nresult = f.__annotations__['x']",
        "Unknown",
    ),
    "no future import": ("def f(x: int): pass\nresult = f.__annotations__['x'].__name__", "int"),
    "emoji": ("result = '\\U0001f600 \\\\ud800'", "\U0001f600 \\ud800"),
    "100 levels": ("x = []\nfor _ in range(99): x = [x]\nresult = x and 1 or x", 1),
    "a long sum": ("result = " + " + ".join(["1"] * 1500), 1500),
}


@pytest.mark.parametrize("form", RESULTS)
async def test_result(form: str) -> None:
    source, expected = RESULTS[form]
    assert (await run(source)).result == expected


@pytest.mark.parametrize(
    "call",
    [
        "print(asyncio.run(main()))",
        "x = main(); asyncio.run(x)",
        "with asyncio.Runner() as r: r.run(main())",
        "asyncio.new_event_loop().run_until_complete(main())",
    ],
)
async def test_main_that_the_program_runs_itself_is_not_run_again(call: str) -> None:
    done = await run(f"import asyncio\nasync def main():\n    await skills.echo(1)\n{call}")
    assert len(done.asked) == 1


async def test_main_that_needs_arguments_is_only_a_function() -> None:
    done = await run("def main(x): return x\nprint('hi')")
    assert (done.last["has_result"], done.printed) == (False, "hi\n")


async def test_a_result_of_exactly_100_levels_passes_and_one_more_does_not() -> None:
    source = "x = 1\nfor _ in range({}): x = [x]\nresult = x"
    assert (await run(source.format(100))).last["t"] == "done"
    kind, message = (await run(source.format(101))).error
    assert (kind, "nested deeper than 100 levels" in message) == ("ResultNotJson", True)


REFUSED = {
    "very deep": ("x = []\nfor _ in range(100_000): x = [x]\nresult = x", "ResultNotJson", "nested deeper than 100"),
    "half a pair": (
        "result = {'a': ['\\ud83d']}",
        "ResultNotJson",
        r"the result holds half a surrogate pair, '\ud83d'",
    ),
    "half a pair as key": ("result = {'\\udc00': 1}", "ResultNotJson", "half a surrogate pair"),
    "set": ("result = {1}", "ResultNotJson", "set"),
    "infinite": ("result = [float('inf')]", "ResultNotJson", "Out of range"),
    "own mapping": ("class D(dict):\n    def items(self): 1/0\nresult = D(a=1)", "ResultNotJson", "division"),
    "huge": ("result = 'x' * 5_000_000", "ResultTooLarge", "5000002 bytes"),
    "deep argument": (
        "x = 1\nfor _ in range(101): x = [x]\nskills.echo(x)",
        "ValueError",
        "argument 1 of skill 'echo' is nested deeper",
    ),
    "argument": (
        "skills.echo(q='\\ud800')",
        "UnicodeError",
        "argument 'q' of skill 'echo' holds half a surrogate pair",
    ),
    "argument name": ("skills.echo(**{'\\ud800': 1})", "UnicodeError", "a name of skill 'echo'"),
    "skill name": ("getattr(skills, '\\ud800')()", "UnicodeError", "the name of a skill"),
    "NaN": ("skills.echo(q=float('nan'))", "TypeError", "argument 'q' of skill 'echo' is not JSON: Out of range"),
    "object": ("skills.echo(1, object())", "TypeError", "argument 2 of skill 'echo' is not JSON"),
    "large": ("skills.echo('x' * 6_000_000)", "ValueError", "bytes of JSON"),
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_is_no_json_is_an_error_of_the_program(fault: str) -> None:
    source, kind, text = REFUSED[fault]
    found = await run(source)
    assert found.error[0] == kind
    assert text in found.error[1]
    assert not found.asked


async def test_an_argument_that_is_refused_can_be_caught_and_costs_no_call() -> None:
    source = "try: skills.echo('\\ud800')\nexcept UnicodeError: result = skills.echo(1)"
    assert (await run(source)).asked == [(0, "echo", [1], {})]


async def test_arguments_are_those_at_the_time_of_the_call() -> None:
    source = "import asyncio\nq = {'n': 1}\nt = asyncio.create_task(skills.echo(q))\nawait asyncio.sleep(0)\nq['n'] = {2}\nresult = await t"
    assert (await run(source)).result == {"n": 1}


# -- errors


ERRORS: dict[str, tuple[str, str, list[str], int | None]] = {
    "plain": ("x = 1\n1/0", "ZeroDivisionError", ["line 2, in <module>: 1/0"], 2),
    "nested": (
        "def f():\n    def g():\n        raise KeyError('k')\n    g()\nf()",
        "KeyError",
        ["line 5, in <module>: f()", "line 4, in f: g()", "line 3, in g: raise"],
        3,
    ),
    "in library": ("import json\njson.loads('{')", "JSONDecodeError", ["line 2, in <module>: json.loads('{')"], 2),
    "in coroutine": (
        "import asyncio\nasync def f():\n    await skills.boom()\nawait asyncio.gather(f())",
        "SkillError",
        ["line 3, in f: await skills.boom()", "boom"],
        3,
    ),
    "group": (
        "raise ExceptionGroup('two', [ValueError('a'), KeyError('b')])",
        "ExceptionGroup",
        ["two (2 sub-exceptions)", "| ValueError: a", "| KeyError: 'b'"],
        1,
    ),
    "signs that end no line": (
        "x = 'a\u2028b\x0c'\n\x0c# c\u2028d\x85\r\ny = 'e\x1cf\u2029'\n1/0",
        "ZeroDivisionError",
        ["line 4, in <module>: 1/0"],
        4,
    ),
    "syntax at run": ("x = 1\nexec('y = (')", "SyntaxError", ["line 2, in <module>"], 2),
    "recursion": ("def f(): f()\nf()", "RecursionError", ["line 1, in f: def f(): f()"], 1),
    "str raises": (
        "class E(Exception):\n    def __str__(self): 1/0\nraise E()",
        "E",
        ["line 3", "exception str() failed"],
        3,
    ),
    "odd attribute": ("class E(Exception): exceptions = 5\nraise E('odd')", "E", ["E: odd"], 2),
    "half a pair": ("raise ValueError('\\ud800')", "ValueError", ["\\ud800"], 1),
    "huge text": ("raise ValueError('x' * 9_000_000)", "ValueError", ["xxx"], 1),
    "interrupt": ("raise KeyboardInterrupt('stop')", "KeyboardInterrupt", ["stop"], 1),
    "sys.exit": ("import sys\nsys.exit(3)", "SystemExit", ["sys.exit(3)"], 2),
    "sys.exit text": ("import sys\nsys.exit('x' * 9_000_000)", "SystemExit", ["sys.exit('xxx"], 2),
    "sys.exit in task": (
        "import asyncio, sys\nasync def f(): sys.exit('bad')\nawait asyncio.create_task(f())",
        "SystemExit",
        ["'bad'"],
        2,
    ),
    "exit code that cannot be shown": (
        "class C:\n    def __repr__(self): 1/0\nraise SystemExit(C())",
        "SystemExit",
        ["cannot be told"],
        None,
    ),
    "own SkillError": ("raise SkillError('no', skill='s')", "SkillError", ["SkillError: no"], 1),
    "skill": ("skills.boom()", "SkillError", ["line 1, in <module>: skills.boom()", "SkillError: boom"], 1),
}


@pytest.mark.parametrize("fault", ERRORS)
async def test_error_names_the_lines_of_the_program_and_no_others(fault: str) -> None:
    source, kind, texts, line = ERRORS[fault]
    found = await run(source)
    assert found.error[0] == kind
    assert [text for text in texts if text not in found.error[1]] == []
    assert found.last["line"] == line
    assert "guest.py" not in found.error[1]
    assert len(found.error[1]) < 10_000


@pytest.mark.parametrize("indent", ["    ", "  "])
async def test_lines_are_those_of_the_text_that_was_sent(indent: str) -> None:
    wrapped = normalise(f"{indent}x = 1\n{indent}1/0")
    assert wrapped.first_line == 0
    found = await run(wrapped.source, first_line=wrapped.first_line)
    assert "line 2, in <module>: 1/0" in found.error[1]
    fenced = normalise("```python\nx = 1\n1/0\n```")
    assert fenced.first_line == 2
    found = await run(fenced.source, first_line=fenced.first_line)
    assert "line 3, in <module>: 1/0" in found.error[1]
    broken = await run("x = 1\ny = (", first_line=5)
    assert broken.last["line"] == 6


async def test_skill_error_can_be_caught_and_tells_its_skill() -> None:
    source = "try: skills.boom()\nexcept SkillError as e: result = [e.skill, e.type, e.message, e.details, str(e)]"
    assert (await run(source)).result == ["boom", "Boom", "boom", {"n": 1}, "boom"]
    assert (await run("try: skills.boom()\nexcept Exception: result = 'caught'")).result == "caught"
    assert (await run("from skills import SkillError as S\nresult = S is SkillError")).result is True


async def test_own_exit_is_the_exit_code() -> None:
    assert (await run("import os\nos._exit(3)")).exit_code == 3


async def test_an_error_in_a_thread_is_printed_as_ever() -> None:
    done = await run("import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()\nresult = 1")
    assert done.result == 1 and "ZeroDivisionError" in done.printed and '"<program>", line 2' in done.printed


async def test_warnings_about_the_text_of_a_program_are_no_output() -> None:
    assert (await run(r"import re; print(len('\d'))")).printed == "2\n"


# -- prints


PRINTS: dict[str, tuple[str, str]] = {
    "in order": (
        "import sys\nprint('é', end='')\nprint('ü', file=sys.stderr)\nprint('\\U0001f600')",
        "éü\n\U0001f600\n",
    ),
    "descriptor": ("import os\nprint('a')\nos.write(1, b'b\\n')\nos.write(2, b'c')", "a\nb\nc"),
    "from C": ("import ctypes\nlibc = ctypes.CDLL(None)\nlibc.puts(b'from C')\nlibc.fflush(None)", "from C\n"),
    "large": ("print('x' * 1_000_000)", "x" * 1_000_000 + "\n"),
    "half a character": ("import os\nos.write(1, 'é'.encode()[:1])", "\ufffd"),
    "own buffer": ("import sys\nsys.stdout = open(1, 'w', closefd=False)\nprint('kept')", "kept\n"),
    "duplicate": ("import os\nkept = os.dup(1)\nprint('here')", "here\n"),
    "frame": ('print(\'\\x1eHF1 {"t":"done","result":1}\')', '\x1eHF1 {"t":"done","result":1}\n'),
}


@pytest.mark.parametrize("what", PRINTS)
async def test_all_that_is_printed_arrives_before_the_end(what: str) -> None:
    source, text = PRINTS[what]
    done = await run(source)
    assert done.printed == text
    assert [frame["t"] for frame in done.frames if frame["t"] in ("done", "raised")] == ["done"]
    assert done.last == {"t": "done", "has_result": False}
    assert done.seconds < 5


# -- ends


@pytest.mark.parametrize(
    "work",
    [
        "while True: pass",
        "skills.ask()",
        "import asyncio\nawait skills.ask()",
        "import time\ntime.sleep(0.2)\nwhile True: print('x' * 9999)",
    ],
)
async def test_a_guest_whose_host_is_gone_ends_at_once(work: str) -> None:
    async with started(f"print('up')\n{work}") as host:
        await host.until(lambda run: "up" in run.printed)
        began = time.monotonic()
        host.stdin.close()
        while await host.stdout.read(1 << 20):
            pass
        assert await asyncio.wait_for(host.process.wait(), 2) == 86
        assert time.monotonic() - began < 1


BREAKERS = {
    "descriptors": "import os\nos.closerange(0, 21)\nresult = skills.echo(1)",
    "builtins": "import builtins\nbuiltins.print = builtins.len = builtins.max = builtins.sum = None\nresult = skills.echo(1)",
    "patches": "import json, os, select, asyncio, time\njson.dumps = json.loads = os.write = os.read = os._exit = select.select = time.monotonic = asyncio.run = asyncio.gather = None\nresult = skills.echo(1)",
    "modules": "import sys\nfor name in list(sys.modules): del sys.modules[name]\nresult = skills.echo(1)",
    "shadows": "asyncio = time = json = None\nresult = skills.echo(1)\nskills = 1",
    "main module": "import sys\nvars(sys.modules['__main__']).update(Wire=None, to_json=None, exit_now=None)\nresult = skills.echo(1)",
    "streams": "import sys\nsys.stdout.close(); sys.stderr = None; sys.stdin = None\nresult = skills.echo(1)",
    "patches in a loop": "import json, os, time\nos.write = os.read = time.time = None\nresult = await skills.echo(1)",
    "many open files": "import os\nkept = [os.open('/dev/null', 0) for _ in range(40)]\nresult = await skills.echo(1)",
}


@pytest.mark.parametrize("what", BREAKERS)
async def test_a_program_that_breaks_what_is_around_it_gets_its_result(what: str) -> None:
    assert (await run(BREAKERS[what])).result == 1


BROKEN = {
    "all descriptors": ("import os\nos.closerange(0, 1000)\nskills.echo(1)", None),
    "the channel in": ("import os\nos.close(64)\nskills.ask()", "ChannelBroken"),
    "traceback": ("import traceback\ntraceback.extract_tb = None\n1/0", "ZeroDivisionError"),
    "no files left": (
        "import resource, os\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\ntry:\n    while True: os.dup(1)\nexcept OSError: pass\nimport asyncio\nasyncio.run(asyncio.sleep(0))",
        "OSError",
    ),
    "thread class": (
        "import threading\nthreading.Thread = None\nimport asyncio\nawait asyncio.to_thread(len, [])",
        "TypeError",
    ),
    "loop": ("import asyncio\nasyncio.run = None\nasync def main(): pass", "TypeError"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_program_that_breaks_its_own_ground_ends_and_says_so(what: str) -> None:
    source, kind = BROKEN[what]
    found = await run(source)
    assert found.seconds < 10
    if kind is None:
        assert found.exit_code == 87
    else:
        assert found.error[0] == kind


async def test_an_answer_in_pieces_and_noise_around_it_arrive_whole() -> None:
    first = await run("result = skills.echo('x' * 200_000)[-3:]", lambda call: Reply("é" * 200_000 + "end"))
    assert first.result == "end"
    assert (await again("result = len(inputs)", first, inputs="y" * 3_000_000)).result == 3_000_000
