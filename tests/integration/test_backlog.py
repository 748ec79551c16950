"""Follow-up work of conversations: put aside by turns and people, taken up again, worked through whatever dies."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from holdfast import AsyncClient, Client
from holdfast.errors import Conflict, NotFound
from tests.support.api import PROJECT, Api, problem, until
from tests.support.skill_folders import write_files
from tests.support.stack import Stack, running
from tests.support.stub_llm import Fault, StubLlm

TALKER = """
name: talker
system_prompt: You answer.
skills: []
retry: {{max_retries: 0}}
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
"""
OVER = ("DONE", "ERROR", "CANCELLED", "TIMED_OUT")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model: StubLlm) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("backlog")
    project = shutil.copytree(PROJECT, folder / "project")
    write_files(
        project,
        {"holdfast.yaml": "default_agent: talker\n", "agents/talker.yaml": TALKER.format(url=model.url)},
    )
    stack = Stack(folder / "home", project=project)
    with running(stack):
        yield stack


def finished(api: Api, task_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        task: dict[str, Any] = api.get(f"/tasks/{task_id}")
        return task if task["state"] in OVER else None

    found: dict[str, Any] = until(look)
    return found


def turn(api: Api, session: str, program: str) -> dict[str, Any]:
    """A turn that is a program."""
    return finished(api, api.submit(program, session_id=session)["id"])


@pytest.fixture
def session(api: Api) -> str:
    """A conversation with one turn."""
    name = f"talk-{uuid4()}"
    assert turn(api, name, "result = 1")["state"] == "DONE"
    return name


def post(api: Api, path: str, body: Any = None, status: int = 200) -> Any:
    response = api.http.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def add(api: Api, session: str, *texts: str) -> list[str]:
    """Ids of new items."""
    return [post(api, f"/sessions/{session}/backlog", {"text": text}, 201)["id"] for text in texts]


def items(api: Api, session: str) -> dict[str, tuple[str, str]]:
    return {one["text"]: (one["state"], one["note"]) for one in api.get(f"/sessions/{session}/backlog")}


def worked(api: Api, session: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        view: dict[str, Any] = api.get(f"/sessions/{session}/work")
        return view if view["ended"] else None

    found: dict[str, Any] = until(look)
    return found


def backlog_command(stack: Stack, api: Api, *words: str) -> "subprocess.Popen[str]":
    """`holdfast backlog` in the project's folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "backlog", *words],
        cwd=stack.project,
        env=api.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_done(api: Api, session: str, least: int) -> None:
    until(lambda: [state for state, _ in items(api, session).values()].count("done") >= least, 90)


# -- the skills


def test_a_turn_puts_work_aside_and_later_turns_work_it_off(api: Api, session: str) -> None:
    added = turn(api, session, "result = [(await skills.queue_add(text=t))['open'] for t in ('one', 'two', 'three')]")
    assert added["output"] == [1, 2, 3], added
    program = (
        "a = await skills.queue_next()\n"
        "await skills.queue_done(id=a['item']['id'], note='easy')\n"
        "b = await skills.queue_next()\n"
        "await skills.queue_fail(id=b['item']['id'], note='no way')\n"
        "result = [a['item']['text'], b['item']['text'], b['open']]"
    )
    assert turn(api, session, program)["output"] == ["one", "two", 1]
    assert items(api, session) == {"three": ("open", ""), "one": ("done", "easy"), "two": ("failed", "no way")}
    rest = "result = [(await skills.queue_next())['item'] for _ in range(2)]"
    [third, none] = turn(api, session, rest)["output"]
    assert (third["text"], none) == ("three", None)


def test_what_the_skills_refuse_says_what_is_allowed(api: Api, session: str) -> None:
    [item] = add(api, session, "one")
    post(api, f"/sessions/{session}/backlog/{item}/done")
    program = "try:\n    {}\nexcept SkillError as exc:\n    result = exc.message"
    refused = turn(api, session, program.format(f"await skills.queue_fail(id='{item}', note='x')"))["output"]
    assert f"item '{item}' is done already, and cannot become failed" in refused
    refused = turn(api, session, program.format("await skills.queue_done(id='beef')"))["output"]
    assert "no item 'beef' in the backlog of session" in refused
    alone = finished(api, api.submit(program.format("await skills.queue_add(text='x')"))["id"])["output"]
    assert alone.startswith("queue-add works on the backlog of a conversation, and task") and "is in none" in alone


# -- over HTTP


def test_people_add_take_and_mark_items_and_may_repeat_each(api: Api, session: str) -> None:
    place = f"/sessions/{session}/backlog"
    first = post(api, place, {"text": "one", "idempotency_key": "k"}, 201)
    assert post(api, place, {"text": "one", "idempotency_key": "k"}, 201) == first
    add(api, session, "two")
    taken = post(api, f"{place}/next", {"idempotency_key": "mine"})
    assert (taken["item"]["id"], taken["item"]["state"], taken["open"]) == (first["id"], "taken", 1)
    assert post(api, f"{place}/next", {"idempotency_key": "mine"}) == taken
    assert post(api, f"{place}/next")["item"]["text"] == "two"
    assert post(api, f"{place}/next") == {"item": None, "open": 0}
    done = post(api, f"{place}/{first['id']}/done", {"note": "well"})
    assert (done["state"], done["note"]) == ("done", "well")
    assert post(api, f"{place}/{first['id']}/done") == done
    problem(api.http.post(f"{place}/{first['id']}/fail"), 409, "CONFLICT")
    assert [one["text"] for one in api.get(place, state="taken")] == ["two"]


def test_no_session_no_backlog_and_none_of_another_tenant(api: Api, session: str) -> None:
    [item] = add(api, session, "one")
    other = {"X-Tenant-Id": "other"}
    for where, headers in ((f"/sessions/{session}", other), ("/sessions/nowhere", {})):
        problem(api.http.get(f"{where}/backlog", headers=headers), 404, "NOT_FOUND")
        problem(api.http.post(f"{where}/backlog", json={"text": "x"}, headers=headers), 404, "NOT_FOUND")
        problem(api.http.post(f"{where}/backlog/{item}/done", headers=headers), 404, "NOT_FOUND")
        problem(api.http.post(f"{where}/work", headers=headers), 404, "NOT_FOUND")
    problem(api.http.get(f"/sessions/{session}/work"), 404, "NOT_FOUND")
    problem(api.http.post(f"/sessions/{session}/backlog/beef/done"), 404, "NOT_FOUND")
    problem(api.http.post(f"/sessions/{session}/work", json={"max_items": 101}), 422, "INVALID_REQUEST")
    assert items(api, session) == {"one": ("open", "")}


# -- from Python


def test_both_clients_add_list_take_and_mark(api: Api, session: str) -> None:
    with Client(str(api.http.base_url), "") as client:
        first = client.add_to_backlog(session, "one", key="k")
        assert client.add_to_backlog(session, "one", key="k") == first
        client.add_to_backlog(session, "two")
        taken = client.take_from_backlog(session)
        assert (taken.item and taken.item.id, taken.open) == (first.id, 1)
        assert client.finish_backlog_item(session, first.id, "well").note == "well"
        with pytest.raises(Conflict, match="is done already"):
            client.fail_backlog_item(session, first.id)
        with pytest.raises(NotFound, match="nobody works the backlog"):
            client.backlog_work(session)

    async def rest() -> list[tuple[str, str]]:
        async with AsyncClient(str(api.http.base_url), "") as client:
            taken = await client.take_from_backlog(session)
            assert taken.item is not None
            await client.fail_backlog_item(session, taken.item.id, "no way")
            assert (await client.take_from_backlog(session)).item is None
            failed = await client.backlog(session, "failed")
            return [(one.text, one.note) for one in failed]

    assert asyncio.run(rest()) == [("two", "no way")]


# -- working through it


@pytest.mark.slow
def test_items_become_turns_and_are_marked_by_how_these_end(api: Api, stub: StubLlm, session: str) -> None:
    stub.rule(lambda request: "second" in request.last, fault=Fault(status=400))
    stub.rule(lambda request: True, "Well done.")
    add(api, session, "the first thing", "the second thing", "the third thing")
    post(api, f"/sessions/{session}/work", status=202)
    view = worked(api, session)
    assert view["ended"] == "nothing is open"
    assert [(one["text"], one["state"]) for one in view["items"]] == [
        ("the first thing", "done"),
        ("the second thing", "failed"),
        ("the third thing", "done"),
    ]
    found = items(api, session)
    assert (found["the first thing"], found["the second thing"][0]) == (("done", "Well done."), "failed")
    assert found["the second thing"][1].startswith("ERROR: ")
    for one in view["items"]:
        task = api.get(f"/tasks/{one['task_id']}")
        assert (task["session_id"], task["input"], task["name"]) == (session, one["text"], "talker")
    assert view["took"]["tokens"] > 0


@pytest.mark.slow
def test_it_ends_after_so_many_items_and_when_nothing_is_left_of_the_budget(
    api: Api, stub: StubLlm, session: str
) -> None:
    stub.rule(lambda request: True, "Done.")
    add(api, session, "a", "b", "c")
    post(api, f"/sessions/{session}/work", {"max_items": 1}, 202)
    assert worked(api, session)["ended"] == "1 items were worked (max_items)"
    assert {text: state for text, (state, _) in items(api, session).items()} == {"a": "done", "b": "open", "c": "open"}
    post(api, f"/sessions/{session}/work", {"budget": {"seconds": 0}}, 202)
    view = worked(api, session)
    assert (view["ended"], view["items"]) == ("the budget is used up (seconds)", [])


@pytest.mark.slow
def test_what_does_not_fit_into_the_budget_fails_and_nobody_is_asked(api: Api, stub: StubLlm, session: str) -> None:
    add(api, session, "a", "b")
    post(api, f"/sessions/{session}/work", {"budget": {"tokens": 5}}, 202)
    view = worked(api, session)
    assert (view["ended"], len(view["items"]), stub.requests) == ("the budget is used up", 1, [])
    assert items(api, session)["b"] == ("open", "")
    assert items(api, session)["a"][0] == "failed"


@pytest.mark.slow
def test_what_items_took_is_taken_from_the_budget_of_all(api: Api, stub: StubLlm, session: str) -> None:
    stub.rule(lambda request: True, "Done.")
    add(api, session, "a", "b")
    most = 100_000
    post(api, f"/sessions/{session}/work", {"budget": {"tokens": most}}, 202)
    view = worked(api, session)
    assert view["ended"] == "nothing is open"
    budgets = [api.get(f"/tasks/{one['task_id']}")["budget"] for one in view["items"]]
    first = budgets[0]["taken"]["tokens"]
    assert [one["limit"]["tokens"] for one in budgets] == [most, most - first]
    assert view["took"]["tokens"] == sum(one["taken"]["tokens"] for one in budgets) > 0


@pytest.mark.slow
def test_one_order_at_a_time_and_it_can_be_told_to_stop(api: Api, stub: StubLlm, session: str) -> None:
    stub.rule(lambda request: True, "Done.", delay_s=1)
    add(api, session, "a", "b")
    post(api, f"/sessions/{session}/work", status=202)
    until(lambda: api.get(f"/sessions/{session}/work")["items"])
    problem(api.http.post(f"/sessions/{session}/work"), 409, "CONFLICT")
    assert api.http.delete(f"/sessions/{session}/work").status_code == 202
    view = worked(api, session)
    assert (view["ended"], [one["state"] for one in view["items"]]) == ("it was told to stop", ["done"])
    assert items(api, session)["b"] == ("open", "")


@pytest.mark.slow
async def test_work_that_is_terminated_in_temporal_has_ended(
    api: Api, stub: StubLlm, stack: Stack, session: str
) -> None:
    stub.rule(lambda request: True, "Done.", delay_s=20)
    add(api, session, "a")
    post(api, f"/sessions/{session}/work", status=202)
    until(lambda: api.get(f"/sessions/{session}/work")["items"])
    client = await stack.client()
    await client.get_workflow_handle(f"default/backlog:{session}").terminate("by hand")
    view = worked(api, session)
    assert view["ended"] == "its workflow was ended in Temporal (terminated)"
    assert [one["text"] for one in view["items"]] == ["a"]


@pytest.mark.slow
def test_our_command_line_puts_aside_works_and_tells(api: Api, stub: StubLlm, stack: Stack, session: str) -> None:
    def holdfast(command: str, *words: str, code: int = 0) -> tuple[str, str]:
        process = backlog_command(stack, api, command, session, *words)
        out, err = process.communicate(timeout=90)
        assert process.returncode == code, (command, words, out, err)
        return out, err

    stub.rule(lambda request: "second" in request.last, fault=Fault(status=400))
    stub.rule(lambda request: True, "Well done.", delay_s=1)
    assert "nobody works the backlog" in holdfast("status", code=2)[1]
    first = holdfast("add", "the first thing")[0].strip()
    holdfast("add", "the second thing")
    shown, told = holdfast("work", "--wait", "--max-tokens", "100000", code=1)
    assert "1. the first thing" in told and "2. the second thing" in told
    assert "done      Well done." in told and "nothing is open" in told
    assert "1 of 2 items failed" in told
    assert shown == holdfast("status")[0]
    assert [line.split()[1] for line in holdfast("list")[0].splitlines()] == ["done", "failed"]
    assert holdfast("next") == ("", "nothing is open\n")
    assert "is done already" in holdfast("fail", first, code=2)[1]


@pytest.mark.slow
def test_a_killed_worker_and_server_leave_what_is_done_and_nothing_is_worked_twice(
    api: Api, stub: StubLlm, stack: Stack, session: str
) -> None:
    stub.rule(lambda request: True, "Done.", delay_s=0.4)
    texts = [f"thing {number}" for number in range(3)]
    add(api, session, *texts)
    watching = backlog_command(stack, api, "work", session, "--wait")
    until_done(api, session, 1)
    stack.workers[-1].kill()
    assert stack.server is not None
    stack.server.kill()
    stack.start_server()
    stack.start_worker().wait_up()
    until_done(api, session, 3)
    view = worked(api, session)
    assert [(one["text"], one["state"]) for one in view["items"]] == [(text, "done") for text in texts]
    assert len({one["task_id"] for one in view["items"]}) == 3
    assert api.get(f"/sessions/{session}")["turns"] == 4
    out, err = watching.communicate(timeout=60)
    assert (watching.returncode, out.count("  done  ")) == (0, 3), (out, err)
    assert all(f"{number}. thing {number - 1}" in err for number in (1, 2, 3)), err


@pytest.mark.slow
def test_a_session_that_is_closed_ends_the_work_and_keeps_what_is_open(api: Api, stub: StubLlm, session: str) -> None:
    stub.rule(lambda request: True, "Done.", delay_s=20)
    add(api, session, "a", "b", "c")
    post(api, f"/sessions/{session}/work", status=202)
    until(lambda: stub.requests)
    assert api.http.delete(f"/sessions/{session}").status_code in (200, 202)
    view = worked(api, session)
    assert [(one["text"], one["state"]) for one in view["items"]] == [("a", "failed"), ("b", "failed")]
    assert view["items"][0]["note"].startswith("CANCELLED")
    assert "is closed" in view["items"][1]["note"] and view["ended"].startswith("a task could not begin: ")
    assert api.get(f"/tasks/{view['items'][1]['task_id']}")["state"] == "ERROR"
    assert items(api, session)["c"] == ("open", "")
    problem(api.http.post(f"/sessions/{session}/work"), 409, "CONFLICT")
    problem(api.http.post(f"/sessions/{session}/backlog", json={"text": "d"}), 409, "CONFLICT")
