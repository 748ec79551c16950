import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue, CatalogueSkill, load
from holdfast.contracts.base import Json
from holdfast.errors import (
    NoModel,
    SecretMissing,
    SettingsInvalid,
    SkillCrashed,
    SkillFailed,
    SkillInputError,
    SkillOutputError,
    SkillRefused,
    SkillTimeout,
)
from skills.process import RunnerPool
from skills.run import SkillContext, SkillRunner
from tests.support.skill_folders import write_files, write_skill

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "tests" / "unit" / "skill_corpus" / "shapes"
ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nowhere",
    "TZ": "UTC",
    "API_KEY": "key-of-the-worker",
    "TOKEN": "s3cret-töken",
    "PIN": "123456",
}


class Bench:
    """A project folder with skills, pinned when first called, and a runner for them."""

    def __init__(self, root: Path) -> None:
        self.project = root / "ein Projekt"
        self.builtin = root / "built in"
        self.workspace = root / "wörk space"
        self.workspace.mkdir(parents=True)
        self.blobs = BlobStore(root / "blobs")
        self.runner = SkillRunner(self.blobs, root / "hö me", ENVIRON, builtin=self.builtin)

    def context(self, **changes: Any) -> SkillContext:
        base = SkillContext("task-1", "default", "c" * 24 + ".1", "key-1", "t" * 32, 1, self.workspace, 20.0)
        return replace(base, **changes)

    def pin(self, name: str) -> CatalogueSkill:
        loaded = load(self.project, self.builtin)
        assert loaded.problems == []
        return Catalogue.open(self.blobs, loaded.catalogue.save(self.blobs)).find(name)

    def add(self, code: str, extra: str = "", name: str = "tidy") -> CatalogueSkill:
        write_skill(self.project, name, code, extra)
        return self.pin(name)

    async def run(self, skill: CatalogueSkill, arguments: dict[str, Json] | None = None, **changes: Any) -> Any:
        return await self.runner.run(skill, arguments or {}, self.context(**changes))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "Ünter Ordner")
    yield bench
    await bench.runner.close()


async def ended(pid: int, seconds: float = 10.0) -> None:
    """Wait until a process that need not be our child is gone (or only a zombie)."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready = await asyncio.to_thread(lambda: select.select([handle], [], [], seconds)[0])
        assert ready, f"process {pid} still lives after {seconds} s"
    finally:
        os.close(handle)


async def written(path: Path) -> str:
    """The text of a file, once a skill has written it whole (it ends with a newline)."""
    async with asyncio.timeout(10):
        while not path.exists() or not path.read_text().endswith("\n"):
            await asyncio.sleep(0.005)
    return path.read_text()


async def test_arguments_come_as_keywords_with_defaults(bench: Bench) -> None:
    extra = "input_schema: {properties: {a: {type: integer}, b: {type: integer, default: 2}}}\n"
    skill = bench.add("def run(a, b):\n    return [a, b]\n", extra)
    assert await bench.run(skill, {"a": 1}) == [1, 2]


async def test_the_older_systems_handler_runs_as_it_is(bench: Bench) -> None:
    for path in (SHAPES / "code-analysis").iterdir():
        write_files(bench.project / "skills" / "code-analysis", {path.name: path.read_bytes()})
    answer = await bench.run(bench.pin("code-analysis"), {"code": "print(1)\n", "language": "python"})
    assert answer["score"] == 95
    assert answer["suggestions"] == ["checked quality", "checked complexity", "checked security"]


async def test_wrong_arguments_start_nothing(bench: Bench) -> None:
    skill = bench.add("open('ran', 'w')\ndef run(a): ...\n", "input_schema: {properties: {a: {type: integer}}}\n")
    with pytest.raises(SkillInputError, match=r"arguments\.a"):
        await bench.run(skill, {"a": "x"})
    assert not (bench.workspace / "ran").exists()


async def test_async_code_context_and_neighbours_work(bench: Bench) -> None:
    code = """
import os
from . import near
import far.away

async def main(context):
    context.log("begun", n=1)
    here = context.workspace == os.getcwd()
    return [context.key, context.call_id, context.task_id, context.attempt, here, near.X, far.away.Y]
"""
    write_files(bench.project / "skills" / "tidy", {"near.py": "X = 1\n", "far/away.py": "Y = 2\n"})
    answer = await bench.run(bench.add(code), attempt=3)
    assert answer == ["key-1", "c" * 24 + ".1", "task-1", 3, True, 1, 2]


async def test_a_print_never_reaches_the_channel(bench: Bench) -> None:
    code = """
import os, subprocess, sys
print("at import")
def run():
    print('{"value": "forged"}')
    os.write(1, b'{"value": "forged"}\\n')
    subprocess.run(["echo", '{"value": "forged"}'])
    sys.stdout.write("half a line")
    return [sys.stdin.read(), "real"]
"""
    skill = bench.add(code)
    assert await bench.run(skill) == ["", "real"]
    assert await bench.run(skill) == ["", "real"]


async def test_an_exit_costs_its_own_call_only(bench: Bench) -> None:
    skill = bench.add("import os, sys\ndef run(how):\n    print('so long')\n    return eval(how)\n", "effect: pure\n")
    for how, seen in [
        ("os._exit(7)", "exit code 7"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
    ]:
        with pytest.raises(SkillCrashed, match=rf"'tidy' died: .*{seen}.*so long") as crash:
            await bench.run(skill, {"how": how})
        assert crash.value.retryable
    with pytest.raises(SkillFailed, match="SystemExit: 3"):
        await bench.run(skill, {"how": "sys.exit(3)"})
    assert await bench.run(skill, {"how": "6 * 7"}) == 42


async def test_a_crash_beside_other_calls_leaves_them_alone(bench: Bench) -> None:
    code = "import os, pathlib, time\ndef run(die):\n    if die: os._exit(1)\n    time.sleep(0.3)\n    return 'fine'\n"
    skill = bench.add(code)
    answers = await asyncio.gather(*(bench.run(skill, {"die": n % 2 == 0}) for n in range(6)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [SkillCrashed, str] * 3


async def test_a_crash_is_seen_though_a_forked_child_holds_the_channel(bench: Bench) -> None:
    code = """
import os, pathlib, time
def run():
    child = os.fork()
    if not child:
        time.sleep(600)
    pathlib.Path("pid").write_text(f"{child}\\n")
    os._exit(3)
"""
    with pytest.raises(SkillCrashed, match="exit code 3"):
        await bench.run(bench.add(code), timeout_seconds=15)
    await ended(int(await written(bench.workspace / "pid")))


TREE = """
import os, pathlib, subprocess, time
def run():
    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid}\\n")
    time.sleep(600)
"""


async def test_a_timeout_kills_all_that_the_skill_started(bench: Bench) -> None:
    skill = bench.add(TREE)
    with pytest.raises(SkillTimeout, match="longer than its 1 s") as late:
        await bench.run(skill, timeout_seconds=1)
    assert late.value.retryable
    for pid in (await written(bench.workspace / "pids")).split():
        await ended(int(pid))


async def test_a_cancelled_call_leaves_no_process(bench: Bench) -> None:
    call = asyncio.create_task(bench.run(bench.add(TREE)))
    pids = (await written(bench.workspace / "pids")).split()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for pid in pids:
        await ended(int(pid))


async def test_closing_the_runner_ends_running_calls_too(bench: Bench) -> None:
    call = asyncio.create_task(bench.run(bench.add(TREE)))
    pids = (await written(bench.workspace / "pids")).split()
    await bench.runner.close()
    with pytest.raises(SkillCrashed, match="SIGKILL"):
        await call
    for pid in pids:
        await ended(int(pid))


WORKER = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_skill_runner import TREE, Bench
async def main():
    bench = Bench(Path(sys.argv[1]))
    await bench.run(bench.add(TREE))
asyncio.run(main())
"""


async def test_a_killed_worker_leaves_no_runner(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path / "b")], cwd=ROOT)
    try:
        pids = (await written(tmp_path / "b" / "wörk space" / "pids")).split()
    finally:
        worker.kill()
        worker.wait()
    assert len(pids) == 2
    for pid in pids:
        await ended(int(pid))


async def test_three_megabytes_come_back_whole(bench: Bench) -> None:
    skill = bench.add("def run(text):\n    return {'text': text, 'lines': list(range(1000))}\n")
    text = "ä\n\"'\\\u2028" * 500_000
    answer = await bench.run(skill, {"text": text})
    assert answer["text"] == text
    assert len(text.encode()) >= 3_000_000


async def test_an_answer_has_a_limit(bench: Bench) -> None:
    with pytest.raises(SkillOutputError, match=r"67108866 bytes; allowed are 67108864"):
        await bench.run(bench.add("def run():\n    return 'x' * (64 << 20)\n"))


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("{'a': [1, float('nan')]}", r"answer\.a\[1\] is nan; allowed are finite numbers"),
        ("{1: 2}", "answer has the key 1; allowed are text keys"),
        ("{'when': __import__('datetime').date(2026, 1, 1)}", r"answer\.when is of type date"),
        ("{1, 2}", "answer is of type set"),
        ("b'x'", "answer is of type bytes"),
        ("'\\ud800'", "not Unicode"),
        ("(lambda a: a.append(a) or a)([])", "cyclic, nested too deep"),
    ],
)
async def test_an_answer_that_is_not_json_is_refused_by_name(bench: Bench, expression: str, named: str) -> None:
    with pytest.raises(SkillOutputError, match=named) as refusal:
        await bench.run(bench.add(f"def run():\n    return {expression}\n"))
    assert not refusal.value.retryable


async def test_an_answer_outside_of_its_schema_is_refused(bench: Bench) -> None:
    skill = bench.add(
        "def run():\n    return {'total': 'x'}\n", "output_schema: {properties: {total: {type: integer}}}\n"
    )
    with pytest.raises(SkillOutputError, match=r"answer\.total: found 'x'"):
        await bench.run(skill)


@pytest.mark.parametrize(
    ("raising", "error", "retryable"),
    [
        ("raise ValueError('odd')", SkillFailed, True),
        ("class PermanentError(Exception): pass\n    raise PermanentError('odd')", SkillRefused, False),
        ("error = KeyError('odd'); error.retryable = False\n    raise error", SkillRefused, False),
        ("class SkillInputError(Exception): pass\n    raise SkillInputError('odd')", SkillInputError, False),
    ],
)
async def test_an_error_says_what_where_and_whether_to_try_again(
    bench: Bench, raising: str, error: type[SkillFailed], retryable: bool
) -> None:
    with pytest.raises(error, match=r"skill 'tidy' raised \w+: '?odd'? \(skill\.py:\d\)") as failure:
        await bench.run(bench.add(f"def run():\n    {raising}\n"))
    assert type(failure.value) is error
    assert failure.value.retryable is retryable


async def test_code_that_does_not_import_is_a_failed_call(bench: Bench) -> None:
    with pytest.raises(SkillFailed, match="ModuleNotFoundError: No module named 'not_installed'"):
        await bench.run(bench.add("import not_installed\ndef run(): ...\n"))
    with pytest.raises(SkillRefused, match=r"skill\.py has no function run or execute or main; it has: tidy_up"):
        await bench.run(bench.add("def tidy_up(): ...\n"))


ENV = "import os\ndef run(context):\n    return [dict(os.environ), context.secrets]\n"


async def test_a_skill_sees_its_own_secrets_and_nothing_else(bench: Bench) -> None:
    answer = await bench.run(bench.add(ENV))
    assert answer[1] == {}
    assert set(answer[0]) - {"LC_CTYPE"} == {
        "PATH",
        "HOME",
        "TZ",
        "PYTHONUTF8",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    }
    seen = "len(os.environ['TOKEN']), 'API_KEY' in os.environ, list(context.secrets)"
    code = f"import os\ndef run(context):\n    return [{seen}]\n"
    assert await bench.run(bench.add(code, "secrets: [TOKEN]\n")) == [len("s3cret-töken"), False, ["TOKEN"]]


LEAKY = """
import os
def run(fail, context):
    token = context.secrets["TOKEN"]
    if fail == "raise": raise ValueError(token)
    if fail == "die":
        print(token, flush=True)
        os._exit(1)
    return {"url": f"https://x?{token}", token: [token], "number": 123456789, "length": len(token)}
"""


@pytest.mark.parametrize("origin", ["project", "builtin"])
async def test_a_secret_leaves_in_no_answer_and_no_error(bench: Bench, origin: str) -> None:
    extra = "secrets: [TOKEN, PIN]\n"
    skill = bench.add(LEAKY, extra) if origin == "project" else builtin(bench, LEAKY, extra)
    told = {"url": "https://x?[secret TOKEN]", "[secret TOKEN]": ["[secret TOKEN]"], "number": 123456789, "length": 12}
    assert await bench.run(skill, {"fail": ""}) == told
    with pytest.raises(SkillFailed, match=r"ValueError: \[secret TOKEN\]") as failure:
        await bench.run(skill, {"fail": "raise"})
    assert failure.value.__cause__ is None
    if origin == "project":
        with pytest.raises(SkillCrashed, match=r"printed last: '\[secret TOKEN\]") as crash:
            await bench.run(skill, {"fail": "die"})
        assert crash.value.__cause__ is None


async def test_a_secret_that_is_not_set_is_the_operators_matter(bench: Bench, tmp_path: Path) -> None:
    skill = bench.add(ENV, "secrets: [OTHER]\n")
    with pytest.raises(SecretMissing, match=r"'tidy' needs the secret OTHER; set OTHER or OTHER_FILE") as missing:
        await bench.run(skill)
    assert not missing.value.retryable
    (tmp_path / "other").write_text("from-a-file\n")
    runner = SkillRunner(bench.blobs, tmp_path / "home", {**ENVIRON, "OTHER_FILE": str(tmp_path / "other")})
    answer = await runner.run(
        bench.add("import os\ndef run():\n    return os.environ['OTHER'][:4]\n", "secrets: [OTHER]\n"),
        {},
        bench.context(),
    )
    await runner.close()
    assert answer == "from"


async def test_a_live_edit_does_not_reach_a_pinned_skill(bench: Bench) -> None:
    pinned = bench.add("from . import near\ndef run():\n    return near.WHAT\n", name="edit")
    (bench.project / "skills" / "edit" / "near.py").write_text("WHAT = 'first'\n")
    pinned = bench.pin("edit")
    assert await bench.run(pinned) == "first"
    (bench.project / "skills" / "edit" / "near.py").write_text("WHAT = 'second'\n")
    assert await bench.run(pinned) == "first"
    assert await bench.run(bench.pin("edit")) == "second"
    other = SkillRunner(bench.blobs, bench.project.parent / "another machine", ENVIRON)
    assert await other.run(pinned, {}, bench.context()) == "first"
    await other.close()


PID = "import os\ndef run():\n    return os.getpid()\n"


async def test_a_process_is_used_again_for_the_same_code_and_tenant_only(bench: Bench) -> None:
    skill = bench.add(PID)
    first = await bench.run(skill)
    assert await bench.run(skill) == first
    assert await bench.run(skill, tenant="other") != first
    assert await bench.run(bench.add(PID + "# edited\n")) != first


async def test_an_idle_process_that_died_is_replaced(bench: Bench) -> None:
    skill = bench.add(PID)
    first = await bench.run(skill)
    os.kill(first, signal.SIGKILL)
    await ended(first)
    async with asyncio.timeout(5):
        while any(process.is_alive for process in bench.runner._pool._living):
            await asyncio.sleep(0.005)
    assert await bench.run(skill) != first


async def test_idle_processes_are_few_and_wait_not_for_ever(bench: Bench) -> None:
    bench.runner._pool = RunnerPool(size=2, idle_seconds=0.5)
    skills = [bench.add(PID + f"# {number}\n", name=f"s{number}") for number in range(3)]
    pids = [await bench.run(skill) for skill in skills]
    await ended(pids[0])
    assert [process.pid for process in bench.runner._pool._idle] == pids[1:]
    for pid in pids[1:]:
        await ended(pid)


async def test_calls_of_one_skill_overlap(bench: Bench) -> None:
    code = """
import pathlib, time
def run(me, other):
    pathlib.Path(me).touch()
    end = time.monotonic() + 10
    while not pathlib.Path(other).exists() and time.monotonic() < end:
        time.sleep(0.005)
    return pathlib.Path(other).exists()
"""
    skill = bench.add(code)
    both = [{"me": "a", "other": "b"}, {"me": "b", "other": "a"}]
    assert await asyncio.gather(*(bench.run(skill, arguments) for arguments in both)) == [True, True]


async def test_an_interpreter_that_is_not_there_is_the_operators_matter(bench: Bench, tmp_path: Path) -> None:
    runner = SkillRunner(bench.blobs, tmp_path, ENVIRON, project_python="/nowhere/bin/python")
    with pytest.raises(SettingsInvalid, match="'/nowhere/bin/python' cannot be started: No such file"):
        await runner.run(bench.add(PID), {}, bench.context())
    await runner.close()


def shape(bench: Bench, name: str) -> CatalogueSkill:
    for path in (SHAPES / name).iterdir():
        write_files(bench.project / "skills" / name, {path.name: path.read_bytes()})
    return bench.pin(name)


async def test_a_skill_that_a_model_answers_says_so(bench: Bench) -> None:
    with pytest.raises(NoModel, match="'summarize' is of kind 'prompt': a language model answers it"):
        await bench.run(shape(bench, "summarize"), {"content": "x"})


async def test_the_older_systems_hybrid_runs_as_it_is(bench: Bench) -> None:
    answer = await bench.run(shape(bench, "web-search"), {"query": "x"})
    assert answer == {"results": [], "total": 0, "query": "x"}


async def test_a_secret_that_is_optional_may_be_missing(bench: Bench) -> None:
    code = "def run(context):\n    return sorted(context.secrets)\n"
    assert await bench.run(bench.add(code, "secrets: ['TOKEN?', 'OTHER?', PIN]\n")) == ["PIN", "TOKEN"]


async def test_code_sees_the_project_folder_unless_our_own_data_lies_open_in_it(bench: Bench, tmp_path: Path) -> None:
    skill = bench.add("def run(context):\n    return context.project\n")
    assert await bench.run(skill) is None
    assert await bench.run(skill, project=bench.project) == str(bench.project)
    assert await bench.run(skill, project=tmp_path / "gone") is None
    assert await bench.run(skill, project=bench.project.parent) is None
    assert await bench.run(skill, project=bench.project.parent / "hö me" / "cache") is None
    hidden = SkillRunner(bench.blobs, bench.project / ".holdfast", ENVIRON, builtin=bench.builtin)
    assert await hidden.run(skill, {}, bench.context(project=bench.project)) == str(bench.project)
    await hidden.close()


@pytest.mark.parametrize(
    ("expression", "outcome", "value"),
    [
        ("True", "done", None),
        ("False", "not_done", None),
        ("None", "unknown", None),
        ("{'outcome': 'done', 'value': {'total': 3}}", "done", {"total": 3}),
    ],
)
async def test_a_probe_tells_what_became_of_a_call(bench: Bench, expression: str, outcome: str, value: Json) -> None:
    probe = f"return {expression} if (n, context.key) == (1, 'key-1') else 1 / 0"
    code = f"def run(n): ...\ndef probe(n, context):\n    {probe}\n"
    skill = bench.add(code, "check: probe\noutput_schema: {required: [total]}\n")
    assert await bench.runner.check(skill, {"n": 1}, bench.context()) == {"outcome": outcome, "value": value}


async def test_a_probe_that_answers_something_else_is_refused(bench: Bench) -> None:
    skill = bench.add("def run(): ...\ndef probe():\n    return 'perhaps'\n", "check: probe\n")
    with pytest.raises(SkillOutputError, match="'perhaps'; allowed: True, False, None"):
        await bench.runner.check(skill, {}, bench.context())
    assert (await bench.runner.check(bench.add(PID), {}, bench.context()))["outcome"] == "unknown"


def builtin(bench: Bench, code: str, extra: str = "") -> CatalogueSkill:
    side = f"name: own\nversion: 1.0.0\ndescription: Built in\neffect: pure\n{extra}"
    write_files(bench.builtin / "own", {"skill.yaml": side, "skill.py": code, "near.py": "X = 5\n"})
    return bench.pin("own")


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_built_in_code_runs_in_the_worker(bench: Bench, prefix: str) -> None:
    code = (
        f"import os\nfrom . import near\n{prefix}def run(a, context):\n    return os.getpid(), a, near.X, context.key\n"
    )
    assert await bench.run(builtin(bench, code), {"a": 1}) == [os.getpid(), 1, 5, "key-1"]


async def test_blocking_built_ins_overlap_and_time_out(bench: Bench) -> None:
    code = """
import threading
meet = threading.Barrier(12)
def run(wait):
    return meet.wait(10) if wait else threading.Event().wait(1.5)
"""
    skill = builtin(bench, code)
    answers = await asyncio.gather(*(bench.run(skill, {"wait": True}) for _ in range(12)))
    assert sorted(answers) == list(range(12))
    begun = time.monotonic()
    with pytest.raises(SkillTimeout):
        await bench.run(skill, {"wait": False}, timeout_seconds=0.1)
    assert time.monotonic() - begun < 1


async def test_errors_of_built_ins_are_told_apart(bench: Bench) -> None:
    code = """
from holdfast.errors import SkillInputError
class PermanentError(Exception): ...
def run(how):
    if how == "input": raise SkillInputError("no file 'x'; allowed are files of the workspace")
    if how == "final": raise PermanentError("gone")
    if how == "late": raise TimeoutError("slow server")
    return {how}
"""
    skill = builtin(bench, code)
    for how, error, message in [
        ("input", SkillInputError, "^no file 'x'"),
        ("final", SkillRefused, r"'own' raised PermanentError: gone \(skill\.py:6\)"),
        ("late", SkillFailed, "TimeoutError: slow server"),
        ("set", SkillOutputError, "type set"),
    ]:
        with pytest.raises(error, match=message) as failure:
            await bench.run(skill, {"how": how})
        assert type(failure.value) is error


async def test_a_runner_speaks_plain_json_lines(bench: Bench) -> None:
    """The runner is a file that any interpreter can run; this one gets no help from this environment."""
    bench.add("def run(a):\n    return a\n")
    command = [
        sys.executable,
        "-I",
        "-S",
        str(ROOT / "skills" / "runner.py"),
        str(bench.project / "skills" / "tidy"),
        "skill.py",
    ]
    frame = {"function": None, "arguments": {"a": [1]}, "context": {"workspace": str(bench.workspace), "secrets": {}}}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin and process.stdout
        for ago, reply in ((0.0, b'{"value":[1]}\n'), (5.0, b'{"late":true}\n')):
            order = {**frame, "sent_at": time.monotonic() - ago}
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            assert await asyncio.to_thread(process.stdout.readline) == reply


async def test_code_that_is_late_begins_after_a_new_order_and_not_if_somebody_else_took_over(bench: Bench) -> None:
    skill = bench.add("import time\ntime.sleep(1.2)\ndef run(a):\n    return a\n")
    asked: list[str] = []

    async def wanted() -> None:
        asked.append("still wanted?")

    assert await bench.run(skill, {"a": 1}, refuse_unwanted=wanted) == 1
    assert asked == ["still wanted?"]

    async def gone() -> None:
        raise SkillCrashed("a later attempt took over")

    other = bench.add("import time\ntime.sleep(1.3)\ndef run(a):\n    raise AssertionError('began')\n")
    with pytest.raises(SkillCrashed, match="took over"):
        await bench.run(other, {"a": 1}, refuse_unwanted=gone)
