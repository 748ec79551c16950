"""Configurations and flows over HTTP and on the command line: an API process over a project whose files change."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from holdfast.ports import free_port
from tests.support.api import Api, problem
from tests.support.cli import Project
from tests.support.skill_folders import write_files

FLOW = """
name: Night_shift
description: Two steps
coordination_type: iterative_refinement
max_iterations: 2
input_schema: {type: object, required: [topic]}
steps:
- agent_type: research
- {name: judge, agent: assessor, condition: "iteration > 0"}
"""
LOST = """
name: lost
agent_type: finder
execution_mode: scheduled
llm_config: {provider: openai, model: m, api_base: "http://me:pa55@localhost:1/v1", max_tokens: 7}
tools: [{name: echo, type: api, url: "http://u:t0ps@x/", auth: {key: s3cret}}]
schedule_config: {type: cron, cron: "0 0 * * *", task_data: {prompt: Go, api_key: k3y}}
"""
FILES: dict[str, str | bytes] = {
    "holdfast.yaml": "",
    "flows/night.yaml": FLOW,
    "workflows/off.yml": "name: off\nenabled: false\nsteps: [{agent: assistant}]",
    "config/agents/lost.yml": LOST,
    "agents/off.yaml": "name: off\nenabled: false",
    "subagents/sql-reviewer/agent.yaml": "name: SqlReviewer\nagent: {available_skills: [read-file]}",
}


def opened(folder: Path) -> Api:
    project = write_files(folder / "mein Projekt", FILES)
    return Api(folder / "home", project, TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}").start()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One that nobody changes."""
    api = opened(tmp_path_factory.mktemp("flows"))
    yield api
    api.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for tests that change its files, each its own ones."""
    api = opened(tmp_path_factory.mktemp("changing"))
    yield api
    api.close()


def names(api: Api, path: str) -> list[str]:
    return [one["name"] for one in api.get(path)["configs"]]


# -- configurations


def test_a_configuration_is_shown_whole_and_without_secrets(api: Api) -> None:
    text = api.http.get("/configs/lost").text
    assert [secret for secret in ("s3cret", "pa55", "t0ps", "k3y") if secret in text] == []
    config = json.loads(text)
    assert config["llm_config"] == config["models"][0]
    assert (config["llm_config"]["max_tokens"], config["llm_config"]["api_base"]) == (7, "http://***@localhost:1/v1")
    assert config["schedule"]["input"] == {"prompt": "Go", "api_key": "***"}
    assert (config["schedule"]["cron"], config["schedule"]["file"]) == ("0 0 * * *", "config/agents/lost.yml")
    assert (config["agent_type"], config["execution_mode"], config["skills"]) == ("finder", "scheduled", ["echo"])
    assert [secret for secret in ("s3cret", "pa55", "t0ps", "k3y") if secret in api.http.get("/agents/lost").text] == []


def test_a_configuration_that_is_not_there_is_answered_with_what_is(api: Api) -> None:
    body = problem(api.http.get("/configs/lots"), 404, "AGENT_NOT_FOUND")
    assert "did you mean 'lost'?" in body["detail"]
    assert "lost" in body["error"]["details"]["available"]


def test_configurations_are_listed_by_what_they_say(api: Api) -> None:
    everything = names(api, "/configs")
    assert {"lost", "off", "sql-reviewer", "master"} <= set(everything)
    assert api.get("/configs")["total"] == len(everything)
    assert names(api, "/configs/enabled") == [name for name in everything if name != "off"]
    assert names(api, "/configs/type/finder") == names(api, "/configs/mode/scheduled") == ["lost"]
    assert names(api, "/configs/type/nobody") == []
    assert "'continuous'" in problem(api.http.get("/configs/mode/sometimes"), 422, "INVALID_REQUEST")["detail"]


def test_a_subagent_is_found_by_the_name_that_it_is_shown_under(api: Api) -> None:
    assert api.get("/agents/SqlReviewer")["name"] == api.get("/configs/sql_reviewer")["name"] == "sql-reviewer"


def validated(api: Api, config: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = api.http.post("/configs/validate", json={"config": config, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_text_is_validated_as_its_file_would_be(api: Api) -> None:
    assert validated(api, "name: a\nskills: [ecko]") == {
        "valid": True,
        "kind": "agent",
        "name": "a",
        "errors": [],
        "warnings": [
            {
                "level": "warning",
                "file": "agent.yaml",
                "line": None,
                "key": "skills",
                "message": "agent.yaml: key 'skills': no skill named 'ecko' is here; add it, or take it out",
            }
        ],
    }
    wrong = validated(api, "name: f\nsteps:\n- agnt: a")
    assert (wrong["valid"], wrong["kind"], wrong["name"]) == (False, "flow", None)
    assert (wrong["errors"][0]["line"], wrong["errors"][0]["key"]) == (3, "steps[0].agnt")
    assert validated(api, {"name": "f", "steps": [{"agent": "assistant"}]})["valid"]
    assert not validated(api, {"name": "f", "steps": [{"agent": "assistant"}]}, kind="agent")["valid"]
    assert "not YAML" in validated(api, "- [")["errors"][0]["message"]
    assert not (api.project / "flows" / "f.yaml").exists()


def test_an_upload_is_a_file_that_tasks_find_and_is_not_written_over(own: Api) -> None:
    sent = {"config": "# mine\nname: Little_Helper\nsystem_prompt: Help.\n"}
    answer = own.http.post("/configs/upload", json=sent)
    assert (answer.status_code, answer.json()["file"]) == (201, "agents/Little_Helper.yaml")
    assert (own.project / "agents" / "Little_Helper.yaml").read_text() == sent["config"]
    assert own.get("/agents/little-helper")["system_prompt"] == "Help."
    assert "replace" in problem(own.http.post("/configs/upload", json=sent), 409, "CONFLICT")["detail"]
    changed = {"config": "name: Little_Helper\nsystem_prompt: Help well.\n", "replace": True}
    assert own.http.post("/configs/upload", json=changed).status_code == 201
    assert own.get("/agents/little-helper")["system_prompt"] == "Help well."
    flow = {"config": {"name": "f", "steps": [{"agent": "assistant", "input": "Ünï 😀"}]}}
    assert own.http.post("/configs/upload", json=flow).json()["file"] == "flows/f.yaml"
    assert own.get("/workflows/f")["spec"]["steps"][0]["input"] == "Ünï 😀"
    assert own.get("/errors")["errors"] == []
    assert [path.name for path in (own.project / "agents").iterdir() if path.name.startswith(".")] == []


def test_an_upload_with_an_error_writes_nothing(own: Api) -> None:
    before = set(own.project.rglob("*"))
    body = problem(own.http.post("/configs/upload", json={"config": "name: ../x"}), 422, "INVALID_CONFIG")
    assert "'../x'" in body["detail"]
    body = problem(own.http.post("/configs/upload", json={"config": "name: sqlreviewer"}), 409, "CONFLICT")
    assert "another file" in body["detail"]
    assert set(own.project.rglob("*")) == before


# -- flows


def test_flows_are_listed_and_shown(api: Api) -> None:
    found = {flow["name"]: flow for flow in api.get("/workflows")["workflows"]}
    assert set(found) == {
        *("Night_shift", "off", "content_review", "perspectives", "project_review", "research_assessment"),
        "simple_sequential",
    }
    assert found["Night_shift"] == {
        "name": "Night_shift",
        "description": "Two steps",
        "coordination_type": "iterative_refinement",
        "max_iterations": 2,
        "convergence_check": "assessment_approved",
        "enabled": True,
        "steps": ["research", "judge"],
        "events": [],
        "tags": [],
        "origin": "project",
    }
    assert (found["off"]["enabled"], found["perspectives"]["origin"]) == (False, "builtin")
    page = api.get("/workflows/night-shift")
    assert (page["spec"]["steps"][0]["who"], page["mermaid"].splitlines()[0]) == ("research", "flowchart TD")
    body = problem(api.http.get("/workflows/nightshft"), 404, "WORKFLOW_NOT_FOUND")
    assert "Night_shift" in body["error"]["details"]["available"]


def test_the_registries_of_the_older_platform_have_schemas(api: Api) -> None:
    flows = {flow["name"]: flow for flow in api.get("/admin/workflows")["workflows"]}
    assert flows["Night_shift"]["schema"] == {"type": "object", "required": ["topic"]}
    agents = {agent["name"]: agent for agent in api.get("/admin/agents")["agents"]}
    assert (agents["lost"]["tools"], agents["assistant"]["tools"]) == (["echo"], None)
    assert agents["assessor"]["schema"]["required"][0] == "approved"
    tools = {tool["name"]: tool for tool in api.get("/admin/tools")["tools"]}
    assert "expression" in tools["calculator"]["schema"]["properties"]


@pytest.mark.parametrize(("name", "file"), [("agent", "config/agents/lost.yml"), ("flow", "flows/night.yaml")])
def test_schemas_for_editors_are_served(api: Api, name: str, file: str) -> None:
    schema = api.get(f"/schemas/{name}.json")
    checker = jsonschema.Draft202012Validator(schema)
    checker.check_schema(schema)
    written = yaml.safe_load((api.project / file).read_text())
    assert list(checker.iter_errors(written)) == []
    assert list(checker.iter_errors({**written, "nmae": "x"})) != []


def test_an_edit_is_there_within_two_seconds_and_a_broken_file_is_named_while_the_rest_works(own: Api) -> None:
    write_files(own.project, {"flows/new.yaml": "name: new\nsteps: [{agent: assistant}]"})
    began = time.monotonic()
    while "new" not in [flow["name"] for flow in own.get("/workflows")["workflows"]]:
        assert time.monotonic() - began < 2
    write_files(own.project, {"flows/new.yaml": "name: new\nsteps: [{agent: asistant, on_fail: x}]"})
    told = own.http.post("/reload").json()
    assert "new" not in told["flows"] and "Night_shift" in told["flows"] and "lost" in told["agents"]
    assert [(one["file"], one["line"], one["key"]) for one in told["errors"]] == [
        ("flows/new.yaml", 2, "steps[0].on_fail")
    ]
    assert own.get("/errors")["errors"] == told["errors"]
    (own.project / "flows" / "new.yaml").unlink()
    assert own.get("/errors")["errors"] == []


# -- the command


@pytest.mark.slow
def test_the_command_lists_and_shows_flows_and_draws_one(api: Api) -> None:
    shell, url = Project(api.project), str(api.http.base_url)
    listed = shell.run("flows", HOLDFAST_URL=url)
    rows = {line.split()[0]: line.split() for line in listed.stdout.splitlines()}
    assert rows["Night_shift"][1:5] == ["enabled", "iterative_refinement", "2", "steps"]
    assert rows["off"][1] == "disabled"
    assert len(json.loads(shell.run("flows", "--json", HOLDFAST_URL=url).stdout)) == 7
    shown = shell.run("flows", "show", "night-shift", HOLDFAST_URL=url)
    assert (shown.returncode, "assessment_approved, at most 2 times" in shown.stdout) == (0, True), shown.stderr
    drawn = shell.run("flows", "show", "night-shift", "--mermaid", HOLDFAST_URL=url)
    assert drawn.stdout == api.get("/workflows/night-shift")["mermaid"]
    missing = shell.run("flows", "show", "nightshft", HOLDFAST_URL=url)
    assert (missing.returncode, "did you mean 'night-shift'?" in missing.stderr) == (2, True), missing.stderr


@pytest.mark.slow
def test_files_of_flows_are_checked_without_a_server(tmp_path: Path) -> None:
    project = write_files(tmp_path / "p", FILES | {"flows/bad.yaml": "name: bad\nsteps:\n- agnt: a"})
    shell = Project(project)
    checked = shell.run("flows", "check")
    assert (checked.returncode, "flows/bad.yaml:3: key 'steps[0].agnt'" in checked.stderr) == (1, True), checked.stderr
    assert "2 good, 1 with an error, 0 warnings" in checked.stderr
    good = shell.run("flows", "check", "flows/night.yaml", "--json")
    assert (good.returncode, json.loads(good.stdout)) == (0, [])
    assert shell.run("flows", "check", "flows/gone.yaml").returncode == 2
    doctor = shell.run("doctor")
    assert "flows/bad.yaml:3: key 'steps[0].agnt'" in doctor.stdout + doctor.stderr
