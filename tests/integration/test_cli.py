"""The `holdfast` command against everything that `holdfast up` starts, in a folder with a blank and an umlaut."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import Client, run_agent
from tests.support.cli import ROOT, Project, project

pytestmark = pytest.mark.timeout(150)

ASKS = """
answer = skills.ask(text="How many?")
result = {"answer": answer}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose `up` runs; for tests that leave it running."""
    with project(tmp_path_factory.mktemp("höld fast")) as one:
        one.start_up()
        yield one


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "ä b") as one:
        yield one


def test_up_says_what_runs_and_puts_urls_alone_on_a_line(running):
    lines = running.said.splitlines()
    assert lines[0].startswith("holdfast ")
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["ok", "Temporal"],
        ["ok", "worker"],
        ["ok", "API"],
        ["!", "model"],
    ]
    assert f"http://127.0.0.1:{running.ports[2]}" in lines


def test_exec_runs_a_program_and_prints_its_result(running):
    ran = running.run("exec", running.program("result = {'sum': sum(inputs)}"), "--input", "[1, 2, 3]")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"sum": 6}), ran.stderr
    first, url, *_ = ran.stderr.splitlines()
    assert first.startswith("task ")
    assert url.startswith(f"http://127.0.0.1:{running.ports[2]}/namespaces/default/workflows/default%2F")


def test_run_makes_a_report_of_a_sentence_and_names_the_model_first(running):
    shutil.copytree(ROOT / "examples" / "inventory", running.folder / "examples" / "inventory", dirs_exist_ok=True)
    ran = running.run("run", "Review examples/inventory for bugs and security problems", seconds=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("model: offline")
    assert "examples/inventory/shop/store.py" in ran.stdout
    lines = [" ".join(line.split()) for line in ran.stderr.splitlines()]
    assert lines[0].startswith("task ")
    assert any(line.startswith("plan 3 skills: ") and "model: offline" in line for line in lines), ran.stderr
    assert any(line.startswith("program version 1, ") for line in lines), ran.stderr
    assert any(line.startswith("code-analysis x") for line in lines), ran.stderr
    assert any("2 LLM calls" in line and line.startswith("done in ") for line in lines), ran.stderr


def test_first_line_of_run_comes_within_3_seconds(running):
    """One of three tries is enough: the tests share their machine."""
    assert min(first_line_seconds(running) for _ in range(3)) < 3


def first_line_seconds(running: Project) -> float:
    command = [sys.executable, "-m", "cli.main", "run", "List the files"]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=running.folder, env=running.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("task ")
        took = time.monotonic() - began
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait(60) == 130
    return took


def test_python_gets_an_answer_by_run_agent(running, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URL", f"http://127.0.0.1:{running.ports[0]}")
    monkeypatch.chdir(running.folder)
    task = run_agent("List the files")
    assert (task.state, task.model_used) == ("DONE", "offline:offline"), task
    with Client() as client:
        events = [event.name for event in client.events(task.id)]
        assert client.result(task.id) == task.output
        assert [step.name for step in client.steps(task.id) if step.kind == "llm"] == ["plan", "program"]
        assert "list_files" in client.program(task.id).source
    assert (events[0], events[-1]) == ("status", "done"), events


def test_exec_reads_stdin_and_prints_strings_plain(running):
    ran = running.run("exec", "-", stdin="result = 'ä → b'")
    assert (ran.returncode, ran.stdout) == (0, "ä → b\n"), ran.stderr


def test_a_program_that_raises_exits_1_with_the_python_error_and_its_line(running):
    ran = running.run("exec", running.program("print('so far')\nx = 0\nresult = 1 / x\n"))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "line 3, in <module>: result = 1 / x" in ran.stderr
    assert "ZeroDivisionError: division by zero" in ran.stderr
    assert "so far" in ran.stderr


def test_a_program_that_does_not_parse_exits_2_with_the_place_and_starts_nothing(running):
    before = running.run("list", "--json").stdout
    ran = running.run("exec", running.program("x = 1\nresult = (1 +\n"))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "line 2" in ran.stderr
    assert running.run("list", "--json").stdout == before


def test_an_unknown_skill_exits_2_and_suggests(running):
    ran = running.run("exec", "-", stdin="result = skills.read_fil(path='x')")
    assert ran.returncode == 2
    assert "read_fil" in ran.stderr


def test_a_question_waits_until_it_is_answered_from_elsewhere(running):
    task = running.run("exec", running.program(ASKS), "--detach").stdout.strip()
    running.wait(lambda: "How many?" in running.run("show", task).stderr)
    answered = running.run("answer", task, "12")
    assert answered.returncode == 0, answered.stderr
    ran = running.run("show", task, "--follow")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"answer": 12}), ran.stderr


def test_a_question_is_answered_in_place_at_a_terminal(running):
    file = running.program("result = skills.ask(text='How many?', options=['one', 'two'])\n")
    code, shown = running.at_a_terminal("exec", file, type_at="       > ", typed="2\n")
    assert code == 0, shown
    assert "How many?  [one / two]" in shown
    assert "\r\x1b[1A\x1b[2Ktwo\r\n" in shown or "\ntwo\r\n" in shown, shown


def test_ctrl_c_at_a_terminal_detaches_and_says_how_to_come_back(running):
    code, shown = running.at_a_terminal("exec", running.program(ASKS), type_at="       > ", typed="\x03")
    assert code == 130, shown
    (task,) = re.findall(r"holdfast show (\S+) --follow", shown)
    assert running.run("answer", task, "4").returncode == 0
    assert json.loads(running.run("show", task, "--follow").stdout) == {"answer": 4}


@pytest.mark.slow
def test_every_view_of_a_task_can_be_read_by_programs(running):
    source = "result = skills.write_file(path='a.txt', content='x')['path']\n"
    task = running.run("exec", running.program(source), "--detach").stdout.strip()
    assert running.run("show", task, "--follow").stdout == "a.txt\n"
    assert running.run("show", task, "--program").stdout == source
    journal = json.loads(running.run("show", task, "--journal").stdout)
    assert (journal["format"], [call["skill"] for call in journal["entries"]]) == (1, ["write-file"])
    steps = json.loads(running.run("show", task, "--steps", "--json").stdout)
    assert [step["kind"] for step in steps] == ["program", "call"]
    assert task in [one["id"] for one in json.loads(running.run("list", "--json").stdout)]


def test_cancel_ends_a_waiting_task(running):
    task = running.run("exec", running.program(ASKS), "--detach").stdout.strip()
    assert running.run("cancel", task).returncode == 0
    ran = running.run("show", task, "--follow")
    assert (ran.returncode, "was cancelled" in ran.stderr) == (1, True)


def test_the_same_key_is_the_same_task(running):
    file = running.program("result = 1")
    first, second = (running.run("exec", file, "--key", "once only", "--detach").stdout for _ in range(2))
    assert first == second != ""


def test_skills_are_listed_and_explained(running):
    names = [skill["name"] for skill in json.loads(running.run("skills", "--json").stdout)]
    assert "write-file" in names
    assert "input schema:" in running.run("skills", "write_file").stdout
    assert running.run("skills", "nothing-like-it").returncode == 2


def test_doctor_finds_nothing_broken(running):
    ran = running.run("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(ran.stdout)}
    assert ran.returncode == 0, findings
    assert "bubblewrap" in findings["sandbox"]["text"]
    assert "1 worker" in findings["API"]["text"]


def test_a_second_up_names_the_port_and_its_variable(running):
    ran = running.run("up")
    assert ran.returncode == 3
    assert str(running.ports[0]) in ran.stderr
    assert "HOLDFAST_PORT" in ran.stderr


@pytest.mark.slow
def test_a_killed_worker_is_started_again_and_its_task_goes_on(running):
    task = running.run("exec", running.program(ASKS), "--detach").stdout.strip()
    (worker,) = running.processes("worker")
    os.kill(worker, signal.SIGKILL)
    running.wait(lambda: "worker 1 was killed by SIGKILL; starting it again" in running.said)
    running.wait(lambda: running.processes("worker") not in ([], [worker]))
    running.wait(lambda: running.run("answer", task, "3").returncode == 0)
    ran = running.run("show", task, "--follow")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"answer": 3}), ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_drains_leaves_no_process_and_keeps_its_tasks(idle, number):
    idle.start_up()
    task = idle.run("exec", idle.program(ASKS), "--detach").stdout.strip()
    left = idle.processes("worker") + idle.processes("serve") + idle.processes("start-dev")
    assert len(left) == 3
    assert idle.stop_up(number) == 0
    assert idle.said.splitlines()[-1] == "stopped"
    assert [pid for pid in left if Path(f"/proc/{pid}").exists()] == []

    idle.start_up()
    idle.wait(lambda: idle.run("answer", task, "5").returncode == 0)
    assert json.loads(idle.run("show", task, "--follow").stdout) == {"answer": 5}


@pytest.mark.slow
def test_up_uses_a_temporal_server_that_answers_already(running, idle):
    idle.ports[1] = running.ports[1]
    idle.start_up()
    assert "was running already" in idle.said
    assert idle.stop_up() == 0
    assert running.run("exec", "-", stdin="result = 1").returncode == 0


@pytest.mark.slow
def test_up_shows_why_a_child_does_not_start(idle):
    ran = idle.run("up", DATABASE_URL="sqlite:////proc/nowhere.db")
    assert ran.returncode == 3
    assert "The end of" in ran.stderr
    assert "/proc/nowhere.db" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_up_says_which_port_is_not_temporals(running, idle):
    idle.ports[1] = running.ports[0]
    ran = idle.run("up")
    assert ran.returncode == 3
    assert f"not Temporal listens at 127.0.0.1:{running.ports[0]}" in ran.stderr
    assert "TEMPORAL_ADDRESS" in ran.stderr


@pytest.mark.slow
def test_db_goes_up_and_down(idle):
    assert idle.run("db", "current").stdout == "none\n"
    assert idle.run("db", "upgrade").returncode == 0
    assert json.loads(idle.run("db", "current", "--json").stdout)["revision"] is not None
    assert "no tables" in idle.run("db", "downgrade", "base").stdout
    assert idle.run("db", "upgrade", "no-such").returncode == 2


def test_doctor_names_a_wrong_setting_and_exits_1(idle):
    ran = idle.run("doctor", HOLDFAST_PORT="many")
    assert ran.returncode == 1
    assert "HOLDFAST_PORT" in ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_holds_its_promise_twice(idle):
    for _ in range(2):
        ran = idle.run("demo", seconds=140)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith("model: offline")
        numbers = dict(
            line.rsplit(maxsplit=1) for line in ran.stderr.splitlines() if line.startswith("  ") and line[-1].isdigit()
        )
        assert numbers["  finished calls repeated"] == "0"
        assert numbers["  processes killed while the program ran"] == "2"
        assert numbers["  LLM calls"] == "2"
        assert numbers["  money spent twice"] == "$0.000"


@pytest.mark.slow
def test_interrupted_demo_stops_all_that_it_started(idle):
    command = [sys.executable, "-m", "cli.main", "demo"]
    with subprocess.Popen(command, cwd=idle.folder, env=idle.env, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "task" in line:
                demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130
