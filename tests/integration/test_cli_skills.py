"""`holdfast skills new|check|run` and `schema` as processes, in a folder with a blank, without a server."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from holdfast.specs import parse_skill
from tests.support.cli import Project, project
from tests.support.skill_folders import write_files, write_skill
from tests.support.stub_llm import StubLlm


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "höld fast") as one:
        yield one


@pytest.mark.parametrize("kind", ["script", "prompt", "hybrid"])
def test_a_new_skill_has_neither_error_nor_doubt(idle: Project, kind: str) -> None:
    made = idle.run("skills", "new", "count_words", "--kind", kind)
    folder = idle.folder / "skills" / "count-words"
    assert (made.returncode, made.stdout.strip()) == (0, str(folder)), made.stderr
    parsed = parse_skill(folder)
    assert (parsed.spec.kind, parsed.warnings) == (kind, [])
    checked = idle.run("skills", "check")
    assert (checked.returncode, "1 good, 0 with an error, 0 warnings" in checked.stderr) == (0, True), checked.stderr


def test_a_new_script_skill_runs_as_its_hint_says(idle: Project) -> None:
    hints = idle.run("skills", "new", "count-words").stderr.splitlines()
    command, _, arguments = hints[-1].strip().partition(" --input ")
    ran = idle.run(*command.split()[1:], "--input", arguments.strip("'"))
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"words": 3}), ran.stderr
    (idle.folder / "arguments.json").write_text('{"text": "one ä"}', "utf-8")
    ran = idle.run("skills", "run", "count_words", "--input", "@arguments.json")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"words": 2}), ran.stderr


@pytest.mark.parametrize("name", ["Bad Name", "skills", "../out", "-", "count words"])
def test_a_name_that_no_skill_can_have_is_refused_and_makes_nothing(idle: Project, name: str) -> None:
    made = idle.run("skills", "new", "--", name)
    assert (made.returncode, repr(name) in made.stderr) == (2, True), made.stderr
    assert not (idle.folder / "skills").exists()


def test_a_folder_that_is_there_is_not_written_over(idle: Project) -> None:
    folder = write_skill(idle.folder, "tidy")
    before = (folder / "skill.py").read_text()
    made = idle.run("skills", "new", "tidy")
    assert (made.returncode, str(folder) in made.stderr) == (2, True), made.stderr
    assert (folder / "skill.py").read_text() == before


def test_check_names_file_line_and_key_and_fails_on_errors_alone(idle: Project) -> None:
    good = write_skill(idle.folder, "good")
    doubt = write_skill(idle.folder, "doubt", extra="tagz: [a]\n")
    bad = write_skill(idle.folder, "bad", extra="timeout_seconds: soon\n")
    taken = write_skill(idle.folder, "read-file")
    every = idle.run("skills", "check")
    assert every.returncode == 1
    assert "skills/bad/skill.yaml:5: key 'timeout_seconds': found 'soon'" in every.stderr
    assert "skills/read-file: key 'name'" in every.stderr
    assert "skills/doubt/skill.yaml:5: key 'tagz'" in every.stderr
    assert "2 good, 2 with an error, 1 warning" in every.stderr
    one = idle.run("skills", "check", str(doubt), str(good), "--json")
    assert one.returncode == 0
    assert [problem["level"] for problem in json.loads(one.stdout)] == ["warning"]
    assert idle.run("skills", "check", str(bad)).returncode == 1
    assert taken.exists()


def test_check_of_a_folder_that_is_not_there_is_a_usage_error(idle: Project) -> None:
    checked = idle.run("skills", "check", "skills/nowhere")
    assert (checked.returncode, "skills/nowhere" in checked.stderr) == (2, True)


def test_run_takes_built_in_skills_and_a_workspace(idle: Project) -> None:
    write_files(idle.folder / "Büro", {"a.txt": "one\ntwo\n"})
    ran = idle.run("skills", "run", "read-file", "--input", '{"path": "a.txt"}', "--workspace", "Büro")
    assert (ran.returncode, "two" in json.loads(ran.stdout)["text"]) == (0, True), ran.stderr


def test_run_keeps_what_a_skill_prints_off_the_answer_and_gives_it_its_secret_alone(idle: Project) -> None:
    code = "import os\n\ndef run(context):\n    print('noise')\n    return [context.secrets, sorted(os.environ)]\n"
    write_skill(idle.folder, "peek", code, extra="secrets: [MY_TOKEN]\n")
    write_files(idle.folder, {".env": "MY_TOKEN=from-dotenv\nOTHER_TOKEN=x\n"})
    ran = idle.run("skills", "run", "peek")
    assert ran.returncode == 0, ran.stderr
    secrets, names = json.loads(ran.stdout)
    assert secrets == {"MY_TOKEN": "[secret MY_TOKEN]"}
    assert "OTHER_TOKEN" not in names


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["nope"], 2, "no skill named 'nope'"),
        (["write_fil"], 2, "did you mean 'write-file'?"),
        (["echo", "--input", "[1]"], 2, "a JSON object"),
        (["echo", "--input", "{"], 2, "--input"),
        (["read-file", "--input", '{"pat": "x"}'], 2, "did you mean 'path'?"),
        (["ask", "--input", '{"text": "?"}'], 2, "holdfast exec"),
        (["boom"], 1, "ValueError: broken"),
        (["needs"], 3, "NO_SUCH_TOKEN"),
    ],
)
def test_run_says_what_is_wrong_and_whose_it_is(idle: Project, words: list[str], code: int, named: str) -> None:
    write_skill(idle.folder, "echo")
    write_skill(idle.folder, "boom", "def run():\n    raise ValueError('broken')\n")
    write_skill(idle.folder, "needs", extra="secrets: [NO_SUCH_TOKEN]\n")
    ran = idle.run("skills", "run", *words)
    assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr


def test_without_a_model_a_skill_that_needs_one_says_how_to_set_it(idle: Project) -> None:
    idle.run("skills", "new", "titled", "--kind", "hybrid")
    ran = idle.run(
        "skills", "run", "titled", "--input", '{"text": "x"}', ANTHROPIC_API_KEY="", OPENAI_API_KEY="", OLLAMA_HOST=""
    )
    assert (ran.returncode, ran.stdout) == (3, ""), ran.stderr
    assert "ANTHROPIC_API_KEY" in ran.stderr


@pytest.mark.parametrize("kind", ["prompt", "hybrid"])
def test_a_skill_that_needs_a_model_asks_the_one_of_the_settings_once(idle: Project, kind: str) -> None:
    idle.run("skills", "new", "titled", "--kind", kind)
    with StubLlm() as stub:
        stub.rule("title", '{"title": "Later"}' if kind == "prompt" else "Later.")
        arguments = '{"text": "It moves.", "language": "Welsh"}'
        provider, url = "openai-compatible", f"{stub.url}/v1/"
        words = ("skills", "run", "titled", "--input", arguments)
        ran = idle.run(*words, DEFAULT_LLM_PROVIDER=provider, LLM_BASE_URL=url, DEFAULT_LLM_MODEL="m")
        assert (ran.returncode, json.loads(ran.stdout or "0")) == (0, {"title": "Later"}), ran.stderr
        [request] = stub.requests
        assert "in Welsh, for this text:\n\nIt moves." in request.text


def test_a_word_that_is_no_command_is_a_skill_asked_of_the_api(idle: Project) -> None:
    for words in ([], ["read-file"], ["--tag", "x"], ["list", "--json"]):
        ran = idle.run("skills", *words)
        assert (ran.returncode, "no holdfast at" in ran.stderr) == (3, True), ran.stderr
    assert "new" in idle.run("skills", "--help").stdout


def test_agents_asks_the_api_and_says_where_it_looked(idle: Project) -> None:
    ran = idle.run("agents")
    assert (ran.returncode, "no holdfast at" in ran.stderr) == (3, True), ran.stderr


def test_schemas_for_editors_are_json_schemas(idle: Project) -> None:
    for name in ("AgentFile", "SkillFile"):
        found = json.loads(idle.run("schema", name).stdout)
        jsonschema.Draft202012Validator.check_schema(found)
        assert found["additionalProperties"] is False


def test_config_show_says_what_each_source_made_of_a_setting_and_hides_keys(idle: Project) -> None:
    write_files(
        idle.folder,
        {
            "holdfast.yaml": "default_agent: mine\ndefault_llm_model: from-yaml\n",
            ".env": "DEFAULT_LLM_MODEL=glm-4\nAPI_KEY=s3cret\n",
        },
    )
    provider, url = "openai-compatible", "http://127.0.0.1:1/v1/"
    ran = idle.run("config", "show", "--json", LLM_BASE_URL=url, DEFAULT_LLM_PROVIDER=provider)
    found = json.loads(ran.stdout)
    assert {name: found[name] for name in found if "llm" in name or name in ("api_key", "default_agent")} == {
        "default_llm_provider": "openai-compatible",
        "default_llm_model": "glm-4",
        "llm_base_url": "http://127.0.0.1:1/v1",
        "api_key": "***",
        "default_agent": "mine",
    }
    assert "s3cret" not in ran.stdout + idle.run("config", "show").stdout
