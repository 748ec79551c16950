"""What `holdfast backlog` sends and prints, and how it ends, against a scripted API."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import backlogwatch
from cli import main as commands
from holdfast import Client
from holdfast.errors import UserError
from tests.support.cli import ROOT
from tests.support.fake_api import TASK_ID, FakeApi, fake_api, step, task

ITEM_ID = "3f786850e387550f"
BACKLOG, WORK = "/sessions/the%20audit/backlog", "/sessions/the%20audit/work"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.chdir(tmp_path)
    with fake_api() as server:
        monkeypatch.setenv("HOLDFAST_URL", server.url)
        yield server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """A command on the backlog of the session `the audit`: exit code, stdout and stderr."""

    def backlog(command: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["holdfast", "backlog", command, "the audit", *words])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return backlog


def item(state: str = "open", **fields: Any) -> dict[str, Any]:
    at = "2026-01-02T03:04:05Z"
    base = {"id": ITEM_ID, "text": "Profile orders.csv", "state": state, "created_at": at, "updated_at": at}
    return base | fields


def worked(state: str = "taken", **fields: Any) -> dict[str, Any]:
    return {"item_id": ITEM_ID, "task_id": TASK_ID, "text": "Profile orders.csv", "state": state} | fields


def view(*items: dict[str, Any], ended: str = "") -> dict[str, Any]:
    return {"items": list(items), "took": {"tokens": 1234, "usd": 0.031, "calls": 4}, "ended": ended}


def test_items_are_listed_a_line_each(api: FakeApi, run: Run) -> None:
    many = "two\nlines"
    api.says("GET", BACKLOG, [item("taken", taken_by="task-1"), item(text=many), item("done", note="easy\nand more")])
    code, out, _ = run("list")
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    assert code == 0
    assert rows == [
        [ITEM_ID, "taken", "Profile orders.csv", "by task-1"],
        [ITEM_ID, "open", "two"],
        [ITEM_ID, "done", "Profile orders.csv", "easy"],
    ]


def test_an_empty_list_says_how_to_add_and_prints_nothing(api: FakeApi, run: Run) -> None:
    api.says("GET", BACKLOG, [])
    code, out, err = run("list", "--state", "failed")
    assert (code, out) == (0, "")
    assert "no failed work; put some aside: holdfast backlog add 'the audit'" in err


def test_add_prints_the_id_alone_and_a_lost_one_is_sent_again_as_the_same(api: FakeApi, run: Run) -> None:
    api.drops("POST", BACKLOG, 1)
    api.says("POST", BACKLOG, item(), status=201)
    assert run("add", "Profile orders.csv")[:2] == (0, f"{ITEM_ID}\n")
    bodies = api.bodies("POST", BACKLOG)
    assert [body["text"] for body in bodies] == ["Profile orders.csv"] * 2
    assert len({body["idempotency_key"] for body in bodies}) == 1


def test_next_prints_id_and_text_and_how_to_mark_it(api: FakeApi, run: Run) -> None:
    api.says("POST", f"{BACKLOG}/next", {"item": item("taken"), "open": 2}, {"item": None, "open": 0})
    code, out, err = run("next")
    assert (code, out) == (0, f"{ITEM_ID}  Profile orders.csv\n")
    assert f"2 open; mark it: holdfast backlog done 'the audit' {ITEM_ID}" in err
    assert run("next") == (0, "", "nothing is open\n")
    assert len({body["idempotency_key"] for body in api.bodies("POST", f"{BACKLOG}/next")}) == 2


def test_items_are_marked_with_a_note(api: FakeApi, run: Run) -> None:
    api.says("POST", f"{BACKLOG}/{ITEM_ID}/done", item("done", note="easy"))
    api.says("POST", f"{BACKLOG}/{ITEM_ID}/fail", item("failed"))
    assert run("done", ITEM_ID, "--note", "easy") == (0, "", f"item {ITEM_ID} is done\n")
    assert json.loads(run("fail", ITEM_ID, "--json")[1])["state"] == "failed"
    assert api.bodies("POST", f"{BACKLOG}/{ITEM_ID}/done") == [{"note": "easy"}]


def test_a_refusal_is_told_as_the_api_says_it(api: FakeApi, run: Run) -> None:
    api.refuses("POST", f"{BACKLOG}/{ITEM_ID}/done", 409, "CONFLICT", "it is failed already")
    code, out, err = run("done", ITEM_ID)
    assert (code, out, "it is failed already" in err) == (2, "", True)


def test_work_begins_with_what_its_flags_say_and_does_not_wait(api: FakeApi, run: Run) -> None:
    api.says("POST", WORK, view(), status=202)
    code, out, err = run("work", "--max-items", "3", "--max-usd", "0.5", "--max-tokens", "9", "--max-calls", "8")
    assert (code, out) == (0, "")
    assert "holdfast backlog status 'the audit'" in err
    assert api.bodies("POST", WORK) == [{"max_items": 3, "budget": {"usd": 0.5, "tokens": 9, "calls": 8}}]
    run("work", "--max-seconds", "0")
    assert api.bodies("POST", WORK)[1] == {"budget": {"seconds": 0}}
    assert api.bodies("GET", WORK) == []


def test_work_that_is_waited_for_shows_each_item_as_it_goes(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlogwatch, "_LOOK_S", 0.01)
    ended = view(worked("done", note="Well done."), worked("failed", text="Next", note="ERROR: no"), ended="no more")
    api.says("POST", WORK, view(), status=202)
    api.says("GET", WORK, view(), view(worked()), view(worked()), ended)
    api.says("GET", f"/tasks/{TASK_ID}", task("RUNNING"), task("DONE", output="Well done."))
    api.says("GET", f"/tasks/{TASK_ID}/steps", [step("read-file", detail="orders.csv")])
    code, out, err = run("work", "--wait")
    lines = [" ".join(line.split()) for line in err.splitlines()]
    assert code == 1
    assert lines[1:] == [
        "1. Profile orders.csv",
        f"task {TASK_ID}",
        "read-file orders.csv 1.0s",
        "done Well done.",
        "2. Next",
        "failed ERROR: no",
        "2 items worked, 1,234 tokens, $0.031, 4 calls; no more",
        "error 1 of 2 items failed",
    ]
    assert [line.split()[1] for line in out.splitlines()] == ["done", "failed"]


def test_a_wait_outlives_a_temporal_that_is_away_and_says_so_once(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlogwatch, "_LOOK_S", 0.01)
    api.says("POST", WORK, view(), status=202)
    api.says("GET", WORK, view(worked()), view(worked("done"), ended="nothing is open"))
    api.says("GET", f"/tasks/{TASK_ID}", task("DONE"))
    api.says("GET", f"/tasks/{TASK_ID}/steps", [step("read-file")])
    api.refuses_first("GET", WORK, 2, 503, "TEMPORAL_UNAVAILABLE", "no answer within 5 s")
    api.refuses_first("GET", f"/tasks/{TASK_ID}/steps", 2, 503, "TEMPORAL_UNAVAILABLE", "no worker can tell")
    code, out, err = run("work", "--wait", "--json")
    assert (code, json.loads(out)["ended"]) == (0, "nothing is open")
    said = {text: err.count(text) for text in ("no answer within 5 s", "no worker can tell", "read-file")}
    assert said == dict.fromkeys(said, 1)
    assert len(api.bodies("GET", WORK)) == 4


def test_status_shows_items_and_stop_says_what_becomes_of_the_one_in_work(api: FakeApi, run: Run) -> None:
    api.says("GET", WORK, view(worked("done", note="easy"), worked()))
    api.says("DELETE", WORK, view(worked()), view(ended="it was told to stop"), status=202)
    code, out, err = run("status")
    assert (code, [line.split()[:3] for line in out.splitlines()]) == (
        0,
        [[ITEM_ID, "done", TASK_ID], [ITEM_ID, "taken", TASK_ID]],
    )
    assert "1 item worked, 1,234 tokens, $0.031, 4 calls; it goes on" in err
    assert "the one in work is finished" in run("stop")[2]
    assert "it ended: it was told to stop" in run("stop")[2]


def test_a_wrong_budget_is_told_before_anything_is_sent(api: FakeApi) -> None:
    with Client(api.url, "k") as client, pytest.raises(UserError, match="'euros' is no unit"):
        client.work_backlog("s", budget={"euros": 5})
    assert api.asked == []


def test_ctrl_c_detaches_and_stops_nothing(api: FakeApi) -> None:
    api.says("POST", WORK, view(), status=202)
    api.says("GET", WORK, view())
    words = [sys.executable, "-m", "cli.main", "backlog", "work", "the audit", "--wait"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        while not api.bodies("GET", WORK):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(10) == 130
    assert "the work goes on. How it stands: holdfast backlog status 'the audit'" in rest
    assert "Traceback" not in rest
    assert not api.bodies("DELETE", WORK)
