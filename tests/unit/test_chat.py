"""`holdfast chat` against a scripted API: what it sends, prints, asks and waits for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import chatline
from cli.chatinput import Lines
from cli.chatsteps import spoken
from holdfast.client import wire
from tests.support.cli import ROOT
from tests.support.fake_api import TASK_ID, Event, FakeApi, fake_api, problem, task

MESSAGES = "/sessions/s/messages"
EVENTS = f"/tasks/{TASK_ID}/events"
LINE = {"id": "s", "state": "active", "created_at": "2026-01-02T03:04:05Z", "seen_at": "2026-01-02T03:04:05Z"}
TAKEN = {"session_id": "s", "task_id": TASK_ID, "turn": 1, "task": task("PENDING")}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
DONE: Event = ("9", "done", {"at": 3.0, "state": "DONE", "status": "completed", "error": None})
QUESTION = {"id": "q.1", "text": "How many?", "asked_at": 1.0}
ASKED: Event = ("1", "question", {"at": 1.0, "id": "q.1", "text": "How many?", "state": "open"})


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """One session `s`, whose turns answer `Hello!` at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chatline, "_AGAIN_S", 0.05)
    monkeypatch.setattr(wire, "PAUSES_S", (0.01, 0.01))
    with fake_api() as server:
        monkeypatch.setenv("HOLDFAST_URL", server.url)
        server.says("GET", "/sessions/s", LINE)
        server.says("GET", "/sessions", [LINE])
        server.says("POST", MESSAGES, TAKEN, status=201)
        server.streams(EVENTS, [DONE])
        server.says("GET", f"/tasks/{TASK_ID}", task("DONE", output="Hello!"))
        yield server


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Runs `holdfast chat` with these words and this stdin: exit code, stdout, stderr."""
    from io import StringIO

    from cli import main as commands

    def run(*words: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", StringIO(typed))
        monkeypatch.setattr(sys, "argv", ["holdfast", "chat", *words])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_a_message_is_answered_on_stdout_and_exit_ends_it(api, chat):
    code, out, err = chat("--session", "s", typed="Hi\nexit\nnever sent\n")
    assert (code, out) == (0, "Hello!\n"), err
    assert api.bodies("POST", MESSAGES) == [{"text": "Hi"}]
    assert err.splitlines()[0] == "session s"
    assert err.splitlines()[-1] == "come back with: holdfast chat --resume s"


@pytest.mark.parametrize("end", ["quit\n", "EXIT\n", ""])
def test_quit_and_the_end_of_stdin_end_it_too(api, chat, end):
    code, out, _ = chat("--session", "s", typed=end)
    assert (code, out) == (0, "")


def test_a_new_chat_makes_a_session_id_of_its_own(api, chat):
    code, _, err = chat(typed="exit\n")
    assert code == 0
    assert err.splitlines()[0].startswith("session 0")


def test_model_agent_and_offline_go_with_each_message(api, chat):
    api.says("GET", "/agents/editor", {"name": "editor"})
    api.streams(EVENTS, [DONE], [DONE], [DONE])
    chat("--session", "s", "--offline", "--agent", "editor", typed="Hi\n/model a:b\nHo\n/model default\nHu\n")
    offline, other = {"provider": "offline", "model": "offline"}, {"provider": "a", "model": "b"}
    assert [body.get("model") for body in api.bodies("POST", MESSAGES)] == [offline, other, None]
    assert {body["agent"] for body in api.bodies("POST", MESSAGES)} == {"editor"}


def test_mock_is_offline(api, chat):
    chat("--session", "s", "--mock", typed="Hi\n")
    assert api.bodies("POST", MESSAGES)[0]["model"] == {"provider": "offline", "model": "offline"}


@pytest.mark.parametrize(
    "words",
    [
        ("Hi",),
        ("--json",),
        ("--offline", "--model", "a:b"),
        ("--resume", "--session", "s"),
        ("--model", "claude"),
        ("--image", "nowhere.png"),
    ],
)
def test_wrong_flags_are_a_usage_error_and_send_nothing(api, chat, words):
    code, _, err = chat(*words, typed="Hi\n")
    assert (code, api.bodies("POST", MESSAGES)) == (2, []), err


def test_nobody_listening_is_told_as_by_other_commands(api, chat, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URL", "http://127.0.0.1:9")
    code, _, err = chat(typed="Hi\n")
    assert (code, "holdfast up" in err) == (3, True), err


def test_steps_are_shown_once_as_they_end(api, chat):
    call = {"id": "c.1", "skill": "read-file", "summary": "read-file(path='a')", "parent": None}
    api.streams(
        EVENTS,
        [
            ("1", "plan", {"at": 1.0, "state": "started"}),
            ("2", "plan", {"at": 1.5, "state": "done", "decision": "skills", "skills": ["read-file", "grep"]}),
            ("3", "usage", {"at": 1.5, "step": "plan", "provider": "p", "model": "m", "cost": None}),
            ("4", "call", {"at": 2.0, "state": "started", **call}),
            ("5", "call", {"at": 2.2, "state": "done", "ms": 200, **call}),
            DONE,
        ],
    )
    _, _, err = chat("--session", "s", typed="Read a\n")
    lines = [" ".join(line.split()) for line in err.splitlines() if line.startswith("    ")]
    assert lines == ["plan 2 skills: read-file, grep; model: p:m 0.5s cost unknown", "read-file path='a' 0.2s"]


def test_a_failed_turn_is_told_and_the_chat_goes_on(api, chat):
    failure = {"type": "ModelRefused", "message": "wrong key"}
    failed = task("ERROR", error="wrong key", failure=failure)
    api.says("GET", f"/tasks/{TASK_ID}", failed, task("DONE", output="Hello!"))
    api.streams(EVENTS, [DONE], [DONE])
    code, out, err = chat("--session", "s", typed="Hi\nHi\n")
    assert (code, out) == (0, "Hello!\n")
    assert "ModelRefused: wrong key" in err


def test_a_message_behind_others_or_that_is_an_answer_says_so(api, chat):
    api.says("POST", MESSAGES, TAKEN | {"ahead": 2}, TAKEN | {"answered": "q.7"}, status=201)
    api.streams(EVENTS, [DONE], [DONE])
    _, out, err = chat("--session", "s", typed="Hi\nblue\n")
    assert out == "Hello!\nHello!\n"
    assert "2 turns ahead of it" in err
    assert "that answered the open question q.7" in err


def test_a_refused_message_is_told_and_the_chat_goes_on(api, chat):
    api.refuses("POST", MESSAGES, 409, "CONFLICT", "the session is closed")
    code, _, err = chat("--session", "s", typed="Hi\n/new\n")
    assert (code, "the session is closed" in err) == (0, True)


def test_an_unknown_command_names_those_that_there_are_and_a_path_is_none(api, chat):
    _, _, err = chat("--session", "s", typed="/nothing\n/etc/hosts is what?\n")
    assert "no command /nothing; there are: /help" in err
    assert api.bodies("POST", MESSAGES) == [{"text": "/etc/hosts is what?"}]


def test_help_skills_and_cost(api, chat):
    api.says("GET", "/skills", [{"name": "read-file", "description": "Read a file.\nMore."}])
    taken: dict[str, Any] = {"llm_calls": 2, "input_tokens": 1000, "output_tokens": 20}
    api.says("GET", f"/tasks/{TASK_ID}", task(output="Hello!", total_cost=0.5, **taken), task(output="Ho", **taken))
    api.streams(EVENTS, [DONE], [DONE])
    _, _, err = chat("--session", "s", typed="/help\n/skills\nHi\n/cost\n")
    assert "/resume [ID]" in err
    assert "Read a file." in err
    assert "last turn  2 LLM calls, 1,000 tokens in, 20 out, $0.500" in err


def test_an_unknown_cost_is_said_to_be_unknown(api, chat):
    taken: dict[str, Any] = {"llm_calls": 1, "input_tokens": 5, "output_tokens": 2}
    api.says("GET", f"/tasks/{TASK_ID}", task(output="Hello!", **taken))
    _, _, err = chat("--session", "s", typed="Hi\n/cost\n")
    assert "last turn  1 LLM call, 5 tokens in, 2 out, cost unknown" in err


def test_other_commands_and_pipes_do_not_load_the_line_of_a_terminal():
    code = "import sys, cli.main, cli.chat; cli.chat.open_reader(None); print('prompt_toolkit' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL
    )
    assert ran.stdout == "False\n", ran.stderr


# what is typed


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["one"], "one"),
        (["one \\", "two"], "one \ntwo"),
        (["a path\\\\"], "a path\\\\"),
        (['"""', "def f():", "    pass", '"""'], "def f():\n    pass"),
        (['Mend this: """x = 1', 'y = 2""" please'], "Mend this: x = 1\ny = 2 please"),
        (["never \\"], "never \\"),
    ],
)
def test_a_message_may_have_several_lines(typed, message):
    assert Lines(typed).message() == message


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ('{"answer": "Hel', "Hel"),
        ('{"answer": "a \\"b\\" \\u00e4\\n', 'a "b" ä\n'),
        ('{"answer": "half an escape \\', "half an escape "),
        ('{"answer": "all"}', "all"),
        ('{"selected_skills": ["answer"], "rea', ""),
        ("", ""),
    ],
)
def test_an_answer_is_read_from_a_plan_that_is_still_being_written(plan, said):
    assert spoken(plan) == said


# questions


@pytest.fixture
def asking(api: FakeApi) -> FakeApi:
    api.streams(EVENTS, [ASKED, DONE])
    api.says("GET", f"/tasks/{TASK_ID}/questions", [QUESTION])
    api.says("POST", f"/tasks/{TASK_ID}/questions/q.1", QUESTION | {"state": "answered"})
    return api


def answers(api: FakeApi) -> list[Any]:
    return [body["value"] for body in api.bodies("POST", f"/tasks/{TASK_ID}/questions/q.1")]


def test_a_question_takes_the_next_line(asking, chat):
    code, out, err = chat("--session", "s", typed="Count\n12\nexit\n")
    assert (code, out, answers(asking)) == (0, "Hello!\n", [12]), err
    assert "?  How many?" in err


def test_a_question_that_was_answered_long_ago_is_not_asked(asking, chat):
    asking.says("GET", f"/tasks/{TASK_ID}/questions", [QUESTION | {"state": "answered"}])
    chat("--session", "s", typed="Count\nexit\n")
    assert answers(asking) == []


def test_an_option_is_chosen_by_its_number_and_nothing_else_is_taken(asking, chat):
    asking.says("GET", f"/tasks/{TASK_ID}/questions", [QUESTION | {"options": ["red", "blue"]}])
    _, _, err = chat("--session", "s", typed="Paint\ngreen\n2\n")
    assert answers(asking) == ["blue"]
    assert "'green' is no option" in err


def test_a_form_is_filled_field_by_field(asking, chat):
    form = {
        "type": "object",
        "required": ["name", "size"],
        "properties": {
            "name": {"type": "string", "description": "who"},
            "size": {"type": "integer"},
            "hue": {"enum": ["red", "blue"]},
            "fast": {"type": "boolean", "default": False},
            "tags": {"type": "array"},
        },
    }
    asking.says("GET", f"/tasks/{TASK_ID}/questions", [QUESTION | {"form": form}])
    _, _, err = chat("--session", "s", typed='Order\nAnn\nmany\n3\n2\n\n["a"]\n')
    assert answers(asking) == [{"name": "Ann", "size": 3, "hue": "blue", "fast": False, "tags": ["a"]}]
    assert "'many' is no integer" in err
    assert "name  (who; string)" in err


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("approve", "approve"),
        ("y", "approve"),
        ("approve 5", {"decision": "approve", "grant": {"uses": 5}}),
        ("maybe\nno", "deny"),
        ("Deny Not to Bob.", {"decision": "deny", "reason": "Not to Bob."}),
    ],
)
def test_an_approval_shows_what_it_is_about(asking, chat, typed, value):
    about = {"skill": "send-mail", "arguments": {"to": "a@b.c"}, "why": "it reaches out"}
    approval = {"kind": "approval", "options": ["approve", "deny"], "details": about}
    asking.says("GET", f"/tasks/{TASK_ID}/questions", [QUESTION | approval])
    _, _, err = chat("--session", "s", typed=f"Mail\n{typed}\n")
    assert answers(asking) == [value]
    for shown in ("send-mail", '"to": "a@b.c"', "it reaches out"):
        assert shown in err


def test_an_empty_line_leaves_a_question_open(asking, chat):
    _, _, err = chat("--session", "s", typed="Count\n\nexit\n")
    assert answers(asking) == []
    assert f"holdfast answer {TASK_ID} q.1 VALUE" in err


def test_a_question_at_the_end_of_stdin_ends_the_chat_and_says_how_to_come_back(asking, chat):
    code, _, err = chat("--session", "s", typed="Count\n")
    assert (code, answers(asking)) == (0, [])
    assert "holdfast chat --resume s" in err


def test_a_question_that_somebody_else_answered_is_told(asking, chat):
    asking.refuses("POST", f"/tasks/{TASK_ID}/questions/q.1", 409, "CONFLICT", "is answered already")
    code, out, err = chat("--session", "s", typed="Count\n12\n")
    assert (code, out, "is answered already" in err) == (0, "Hello!\n", True)


# images


def test_images_go_by_flag_by_command_and_by_mention(api, chat, tmp_path):
    for name in ("a.png", "b.png", "c d.png"):
        (tmp_path / name).write_bytes(PNG)
    api.says("POST", "/files", {"ref": "ab" * 32, "name": "x", "size_bytes": 24, "media_type": "?"}, status=201)
    typed = '/image b.png\nWhat is in @"c d.png" by a@b.c, or @b.png?\nAnd now?\n'
    api.streams(EVENTS, [DONE], [DONE])
    _, _, err = chat("--session", "s", "--image", "a.png", typed=typed)
    first, second = api.bodies("POST", MESSAGES)
    assert first["text"] == "What is in c d.png by a@b.c, or b.png?", err
    assert [(part["name"], part["media_type"]) for part in first["parts"]] == [
        (name, "image/png") for name in ("a.png", "b.png", "c d.png", "b.png")
    ]
    assert second == {"text": "And now?"}


def test_a_file_that_is_no_image_is_refused_by_its_content(api, chat, tmp_path):
    (tmp_path / "a.png").write_bytes(b"<svg/>")
    code, _, err = chat("--session", "s", typed="/image a.png\nexit\n")
    assert (code, "is no image by its content; allowed: PNG, JPEG, GIF, WebP" in err) == (0, True)


def test_an_image_that_is_too_large_says_how_large_it_may_be(api, chat, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG + b"\0" * (6 << 20))
    code, _, err = chat("--session", "s", "--image", "a.png", typed="exit\n")
    assert (code, "5,242,880 are allowed" in err) == (2, True)


# once


def test_once_prints_the_answer_alone(api, chat):
    code, out, _ = chat("--session", "s", "--once", "Hi")
    assert (code, out) == (0, "Hello!\n")


def test_once_reads_stdin_and_fails_as_its_turn_does(api, chat):
    api.says("GET", f"/tasks/{TASK_ID}", task("ERROR", error="no"))
    code, out, err = chat("--session", "s", "--once", "-", typed="Hi\nthere\n")
    assert (code, out, "no" in err) == (1, "", True)
    assert api.bodies("POST", MESSAGES) == [{"text": "Hi\nthere"}]


def test_once_with_json_is_a_line_for_each_event_and_the_task(api, chat):
    api.streams(EVENTS, [("1", "status", {"state": "RUNNING"}), DONE])
    code, out, _ = chat("--session", "s", "--once", "Hi", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["event"] for line in lines] == ["status", "done", "answer"]
    assert (lines[-1]["session_id"], lines[-1]["output"]) == ("s", "Hello!")


# coming back


def shown(**fields: Any) -> dict[str, Any]:
    turn = {"number": 1, "task_id": TASK_ID, "said": "Hi", "queued_at": 1.0}
    return LINE | {"turns": 1} | {name: value(turn) for name, value in fields.items()}


def test_resume_shows_what_was_said_and_follows_what_runs(api, chat):
    session = shown(recent=lambda turn: [turn | {"answer": "Ho"}], running=lambda turn: turn | {"said": "And?"})
    api.says("GET", "/sessions/s", session)
    code, out, err = chat("--resume", "s", typed="exit\n")
    assert (code, out) == (0, "Hello!\n")
    assert "> Hi\nHo\n> And?\n" in err


def test_resume_takes_the_beginning_of_an_id_or_the_newest(api, chat):
    long = LINE | {"id": "0198c2f1-aaaa"}
    api.says("GET", "/sessions", [long])
    api.says("GET", "/sessions/0198c2f1-aaaa", long)
    for words in (("--resume", "0198c2"), ("--resume",)):
        assert chat(*words, typed="exit\n")[2].startswith("session 0198c2f1-aaaa\n")
    code, _, err = chat("--resume", "nothing", typed="exit\n")
    assert (code, "no session whose id begins with 'nothing'" in err) == (2, True)


# pauses


def test_an_api_that_restarts_is_a_pause_and_the_message_is_one_turn(api, chat):
    api.drops("POST", MESSAGES, 7)
    code, out, err = chat("--session", "s", typed="Hi\n")
    assert (code, out) == (0, "Hello!\n"), err
    assert "~  paused: " in err
    assert "~  goes on after " in err
    assert len(set(api.sent("idempotency-key")) - {None}) == 1
    assert "error" not in err


def test_a_stream_that_breaks_goes_on_behind_its_last_event(api, chat):
    api.streams(EVENTS, [("5", "status", {"currentStep": "Planning"})], [DONE])
    code, out, err = chat("--session", "s", typed="Hi\n")
    assert (code, out) == (0, "Hello!\n"), err
    assert [one for one in api.sent("last-event-id") if one] == ["5"]


def test_an_api_that_stays_away_ends_the_chat_and_says_how_to_come_back(api, chat, monkeypatch):
    monkeypatch.setattr(chatline, "PATIENCE_S", 0.2)
    api.says("POST", MESSAGES, problem(503, "TEMPORAL_UNAVAILABLE", "no Temporal server"), status=503)
    code, _, err = chat("--session", "s", typed="Hi\n")
    assert code == 3, err
    assert "no Temporal server" in err
    assert "holdfast chat --resume s" in err


def test_a_worker_that_is_away_is_a_pause(api, chat, monkeypatch):
    from cli import chatturn

    monkeypatch.setattr(chatturn, "_QUIET_S", 0.1)
    away = task("RUNNING", note="no worker can tell how this task stands")
    api.says("GET", f"/tasks/{TASK_ID}", away, away, task("RUNNING"), task("DONE", output="Hello!"))
    api.streams(EVENTS, *[[] for _ in range(9)])
    code, out, err = chat("--session", "s", typed="Hi\n")
    assert (code, out) == (0, "Hello!\n")
    assert err.count("paused: no worker or server answers") == 1
    assert err.count("goes on after") == 1
