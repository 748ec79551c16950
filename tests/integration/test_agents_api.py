"""Agents over HTTP: an API process, a project's files that change under it, and workers that say what they reach."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast import readiness
from holdfast.config import Settings
from holdfast.ports import free_port
from store.database import Database
from store.workers import Workers, WorkerSeen
from tests.support.api import Api, problem
from tests.support.cli import Project
from tests.support.skill_folders import write_files, write_skill
from tests.support.stack import Stack

REVIEWER = """
name: reviewer
agent_type: code
tags: [Code, review]
llm_config: {provider: openai, model: gpt-4.1}
skills: [echo]
tools_of: none
"""
FILES: dict[str, str | bytes] = {
    "holdfast.yaml": "",
    "agents/reviewer.yaml": REVIEWER.replace("tools_of: none\n", "system_prompt: Review it.\n"),
    "agents/night.yaml": "name: Night_Watch\nexecution_mode: scheduled\nenabled: false\ntags: [code]\n"
    "schedule_config: {cron: 0 3 * * *, task_data: Watch}\n",
    "config/agents/pair.yml": "name: pair\nmodels: [{provider: openai}, {provider: Anthropic, model: m}]\nagent_type: code\n",
    "config/agents/lost.yml": "name: lost\nllm_config: {provider: opnai}\ntools: [{name: echo, type: mcp, auth: {key: s3cret}}]\n",
}


def opened(folder: Path) -> Api:
    """An API over a project in `folder`. Its Temporal server is not there."""
    project = write_files(folder / "mein Projekt", FILES)
    write_skill(project, "echo")
    return Api(folder / "home", project, TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}").start()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One that nobody changes, and that no worker has been seen by."""
    api = opened(tmp_path_factory.mktemp("agents"))
    yield api
    api.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Api]:
    """One for a test that changes its files or its workers."""
    api = opened(tmp_path)
    yield api
    api.close()


async def seen(api: Api, *providers: str, ago: float = 0, name: str = "w") -> None:
    """A worker that was seen then, and said this of its providers."""
    database = await Database.open(
        Settings(project=api.project, home=api.home, database_url=f"sqlite:///{api.home}/holdfast.db")
    )
    now = datetime.now(UTC)
    worker = WorkerSeen(id=name, queues=["llm"], version="0", started_at=now, providers=list(providers))
    await Workers(database).seen(worker, now - timedelta(seconds=ago))
    await database.close()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """A worker says that it is up before its row is written."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def states(api: Api) -> dict[str, tuple[str, str]]:
    return {agent["name"]: (agent["status"], agent["reason"]) for agent in api.get("/agents")["agents"]}


def own_of(found: dict[str, Any]) -> list[str]:
    """The project's own agents in a list of them."""
    return [agent["name"] for agent in found["agents"] if agent["origin"] == "project"]


def test_agents_are_listed_with_what_is_true_and_null_for_the_rest(api: Api) -> None:
    found = api.get("/agents")
    assert (found["total"], own_of(found)) == (11, ["lost", "Night_Watch", "pair", "reviewer"])
    by_name = {agent["name"]: agent for agent in found["agents"]}
    assert by_name["reviewer"] == {
        "name": "reviewer",
        "description": "",
        "agent_type": "code",
        "execution_mode": "autonomous",
        "strategy": "ptc",
        "status": "not_ready",
        "reason": "no worker that asks models was seen for 30 s; start one: holdfast up",
        "enabled": True,
        "capabilities": ["Code", "review"],
        "skills": ["echo"],
        "event_subscriptions": [],
        "model": "openai:gpt-4.1",
        "origin": "project",
        "last_heartbeat": None,
        "restart_count": None,
    }
    assert (by_name["assistant"]["origin"], by_name["assistant"]["model"]) == ("builtin", None)
    assert by_name["pair"]["model"] == "openai:default"
    assert api.get("/api/agents") == found


async def test_an_agent_is_ready_when_a_worker_reaches_one_of_its_models_else_the_variable_is_named(own: Api) -> None:
    await seen(own, "default", readiness.said("openai", "OPENAI_API_KEY"), "anthropic")
    reason = "provider 'openai' needs OPENAI_API_KEY; set it where the worker runs"
    assert states(own)["reviewer"] == ("not_ready", reason)
    assert states(own)["assistant"] == ("ready", "")
    assert states(own)["pair"] == ("ready", "")
    assert states(own)["Night_Watch"][0] == "disabled"
    assert "no provider named 'opnai'; did you mean 'openai'?" in states(own)["lost"][1]
    await seen(own, "openai", name="another")
    assert states(own)["reviewer"] == ("ready", "")


async def test_a_worker_that_was_not_seen_for_long_makes_nothing_ready(own: Api) -> None:
    await seen(own, "default", "openai", ago=31)
    assert {status for status, _ in states(own).values()} == {"not_ready", "disabled"}
    await seen(own, readiness.said("default", "ANTHROPIC_API_KEY"))
    assert states(own)["assistant"][1].startswith("the default provider needs ANTHROPIC_API_KEY")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"agent_type": "code"}, ["pair", "reviewer"]),
        ({"execution_mode": "scheduled"}, ["Night_Watch"]),
        ({"status": "disabled"}, ["Night_Watch"]),
        ({"tags": "code", "agent_type": "code"}, ["reviewer"]),
        ({"tags": ["code", "security"]}, ["security-auditor"]),
        ({"tags": ["code", "REVIEW"]}, ["code-reviewer", "reviewer"]),
        ({"tags": "code", "status": "disabled"}, ["Night_Watch"]),
        ({"agent_type": "poetry"}, []),
    ],
)
def test_every_filter_leaves_those_that_fit(api: Api, filters: dict[str, str | list[str]], names: list[str]) -> None:
    found = api.get("/agents", **filters)
    assert ([agent["name"] for agent in found["agents"]], found["total"]) == (names, len(names))


def test_a_filter_that_means_nothing_is_refused(api: Api) -> None:
    body = problem(api.http.get("/agents", params={"status": "sleepy"}), 422, "INVALID_REQUEST")
    assert "'ready', 'not_ready' or 'disabled'" in body["detail"]


def test_one_agent_is_shown_as_its_file_was_read_without_secrets(api: Api) -> None:
    page = api.get("/agents/REVIEWER")
    assert (page["system_prompt"], page["limits"]["max_repairs"], page["models"][0]["model"]) == (
        "Review it.",
        5,
        "gpt-4.1",
    )
    assert api.get("/agents/night-watch")["name"] == "Night_Watch"
    lost = api.http.get("/agents/lost").text
    assert ("s3cret" in lost, '"auth":"***"' in lost) == (False, True)


def test_an_agent_that_is_not_there_is_answered_with_what_is(api: Api) -> None:
    body = problem(api.http.get("/agents/reviewr"), 404, "AGENT_NOT_FOUND")
    assert "did you mean 'reviewer'?" in body["detail"] and "'assistant'" in body["detail"]


def test_files_are_read_again_within_one_call_and_faults_are_named(own: Api) -> None:
    write_files(own.project, {"agents/new.yaml": "name: new\nskills: [ecko]\n", "agents/reviewer.yaml": REVIEWER})
    assert own_of(own.get("/agents")) == ["lost", "new", "Night_Watch", "pair"]
    told = own.get("/errors")
    [error] = told["errors"]
    assert (error["file"], error["line"], error["key"]) == ("agents/reviewer.yaml", 7, "tools_of")
    assert [(warning["file"], warning["key"]) for warning in told["warnings"]] == [("agents/new.yaml", "skills")]


def test_skills_are_there_under_their_older_paths(api: Api) -> None:
    assert api.get("/api/skills") == api.get("/skills")
    assert api.get("/api/skills/echo") == api.get("/skills/echo")


async def test_the_command_shows_agents_and_says_once_what_several_lack(own: Api) -> None:
    await seen(own, "offline", readiness.said("openai", "OPENAI_API_KEY"))
    write_files(
        own.project, {"agents/second.yaml": "name: second\nllm_config: {provider: openai}\ndescription: Helps\n"}
    )
    shell = Project(own.project)
    url = str(own.http.base_url)
    listed = shell.run("agents", HOLDFAST_URL=url)
    rows = {line.split()[0]: line.split() for line in listed.stdout.splitlines()}
    assert rows["second"][1:] == ["not_ready", "ptc", "openai:default", "all", "skills", "Helps"]
    assert rows["assistant"][1] == "ready"
    assert "not ready: reviewer, second: provider 'openai' needs OPENAI_API_KEY" in listed.stderr
    shown = shell.run("agents", "Reviewer", HOLDFAST_URL=url)
    assert (shown.returncode, "Review it." in shown.stdout) == (0, True), shown.stderr
    assert json.loads(shell.run("agents", "reviewer", "--json", HOLDFAST_URL=url).stdout)["name"] == "reviewer"
    missing = shell.run("agents", "reviewr", HOLDFAST_URL=url)
    assert (missing.returncode, "did you mean 'reviewer'?" in missing.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_worker_that_runs_says_what_its_environment_lacks(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home")
    stack.start_server()
    api = opened(tmp_path)
    try:
        stack.start_worker("agents", "llm").wait_up()
        until(lambda: states(api)["assistant"] == ("ready", ""))
        assert states(api)["reviewer"][1].startswith("provider 'openai' needs OPENAI_API_KEY;")
        stack.start_worker("llm", OPENAI_API_KEY="sk-none").wait_up()
        until(lambda: states(api)["reviewer"] == ("ready", ""))
        assert api.http.get("/health").json()["services"]["llm"] == "ok: openai"
    finally:
        api.close()
        stack.close()
