"""What the task commands print and how they end, against a scripted API."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main as commands
from tests.support.cli import ROOT, at_a_terminal
from tests.support.fake_api import TASK_ID, FakeApi, fake_api, step, task


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.chdir(tmp_path)
    with fake_api() as server:
        monkeypatch.setenv("HOLDFAST_URL", server.url)
        yield server


def holdfast(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the entry point itself."""
    monkeypatch.setattr(sys, "argv", ["holdfast", *words])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def run(monkeypatch, capfd):
    return lambda *words: holdfast(monkeypatch, capfd, *words)


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "p.py").write_text("result = 1\n")
    return str(tmp_path / "p.py")


def started(api: FakeApi, *then: dict[str, Any]) -> None:
    api.says("POST", "/tasks", task("PENDING"))
    api.says("GET", f"/tasks/{TASK_ID}", *then)
    api.says("GET", f"/tasks/{TASK_ID}/steps", [])


def test_exec_prints_the_id_first_and_only_the_result_on_stdout(api, run, program):
    started(api, task("RUNNING"), task("DONE", output={"a": 1}, calls_done=3))
    code, out, err = run("exec", program)
    assert (code, json.loads(out)) == (0, {"a": 1})
    assert err.splitlines()[0] == f"task {TASK_ID}"
    assert err.splitlines()[1].endswith(f"/workflows/default%2F{TASK_ID}")
    assert "done in 2.0s, 3 calls" in err


def test_run_sends_the_sentence_and_prints_the_answer(api, run):
    started(api, task("RUNNING"), task("DONE", output="All is well.", llm_calls=2, total_cost=0.031, calls_done=19))
    code, out, err = run("run", "Look after it")
    assert (code, out) == (0, "All is well.\n")
    assert api.bodies("POST", "/tasks") == [{"type": "agent", "input": "Look after it"}]
    assert err.splitlines()[0] == f"task {TASK_ID}"
    assert f"done in 2.0s, $0.031, 2 LLM calls, 19 skill calls    holdfast show {TASK_ID}" in err


def test_run_sends_what_its_flags_say(api, run, tmp_path):
    started(api, task("DONE", output="x"))
    (tmp_path / "be.txt").write_text("Be brief.")
    words = ["--agent", "reviewer", "--skills", "a, b", "--system", "@be.txt", "--model", "openai:gpt-x"]
    run("run", "Look", *words, "--input", '{"n": 2}', "--key", "k", "--limit", "run_seconds=5")
    assert api.bodies("POST", "/tasks") == [
        {
            "type": "agent:reviewer",
            "input": {"prompt": "Look", "n": 2},
            "skills": ["a", "b"],
            "system_prompt": "Be brief.",
            "model": {"provider": "openai", "model": "gpt-x"},
            "idempotency_key": "k",
            "limits": {"run_seconds": 5.0},
        }
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([""], "the task is empty"),
        (["Look", "--model", "gpt"], "provider:model"),
        (["Look", "--input", '{"prompt": "x"}'], "'prompt'"),
        (["Look", "--limit", "speed=1"], "run_seconds"),
    ],
)
def test_wrong_words_of_run_exit_2_and_send_nothing(api, run, words, said):
    code, _, err = run("run", *words)
    assert (code, said in err, api.asked) == (2, True, [])


def llm(name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "llm", "name": name, "state": "done", "started_at": 100.0, "ended_at": 101.2} | fields


def test_run_shows_plan_and_program_with_model_time_and_cost(api, run):
    started(api, task("DONE", output=1))
    plan = llm("plan", detail="plan: code-analysis, read-file", model="offline:rules", cost=0.0)
    program = llm("program", detail="write a program", model="openai:gpt-x")
    version = {"kind": "program", "name": "version 1", "state": "DONE", "detail": "41 lines", "started_at": 102.0}
    api.says("GET", f"/tasks/{TASK_ID}/steps", [plan, program, version])
    lines = [" ".join(line.split()) for line in run("run", "Look")[2].splitlines()]
    assert "plan code-analysis, read-file; model: offline 1.2s $0.000" in lines
    assert "program write a program; model: openai:gpt-x 1.2s cost unknown" in lines
    assert "program version 1, 41 lines" in lines


def test_what_is_tried_again_is_said_once(api, run):
    waiting = ["llm.plan: anthropic is busy (429); next try at 12:00:03"]
    started(api, *[task("RUNNING", waiting=waiting)] * 3, task("DONE", output=1))
    assert run("run", "Look")[2].count(waiting[0]) == 1


def test_show_says_what_a_task_took_of_models_and_waits_for(api, run):
    took = {"llm_calls": 2, "input_tokens": 1234, "output_tokens": 56, "model_used": "openai:gpt-x"}
    api.says("GET", f"/tasks/{TASK_ID}", task("RUNNING", phase="planning", waiting=["llm.plan: busy"], **took))
    out = run("show", TASK_ID)[1]
    assert "2, 1,234 tokens in, 56 out, cost unknown" in out
    for text in ("openai:gpt-x", "planning", "llm.plan: busy"):
        assert text in out


def test_run_hears_of_the_end_by_the_stream_of_events(api, run):
    """Without news it would look again only after seconds."""
    started(api, task("RUNNING"), task("DONE", output="x"))
    lost = ("1", "attempt", {"attempt": 2, "state": "started"})
    api.streams(f"/tasks/{TASK_ID}/events", [lost, ("2", "done", {})])
    began = time.monotonic()
    err = run("run", "Look")[2]
    assert time.monotonic() - began < 4
    assert "1 retry" in err


def test_run_names_the_skills_of_the_plan_where_the_stream_tells_them(api, run):
    started(api, task("RUNNING"), task("DONE", output="x"))
    plan = {"kind": "llm", "name": "plan", "state": "answered", "detail": "plan: choose skills", "started_at": 1.0}
    api.says("GET", f"/tasks/{TASK_ID}/steps", [], [plan | {"ended_at": 2.0, "cost": 0.5}])
    told = {"state": "done", "skills": ["read-file", "code-analysis"]}
    api.streams(f"/tasks/{TASK_ID}/events", [("1", "plan", told), ("2", "done", {})])
    lines = [" ".join(line.split()) for line in run("run", "Look")[2].splitlines()]
    assert "plan 2 skills: read-file, code-analysis 1.0s $0.500" in lines


def test_what_the_model_says_of_its_answer_is_seen_at_a_terminal_while_it_says_it(api, tmp_path):
    started(api, *[task("RUNNING")] * 2, task("DONE", output="The whole answer."))
    said = [("", "delta", {"step": "answer", "text": "The whole"}), ("", "delta", {"step": "plan", "text": "{json}"})]
    api.streams(f"/tasks/{TASK_ID}/events", [("1", "status", {}), *said], [("2", "done", {})])
    code, shown = at_a_terminal(["run", "Look"], tmp_path, os.environ | {"PYTHONPATH": str(ROOT)})
    assert code == 0, shown
    assert re.search(r"The whole(?! answer)", shown), shown
    assert "{json}" not in shown
    assert shown.count("The whole answer.") == 1


def test_progress_follows_the_events_between_two_looks(api, tmp_path):
    """Steps are read seldom when they are many: what ended since then is known from the events."""
    started(api, *[task("RUNNING")] * 2, task("DONE", output="x"))
    steps = [step("read-file", "open", end=None, id=f"c.{n}") for n in range(4)]
    api.says(
        "GET", f"/tasks/{TASK_ID}/steps", steps, steps, [one | {"state": "answered", "ended_at": 101} for one in steps]
    )
    ended = [(str(n), "call", {"id": f"c.{n}", "state": "done", "at": 101.0}) for n in range(3)]
    api.streams(f"/tasks/{TASK_ID}/events", ended, [("9", "done", {})])
    shown = at_a_terminal(["run", "Look"], tmp_path, os.environ | {"PYTHONPATH": str(ROOT)})[1]
    assert "3/4" in shown


def test_run_without_a_server_names_the_command(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_URL", "http://127.0.0.1:1")
    code, out, err = run("run", "Look")
    assert (code, out) == (3, "")
    assert "start it with `holdfast up`" in err


def test_exec_prints_a_string_result_plain(api, run, program):
    started(api, task("DONE", output="# Report"))
    assert run("exec", program)[1] == "# Report\n"


def test_exec_groups_calls_of_one_skill_into_one_line(api, run, program):
    started(api, task("DONE", output=1))
    steps = [step("read_file"), step("read_file"), step("read_file", end=100.2), step("code-analysis")]
    api.says("GET", f"/tasks/{TASK_ID}/steps", steps)
    lines = [line.split() for line in run("exec", program)[2].splitlines()]
    assert ["read_file", "x3", "1.0s"] in lines
    assert ["code-analysis", "1.0s"] in lines


def test_a_line_is_printed_once_and_only_when_no_call_can_join_it(api, run, program):
    started(api, task("RUNNING"), task("RUNNING"), task("DONE", output=1))
    growing = [
        [step("read_file")],
        [step("read_file"), step("read_file"), step("search")],
    ]
    api.says("GET", f"/tasks/{TASK_ID}/steps", *growing)
    err = run("exec", program)[2]
    assert [line.split()[:2] for line in err.splitlines() if "read_file" in line] == [["read_file", "x2"]]


def test_failed_program_shows_its_error_and_line_and_exits_1(api, run, program):
    said = "Traceback (lines of the program):\n  line 7, in <module>: 1 / 0\nZeroDivisionError: division by zero"
    started(api, task("ERROR", failure={"type": "ZeroDivisionError", "message": said}, stdout="so far so good\n"))
    code, out, err = run("exec", program)
    assert (code, out) == (1, "")
    assert said in err
    assert "so far so good" in err


def test_invalid_program_exits_2_with_the_place(api, run, program):
    api.refuses("POST", "/tasks", 422, "INVALID_PROGRAM", "line 3, column 7: invalid syntax")
    code, out, err = run("exec", program)
    assert (code, out) == (2, "")
    assert "line 3, column 7" in err


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NOT_FOUND", 2),
        (409, "CONFLICT", 2),
        (403, "FORBIDDEN", 2),
        (503, "TEMPORAL_UNAVAILABLE", 3),
        (500, "INTERNAL", 1),
    ],
)
def test_each_kind_of_refusal_has_its_exit_code(api, run, program, status, code, expected):
    api.refuses("POST", "/tasks", status, code, "said so")
    found, _, err = run("exec", program)
    assert (found, "said so" in err) == (expected, True)


def test_detached_exec_prints_only_the_id(api, run, program):
    started(api)
    assert run("exec", program, "--detach")[:2] == (0, f"{TASK_ID}\n")


def test_exec_sends_what_its_flags_say(api, run, program):
    started(api, task("DONE", output=1))
    run(
        "exec",
        program,
        "--input",
        '{"n": 2}',
        "--skills",
        "a, b",
        "--repair",
        "ask",
        "--key",
        "k",
        "--limit",
        "run_seconds=5",
    )
    assert api.bodies("POST", "/tasks") == [
        {
            "type": "program",
            "program": "result = 1\n",
            "input": {"n": 2},
            "skills": ["a", "b"],
            "on_error": "ask",
            "idempotency_key": "k",
            "limits": {"run_seconds": 5.0},
        }
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input", "{"], "not JSON"),
        (["--input", "@missing.json"], "cannot read 'missing.json'"),
        (["--limit", "speed=1"], "run_seconds"),
        (["--limit", "run_seconds=fast"], "limits.run_seconds"),
        (["--limit", "run_seconds=0"], "greater than 0"),
    ],
)
def test_wrong_flags_exit_2_and_name_what_is_allowed(api, run, program, words, said):
    code, _, err = run("exec", program, *words)
    assert (code, said in err, api.asked) == (2, True, [])


def test_missing_and_empty_programs_exit_2(api, run, tmp_path):
    (tmp_path / "empty.py").write_text(" \n")
    assert run("exec", "nowhere.py")[0] == 2
    assert run("exec", "empty.py")[0] == 2


def test_a_question_without_a_terminal_says_how_to_answer(api, run, program):
    question = {"id": "q.1", "text": "Refund [812.40] EUR?", "options": ["yes", "no"], "asked_at": 1.0}
    started(api, task("WAITING", questions=[question]), task("WAITING", questions=[question]), task("DONE", output=1))
    err = run("exec", program)[2]
    assert err.count("Refund [812.40] EUR?  [yes / no]") == 1
    assert f"holdfast answer {TASK_ID} q.1 VALUE" in err


def test_answer_finds_the_only_open_question(api, run):
    answered = {"id": "q.0", "text": "old", "state": "answered", "asked_at": 1.0}
    open_ = {"id": "q.1", "text": "How many?", "asked_at": 1.0}
    api.says("GET", f"/tasks/{TASK_ID}/questions", [answered, open_])
    api.says("POST", f"/tasks/{TASK_ID}/questions/q.1", open_ | {"state": "answered", "answer": 12})
    assert run("answer", TASK_ID, "12")[0] == 0
    assert api.bodies("POST", f"/tasks/{TASK_ID}/questions/q.1") == [{"value": 12}]


def test_reject_closes_the_only_open_question(api, run):
    open_ = {"id": "q.1", "text": "Which?", "state": "open", "asked_at": 1.0}
    api.says("GET", f"/tasks/{TASK_ID}/questions", [open_])
    api.says("POST", f"/tasks/{TASK_ID}/questions/q.1/reject", open_ | {"state": "rejected"})
    code, _, err = run("reject", TASK_ID)
    assert (code, "rejected: Which?" in err) == (0, True)


def test_answer_refuses_what_is_no_option(api, run):
    question = {"id": "q.1", "text": "Sure?", "options": ["yes", "no"], "asked_at": 1.0}
    api.says("GET", f"/tasks/{TASK_ID}/questions", [question])
    code, _, err = run("answer", TASK_ID, "maybe")
    assert (code, "allowed: yes, no" in err) == (2, True)


def test_answer_names_the_open_questions_when_there_are_several(api, run):
    several = [{"id": f"q.{n}", "text": f"Question {n}?", "asked_at": 1.0} for n in (1, 2)]
    api.says("GET", f"/tasks/{TASK_ID}/questions", several)
    code, _, err = run("answer", TASK_ID, "yes")
    assert (code, "q.1 'Question 1?'; q.2 'Question 2?'" in err) == (2, True)


def test_a_unique_prefix_finds_its_task(api, run):
    other = task(id="0197ffff-1111-7222-8333-444455556666")
    api.says("GET", "/tasks", [task(), other])
    api.says("GET", f"/tasks/{TASK_ID}", task("DONE", output="found"))
    assert run("show", "0197a3", "--result")[:2] == (0, "found\n")


@pytest.mark.parametrize(("prefix", "said"), [("0197a", "first 6"), ("0197a3", "2 tasks begin"), ("999999", "no task")])
def test_a_prefix_that_finds_no_single_task_exits_2(api, run, prefix, said):
    twin = task(id=TASK_ID.replace("6666", "7777"))
    api.says("GET", "/tasks", [task(), twin])
    code, _, err = run("show", prefix)
    assert (code, said in err) == (2, True)


def test_a_result_asked_too_early_exits_2_and_says_how_to_wait(api, run):
    api.says("GET", f"/tasks/{TASK_ID}", task("RUNNING"))
    code, out, err = run("show", TASK_ID, "--result")
    assert (code, out, "--follow" in err) == (2, "", True)


def test_list_asks_for_page_after_page(api, run):
    api.says("GET", "/tasks", [task()])
    api.links["/tasks"] = ['</tasks?cursor=c>; rel="next"']
    assert len(json.loads(run("list", "--json")[1])) == 2


def test_no_server_exits_3_and_names_the_command(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_URL", "http://127.0.0.1:1")
    code, out, err = run("list")
    assert (code, out) == (3, "")
    assert "no holdfast at http://127.0.0.1:1; start it with `holdfast up`" in err


def test_another_server_at_the_url_is_told_from_holdfast(api, run):
    api.says("GET", "/tasks", "<html>hello</html>")
    code, _, err = run("list")
    assert (code, "is no holdfast API" in err) == (3, True)


def test_unknown_command_exits_2_and_suggests(run):
    code, _, err = run("exce", "x.py")
    assert (code, "Did you mean 'exec'" in err) == (2, True)


def test_output_without_a_terminal_has_no_escape_codes(api, run, program):
    started(api, task("DONE", output="plain", calls_done=1))
    _, out, err = run("exec", program)
    assert "\x1b" not in out + err


def test_ctrl_c_detaches_and_exits_130(api, program):
    started(api, task("RUNNING"))
    words = [sys.executable, "-m", "cli.main", "exec", program]
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, env={**os.environ}, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stderr is not None
        assert TASK_ID in process.stderr.readline()
        while not api.bodies("GET", f"/tasks/{TASK_ID}"):
            time.sleep(0.01)
        process.send_signal(2)
        rest = process.stderr.read()
        assert process.wait(10) == 130
    assert f"holdfast show {TASK_ID} --follow" in rest
    assert "Traceback" not in rest
    assert not api.bodies("POST", f"/tasks/{TASK_ID}/cancel")


def test_help_lists_commands_in_groups_and_loads_no_room():
    code = (
        "import sys; sys.argv=['holdfast','--help']\nimport cli.main\ntry: cli.main.main()\nexcept SystemExit: pass\n"
    )
    heavy = "heavy = [m for m in ('temporalio','fastapi','sqlalchemy','pydantic','httpx2') if m in sys.modules]"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}{heavy}\nprint(heavy, file=sys.stderr)"], capture_output=True, text=True
    )
    assert ran.stderr.strip() == "[]"
    for group in ("Run it", "Tasks", "Look after it"):
        assert group in ran.stdout
