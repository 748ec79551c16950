"""`holdfast chat` over everything that `holdfast up` starts, with a scripted model: through pipes and at a terminal."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from holdfast import Client, run_agent
from holdfast.errors import Conflict
from tests.support.chats import CHAPTERS, COUNTS, ChatProject, answers, chats, programs
from tests.support.stub_llm import Request, StubLlm
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ChatProject, StubLlm]]:
    with chats(tmp_path_factory.mktemp("chat") / "höld fast") as both:
        yield both


@pytest.fixture
def project(house: tuple[ChatProject, StubLlm]) -> ChatProject:
    return house[0]


@pytest.fixture
def stub(house: tuple[ChatProject, StubLlm]) -> StubLlm:
    """The model without what the last test taught it."""
    house[1].reset()
    return house[1]


def client(project: ChatProject) -> Client:
    return Client(f"http://127.0.0.1:{project.ports[0]}", "")


def test_hi_is_answered_without_a_tool_and_exit_ends_with_0(project, stub):
    answers(stub, "Hi", "Hello there!")
    ran = project.run("chat", "--session", "hi", stdin="Hi\nexit\n")
    assert (ran.returncode, ran.stdout) == (0, "Hello there!\n"), ran.stderr
    with client(project) as api:
        (said,) = api.messages("hi")
        assert said.answer == "Hello there!"
        assert [step.kind for step in api.steps(said.task_id)] == ["llm"]


def test_the_model_is_told_what_was_said_before(project, stub):
    answers(stub, "Alice", "Nice to meet you.")
    answers(stub, "What is my name", "Alice.")
    ran = project.run("chat", "--session", "alice", stdin="My name is Alice\nquit\n")
    assert ran.returncode == 0, ran.stderr
    ran = project.run("chat", "--resume", "alice", stdin="What is my name?\n")
    assert ran.stdout == "Alice.\n", ran.stderr
    assert "> My name is Alice\nNice to meet you.\n" in ran.stderr
    said = [text for _, text in stub.requests[-1].messages]
    assert any("My name is Alice" in text for text in said[:-1]), said


def test_a_tool_is_used_and_shown(project, stub):
    programs(
        stub, "current directory", ["list-files"], "result = [f['path'] for f in skills.list_files(path='.')['files']]"
    )
    ran = project.run("chat", stdin="What files are in the current directory?\n")
    assert "README.md" in ran.stdout, ran.stderr
    assert re.search(r"^    list-files +path='.'", ran.stderr, re.MULTILINE), ran.stderr


def test_a_file_is_read_after_a_call_with_wrong_arguments_was_mended(project, stub):
    programs(stub, "Read the README.md", ["read-file"], "result = skills.read_file(pth='README.md')")
    stub.rule("pth", "```python\nresult = skills.read_file(path='README.md')['text']\n```")
    ran = project.run("chat", "--once", "Read the README.md file")
    assert "About holdfast" in ran.stdout, ran.stderr
    assert "skills.read_file has no argument 'pth'; did you mean 'path'?" in ran.stderr


def test_a_question_is_asked_and_answered_where_one_is(project, stub):
    programs(stub, "Paint", ["ask"], "result = 'painted ' + skills.ask(text='Which hue?', options=['red', 'blue'])")
    ran = project.run("chat", stdin="Paint it\ngreen\n2\nexit\n")
    assert (ran.returncode, ran.stdout) == (0, "painted blue\n"), ran.stderr
    assert "?  Which hue?  [red / blue]" in ran.stderr
    assert "'green' is no option of this question" in ran.stderr


def test_an_approval_shows_the_call_and_may_cover_the_next_ones(project, stub):
    people = ["ann@example.org", "bob@example.org"]
    programs(stub, "Mail", ["send-mail"], f"result = [skills.send_mail(to=one) for one in {people}][-1]")
    ran = project.run("chat", stdin="Mail both\napprove 1\nexit\n")
    assert (ran.returncode, ran.stdout) == (0, "sent to bob@example.org\n"), ran.stderr
    assert ran.stderr.count("       skill      send-mail\n") == 1
    assert '"to": "ann@example.org"' in ran.stderr


def test_a_conversation_can_be_had_from_python(project, stub, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URL", f"http://127.0.0.1:{project.ports[0]}")
    monkeypatch.chdir(project.folder)
    answers(stub, "Alice", "Nice to meet you.")
    answers(stub, "What is my name", "Alice.")
    assert run_agent("My name is Alice", session_id="python").output == "Nice to meet you."
    with Client() as client:
        taken = client.say("python", "What is my name?")
        assert client.wait(taken.task_id).output == "Alice."
        assert [turn.answer for turn in client.messages("python")] == ["Alice.", "Nice to meet you."]
        assert "python" in [session.id for session in client.sessions(100)]
        client.close_session("python")
        assert client.session("python").state == "closed"
        with pytest.raises(Conflict, match="closed"):
            client.say("python", "And now?")


def test_an_image_reaches_the_model_as_an_image(project, stub):
    (project.folder / "dot.png").write_bytes(PNG)
    answers(stub, "What is in", "A red dot.")
    ran = project.run("chat", "--once", "What is in @dot.png?")
    assert ran.stdout == "A red dot.\n", ran.stderr
    assert images(stub.requests[-1]) == 1


def images(request: Request) -> int:
    contents = [message["content"] for message in request.body["messages"]]
    return sum(part["type"] == "image_url" for content in contents if isinstance(content, list) for part in content)


def test_once_gives_scripts_the_answer_or_lines_of_json(project, stub):
    answers(stub, "Hi", "Hello there!")
    ran = project.run("chat", "--once", "Hi", "--json")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (ran.returncode, lines[-1]["event"], lines[-1]["output"]) == (0, "answer", "Hello there!")
    assert {"status", "plan", "usage", "done"} <= {line["event"] for line in lines}


def test_the_cost_of_a_model_without_a_price_is_unknown(project, stub):
    answers(stub, "Hi", "Hello there!")
    ran = project.run("chat", "--session", "cost", stdin="Hi\nHi again\n/cost\n")
    assert re.search(r"session    2 turns: 2 LLM calls, [\d,]+ tokens in, \d+ out, cost unknown", ran.stderr), (
        ran.stderr
    )


def test_a_chat_that_is_killed_goes_on_where_it_was(project, stub):
    """SIGKILL while the turn runs: `--resume` shows its answer, and nothing was asked twice."""
    answers(stub, "slow one", "Here it is.", delay_s=3)
    with Terminal(["chat", "--session", "killed"], project.folder, project.env) as first:
        first.type("The slow one")
        first.see("    plan")
        first.kill()
    with Terminal(["chat", "--resume", "killed"], project.folder, project.env) as second:
        second.see("> The slow one")
        second.see("Here it is.")
        second.type("exit")
        assert second.end() == 0
    assert len(stub.requests) == 1


def test_ctrl_c_leaves_a_turn_running_and_follow_comes_back_to_it(project, stub):
    answers(stub, "slow one", "Here it is.", delay_s=4)
    with Terminal(["chat"], project.folder, project.env) as chat:
        chat.type("The slow one")
        chat.see("    plan")
        chat.press(b"\x03")
        chat.see("cancel this turn? [y/N]")
        chat.type("n")
        chat.see("the turn goes on")
        chat.type("/follow")
        chat.see("Here it is.")
        chat.type("exit")
        assert chat.end() == 0


def test_ctrl_c_can_cancel_a_turn(project, stub):
    programs(stub, "Wait", ["sleep"], "skills.sleep(seconds=600)")
    with Terminal(["chat"], project.folder, project.env) as chat:
        chat.type("Wait a while")
        chat.see("sleep")
        chat.press(b"\x03")
        chat.see("cancel this turn? [y/N]")
        chat.type("y")
        chat.see("was cancelled")
        chat.type("exit")
        assert chat.end() == 0


def test_a_killed_worker_is_a_pause_and_no_error(project, stub):
    """SIGKILL to the worker in the middle of a turn: no finished call is repeated, and the chat shows no error."""
    programs(stub, "Count", ["count-words"], COUNTS)
    with Terminal(["chat"], project.folder, project.env) as chat:
        chat.type("Count the words of all chapters")
        project.wait(lambda: len(project.counted) >= 2)
        (worker,) = project.processes("worker")
        os.kill(worker, signal.SIGKILL)
        chat.see("paused: ")
        chat.see("goes on after ")
        chat.see("The six chapters have 2100 words.")
        chat.type("exit")
        assert chat.end() == 0
    assert "error" not in chat.sent
    assert sorted(set(project.counted)) == CHAPTERS
    assert len(project.counted) <= len(CHAPTERS) + 1, "only the call in flight may run again"


@pytest.mark.parametrize("victim", ["serve", "start-dev"])
def test_a_killed_api_or_server_is_a_pause_and_no_error(project, stub, victim):
    """SIGKILL to the API, or to the Temporal server, while the model thinks: it is asked once, and the answer comes."""
    answers(stub, "slow one", "Here it is.", delay_s=5)
    command = [sys.executable, "-m", "cli.main", "chat", "--once", "The slow one"]
    with subprocess.Popen(
        command, cwd=project.folder, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as chat:
        project.wait(lambda: stub.requests)
        (found,) = project.processes(victim)
        os.kill(found, signal.SIGKILL)
        out, err = chat.communicate(timeout=90)
    assert (chat.returncode, out) == (0, "Here it is.\n"), err
    assert "error" not in err
    assert len(stub.requests) == 1
