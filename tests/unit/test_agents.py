import json
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli.schema import schemas
from holdfast import agentkeys, skillfileschema
from holdfast.agentfiles import MAX_PROMPT_BYTES, AgentFile, parse_agent
from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, BUILTIN_AGENTS, Catalogue, Library, Loaded, load
from holdfast.contracts.agent import AgentSpec
from holdfast.contracts.model import ModelSettings
from holdfast.errors import SpecInvalid, UnknownAgent
from holdfast.sources import Sources
from tests.support.skill_folders import write_files, write_skill

README = """\
# config/agents/my-assistant.yml
name: my-assistant
agent_type: task_executor
execution_mode: autonomous
description: "A helpful AI assistant"

llm_config:
  provider: openai
  model: gpt-4
  temperature: 0.7
  max_tokens: 2000

system_prompt: |
  You are a helpful AI assistant that answers questions accurately and concisely.

tags:
  - general
  - qa

event_subscriptions:
  - "slack.command.ask"
  - "task.submitted.general"
"""
"""The agent of agentrunner's README, to the letter."""

README_MODELS = """\
# OpenAI
llm_config:
  provider: openai
  model: gpt-4
  temperature: 0.7

# Anthropic
llm_config:
  provider: anthropic
  model: claude-3-sonnet-20240229
  max_tokens: 4096

# AWS Bedrock
llm_config:
  provider: bedrock
  model: anthropic.claude-3-sonnet-20240229-v1:0
  region: us-east-1

# Ollama (local)
llm_config:
  provider: ollama
  model: llama2
  host: http://localhost:11434
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "ein Projekt"


def parsed(project: Path, text: str | bytes, where: str = "agents/a.yaml", says_all: bool = True) -> AgentSpec:
    write_files(project, {where: text})
    found = parse_agent(AgentFile(project / where, where, project, says_all=says_all), Sources())
    assert found.warnings == []
    return found.spec


def loaded(project: Path) -> Loaded:
    return load(project, project / "no skills", builtin_agents=project / "no agents")


# -- the older system's own words


def test_the_readme_agent_loads_to_the_letter(project: Path) -> None:
    write_files(project, {"config/agents/my-assistant.yml": README})
    found = loaded(project)
    assert (found.problems, found.warnings) == ([], [])
    assert found.catalogue.find_agent("my-assistant") == AgentSpec(
        name="my-assistant",
        description="A helpful AI assistant",
        agent_type="task_executor",
        strategy="direct",
        models=[ModelSettings(provider="openai", model="gpt-4", temperature=0.7, max_tokens=2000)],
        system_prompt="You are a helpful AI assistant that answers questions accurately and concisely.",
        skills=[],
        tags=["general", "qa"],
        event_subscriptions=["slack.command.ask", "task.submitted.general"],
    )


def test_the_four_model_blocks_of_the_readme_load(project: Path) -> None:
    blocks = re.split(r"\n\n", README_MODELS)
    found = [parsed(project, "name: a\n" + block).models[0] for block in blocks]
    assert found == [
        ModelSettings(provider="openai", model="gpt-4", temperature=0.7),
        ModelSettings(provider="anthropic", model="claude-3-sonnet-20240229", max_tokens=4096),
        ModelSettings(provider="bedrock", model="anthropic.claude-3-sonnet-20240229-v1:0", region="us-east-1"),
        ModelSettings(provider="ollama", model="llama2", host="http://localhost:11434"),
    ]


def test_every_documented_key_of_the_older_agents_is_kept(project: Path) -> None:
    """R-14: what nothing acts on yet is neither refused nor lost."""
    text = """
name: helper
execution_mode: continuous
tools: [{name: web_search, type: mcp, url: http://localhost:1, description: d, auth: {type: none}}, read_file]
retry_config: {max_retries: 1, retry_delay_seconds: 5, exponential_backoff: true}
continuous_config: {save_interval_seconds: 30, max_conversation_history: 100, conversation_pruning_strategy: summary}
collaborative_config: {preferred_collaborators: [a], max_plan_steps: 3, allow_human_clarification: true}
schedule_config: {type: cron, cron: "0 0 * * *", task_data: {prompt: Go}}
limits: {max_steps: 4, max_plan_steps: 2, max_cost_usd: 0.5, max_repairs: 1, timeout_seconds: 9, run_seconds: 3, memory_bytes: 67108864}
"""
    spec = parsed(project, text)
    assert (spec.skills, spec.retry.max_retries) == (["web-search", "read-file"], 1)
    assert (spec.limits.max_repairs, spec.limits.timeout_seconds) == (1, 9)
    assert (spec.limits.run_seconds, spec.limits.memory_bytes) == (3, 64 << 20)
    assert spec.extra["skills"][0]["url"] == "http://localhost:1"
    assert spec.extra["retry"] == {"delay_seconds": 5.0, "exponential_backoff": True}
    assert spec.extra["limits"] == {"max_steps": 4, "max_plan_steps": 2, "max_cost_usd": 0.5}
    assert spec.extra["schedule_config"]["task_data"] == {"prompt": "Go"}
    assert spec.extra["continuous_config"]["conversation_pruning_strategy"] == "summary"
    assert spec.extra["collaborative_config"]["preferred_collaborators"] == ["a"]


# -- good files and bad ones


@dataclass(frozen=True)
class Good:
    id: str
    text: str
    gives: dict[str, Any] = field(default_factory=dict)


GOOD = [
    Good("name-alone", "name: a", {"strategy": "ptc", "skills": None, "models": [], "enabled": True}),
    Good(
        "null-is-not-set", "name: a\nskills: null\nllm_config: null\nlimits: {timeout_seconds: null}", {"skills": None}
    ),
    Good("no-skills", "name: a\nskills: []", {"strategy": "direct", "skills": []}),
    Good(
        "tools", "name: a\ntools: [Web_Search, read_file]", {"skills": ["web-search", "read-file"], "strategy": "ptc"}
    ),
    Good("available-skills", "name: a\navailable_skills: [a_b, a-b]", {"skills": ["a-b"]}),
    Good("off", "name: a\nenabled: no", {"enabled": False}),
    Good("mode", "name: a\nexecution_mode: scheduled", {"execution_mode": "scheduled"}),
    Good("fused-and-phrased", "name: a\nplanning: fused\nphrase: true", {"planning": "fused", "phrase": True}),
    Good(
        "other-names-in-llm-config",
        "name: a\nllm_config: {provider: aws_bedrock, aws_region: eu-1, timeout: 5, base_url: http://x/v1}",
        {"models": [ModelSettings(provider="aws_bedrock", region="eu-1", timeout_seconds=5.0, api_base="http://x/v1")]},
    ),
    Good(
        "fallback-order",
        "name: a\nmodels: [{model: first, temperature: null}, {model: second, stop_sequences: [END]}]",
        {"models": [ModelSettings(model="first"), ModelSettings(model="second", stop_sequences=["END"])]},
    ),
    Good(
        "schema",
        "name: a\noutput_schema: {type: object, required: [total]}",
        {"output_schema": {"type": "object", "required": ["total"]}},
    ),
    Good("unicode", 'name: a\ndescription: "Räumt auf — 整理"', {"description": "Räumt auf — 整理"}),
    Good("class", "name: a\nclass: agents.mine.Summarizer", {"extra": {"class": "agents.mine.Summarizer"}}),
    Good("subagents", "name: a\nsubagents: [b]\nsandbox: {adapter: local}", {"sandbox": "local"}),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.id)
def test_a_good_file_gives_what_it_says(case: Good, project: Path) -> None:
    spec = parsed(project, case.text)
    assert {name: getattr(spec, name) for name in case.gives} == case.gives


@dataclass(frozen=True)
class Bad:
    """`line` and `key` are where the error must point; `names` what its text must contain."""

    id: str
    text: str | bytes
    key: str | None
    line: int | None
    names: tuple[str, ...] = ()


BAD = [
    Bad("no-name", "description: x\ntags: [a]", "name", None, ("missing", "'description', 'tags'")),
    Bad("empty", "", "name", None, ("missing",)),
    Bad("odd-name", "name: 'a/b'", "name", 1, ("'a/b'", "letters, digits")),
    Bad("name-of-dashes", "name: '--'", "name", 1, ("letters, digits",)),
    Bad("name-is-a-number", "name: 7", "name", 1, ("found 7", "quotes")),
    Bad(
        "unknown-key",
        "name: a\nsytem_prompt: x",
        "sytem_prompt",
        2,
        ("unknown", "did you mean 'system_prompt'?", "'tags'"),
    ),
    Bad(
        "unknown-key-within",
        "name: a\nllm_config:\n  model: m\n  temprature: 1",
        "llm_config.temprature",
        4,
        ("did you mean 'temperature'?", "'aws_region'"),
    ),
    Bad("unknown-key-in-a-list", "name: a\nmodels:\n- {model: m}\n- modell: m", "models[1].modell", 4, ("'model'",)),
    Bad("unknown-limit", "name: a\nlimits: {max_repair: 1}", "limits.max_repair", 2, ("did you mean 'max_repairs'?",)),
    Bad("unknown-key-of-a-tool", "name: a\ntools: [{name: x, uri: y}]", "tools[0].uri", 2, ("did you mean 'url'?",)),
    Bad("strategy", "name: a\nstrategy: loop", "strategy", 2, ("'loop'", "'direct' or 'ptc'")),
    Bad("mode", "name: a\nexecution_mode: swarm", "execution_mode", 2, ("'swarm'", "'scheduled'")),
    Bad("planning", "name: a\nplanning: twice", "planning", 2, ("'split' or 'fused'",)),
    Bad(
        "temperature", "name: a\nllm_config:\n  temperature: 3", "llm_config.temperature", 3, ("found 3", "equal to 2")
    ),
    Bad("temperature-text", "name: a\nllm_config: {temperature: warm}", "llm_config.temperature", 2, ("a number",)),
    Bad("max-tokens-flag", "name: a\nllm_config: {max_tokens: true}", "llm_config.max_tokens", 2, ("a whole number",)),
    Bad(
        "timeout-by-its-other-name", "name: a\nllm_config: {timeout: 0}", "llm_config.timeout", 2, ("found 0", "than 0")
    ),
    Bad("model-is-text", "name: a\nllm_config: gpt-4", "llm_config", 2, ("'gpt-4'", "a mapping")),
    Bad("models-of-text", "name: a\nmodels: [gpt-4]", "models[0]", 2, ("'gpt-4'", "a mapping")),
    Bad("two-names-of-one-key", "name: a\nskills: [x]\ntools: [y]", "tools", 3, ("beside 'skills'",)),
    Bad("two-names-of-models", "name: a\nllm_config: {}\nmodels: []", "models", 3, ("beside 'llm_config'",)),
    Bad("skills-are-text", "name: a\nskills: web-search", "skills", 2, ("'web-search'", "a list")),
    Bad("skill-is-a-number", "name: a\nskills: [1]", "skills[0]", 2, ("found 1",)),
    Bad("skill-of-nothing", "name: a\nskills: [x, '--']", "skills[1]", 2, ("name of a skill",)),
    Bad("tool-without-name", "name: a\ntools: [{type: mcp}]", "tools[0].name", 2, ("missing", "'type'")),
    Bad("tool-type", "name: a\ntools: [{name: x, type: rpc}]", "tools[0].type", 2, ("'mcp', 'function' or 'api'",)),
    Bad("enabled", "name: a\nenabled: perhaps", "enabled", 2, ("true, false",)),
    Bad("repairs", "name: a\nlimits: {max_repairs: 101}", "limits.max_repairs", 2, ("found 101",)),
    Bad("retries", "name: a\nretry_config: {max_retries: -1}", "retry_config.max_retries", 2, ("found -1",)),
    Bad("delay", "name: a\nretry_config: {retry_delay_seconds: x}", "retry_config.retry_delay_seconds", 2, ("number",)),
    Bad("schema", "name: a\noutput_schema: {type: objekt}", "output_schema", 2, ("not a JSON Schema",)),
    Bad("tags", "name: a\ntags: {a: b}", "tags", 2, ("a list",)),
    Bad("schedule", "name: a\nschedule_config: daily", "schedule_config", 2, ("'daily'", "a mapping")),
    Bad("key-with-a-dot", "name: a\nllm_config.model: m", "llm_config.model", 2, ("'system_prompt'",)),
    Bad("half-a-character", 'name: a\nsession: {"\\ud800": 1}', None, None, ("half a character",)),
    Bad("first-by-line", "name: a\nzzz: 1\nstrategy: loop", "zzz", 2, ()),
    Bad("list", "- name: a", None, 1, ("a mapping of keys",)),
    Bad("not-yaml", "name: a\ntags:\n  - x\n y: [", None, 4, ("not YAML",)),
    Bad("not-text", b"name: \xff", None, None, ("UTF-8",)),
    Bad("prompt-file-missing", "name: a\nsystem_prompt_file: gone.txt", "system_prompt_file", 2, ("gone.txt", "read")),
    Bad("prompt-file-outside", "name: a\nsystem_prompt_file: ../../out.txt", "system_prompt_file", 2, ("leads out",)),
    Bad(
        "prompt-file-is-a-folder", "name: a\nsystem_prompt_file: ../agents", "system_prompt_file", 2, ("regular file",)
    ),
    Bad("prompt-file-too-large", "name: a\nsystem_prompt_file: ../big.txt", "system_prompt_file", 2, ("262145 bytes",)),
    Bad(
        "two-prompts",
        "name: a\nsystem_prompt: x\nsystem_prompt_file: ../big.txt",
        "system_prompt_file",
        3,
        ("one of the two",),
    ),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.id)
def test_a_bad_file_is_refused_with_file_line_key_and_what_is_allowed(case: Bad, project: Path) -> None:
    write_files(project, {"../out.txt": "x", "big.txt": "x" * (MAX_PROMPT_BYTES + 1)})
    with pytest.raises(SpecInvalid) as refusal:
        parsed(project, case.text)
    said = str(refusal.value)
    place = f"agents/a.yaml:{case.line}" if case.line else "agents/a.yaml"
    assert said.startswith(place), said
    assert (refusal.value.file, refusal.value.line, refusal.value.key) == ("agents/a.yaml", case.line, case.key), said
    assert case.key is None or f"'{case.key}'" in said
    assert [name for name in case.names if name not in said] == [], said
    assert len(said) < 900


def test_a_file_that_is_a_link_out_of_the_project_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a")
    (project / "agents").mkdir(parents=True)
    (project / "agents" / "a.yaml").symlink_to(tmp_path / "a.yaml")
    [problem] = loaded(project).problems
    assert "agents/a.yaml: leads out of the project" in problem.message


def test_a_prompt_comes_from_its_file(project: Path) -> None:
    write_files(project, {"prompts/a.txt": "Be kind.\r\nBe brief.\n"})
    assert parsed(project, "name: a\nsystem_prompt_file: ../prompts/a.txt").system_prompt == "Be kind.\nBe brief."


def test_skills_of_an_agent_whose_strategy_calls_none_are_a_warning(project: Path) -> None:
    write_skill(project, "tidy")
    write_files(project, {"agents/a.yaml": "name: a\nstrategy: direct\nskills: [tidy]"})
    [warning] = loaded(project).warnings
    assert (warning.level, "'direct'" in warning.message) == ("warning", True)


_DAMAGE = [
    b":",
    b"\n",
    b"- ",
    b"{",
    b"]",
    b"'",
    b"\t",
    b"&a ",
    b"*a",
    b"? ",
    b"<<: ",
    b"\xff",
    b"\0",
    b"null",
    b"9" * 5000,
]


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_loads_or_is_refused_but_nothing_else(seed: int, project: Path) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        data = bytearray(chance.choice([README, *(case.text for case in GOOD)]).encode())
        for _ in range(chance.randint(1, 3)):
            place = chance.randint(0, len(data))
            data[place : place + chance.choice([0, 1, 5])] = chance.choice(_DAMAGE)
        write_files(project, {"agents/a.yaml": bytes(data), "agents/good.yaml": "name: good"})
        found = loaded(project)
        assert len(found.problems) + len(found.catalogue.agents) == 2
        assert "good" in found.catalogue.agents
        assert json.dumps(found.catalogue.snapshot(), ensure_ascii=False, allow_nan=False).encode()


# -- the catalogue of them


def test_a_bad_agent_is_named_and_the_rest_loads(project: Path) -> None:
    write_skill(project, "tidy")
    write_files(project, {"agents/a.yaml": "name: a\nskills: [tidy]", "agents/b.yml": "name: b\ntemperature: 1"})
    found = loaded(project)
    assert (list(found.catalogue.agents), list(found.catalogue.skills)) == (["a"], ["tidy"])
    [problem] = found.problems
    assert (problem.level, problem.file, problem.line, problem.key) == ("error", "agents/b.yml", 2, "temperature")


def test_two_agents_of_one_name_are_one_agent_and_one_problem_that_names_both(project: Path) -> None:
    write_files(project, {"agents/a.yaml": "name: tidy-up", "config/agents/b.yml": "name: Tidy_Up"})
    found = loaded(project)
    assert found.catalogue.find_agent("tidy_up").name == "tidy-up"
    [problem] = found.problems
    assert (problem.file, "agents/a.yaml" in problem.message) == ("config/agents/b.yml", True)


def test_a_project_takes_the_place_of_a_built_in_agent(project: Path) -> None:
    write_files(project, {"agents/assistant.yaml": "name: assistant\ndescription: Ours"})
    found = load(project, project / "none")
    assert (found.problems, found.catalogue.find_agent("assistant").description) == ([], "Ours")
    assert found.catalogue.find_agent("assistant").origin == "project"


def test_a_broken_file_of_its_own_does_not_bring_the_built_in_agent_back(project: Path) -> None:
    write_files(project, {"agents/assistant.yaml": "name: assistant\nskill: [x]"})
    found = load(project, project / "none")
    assert len(found.problems) == 1
    with pytest.raises(UnknownAgent, match="doctor"):
        found.catalogue.find_agent("assistant")


def test_a_skill_that_is_not_there_is_a_warning(project: Path) -> None:
    write_skill(project, "web-search")
    write_files(project, {"agents/a.yaml": "name: a\nskills: [web_serch, web_search]"})
    found = loaded(project)
    assert found.problems == []
    [warning] = found.warnings
    assert (warning.level, warning.file, warning.key) == ("warning", "agents/a.yaml", "skills")
    assert "'web-serch'" in warning.message and "did you mean 'web-search'?" in warning.message
    assert found.catalogue.find_agent("a").skills == ["web-serch", "web-search"]


def test_an_unknown_agent_is_answered_with_what_is_close(project: Path) -> None:
    write_files(project, {"agents/a.yaml": "name: reviewer", "agents/b.yaml": "name: analyst"})
    with pytest.raises(UnknownAgent, match=r"'reviewr'; did you mean 'reviewer'\? known: 'analyst', 'reviewer'"):
        loaded(project).catalogue.find_agent("reviewr")


def test_hidden_and_other_files_are_left_alone(project: Path) -> None:
    write_files(
        project, {"agents/.a.yaml": "x", "agents/_draft.yaml": "x", "agents/README.md": "x", "agents/a.py": "x"}
    )
    assert loaded(project) == Loaded(Catalogue())


def test_the_folder_of_holdfast_itself_is_no_project_with_the_same_agents_twice() -> None:
    root = BUILTIN_AGENTS.parent
    found = load(root, root / "skills" / "builtin")
    assert found.problems == []
    assert {agent.origin for agent in found.catalogue.agents.values()} == {"builtin"}


def test_a_saved_snapshot_opens_with_its_agents(project: Path, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    write_files(project, {"config/agents/m.yml": README, "agents/B.yaml": "name: B_b\nsession: {idle: 3}"})
    before = loaded(project).catalogue
    sha = before.save(blobs)
    opened = Catalogue.open(blobs, sha)
    assert opened == before
    assert opened.find_agent("b-b").extra == {"session": {"idle": 3}}
    assert opened.save(blobs) == sha


def test_a_snapshot_from_before_there_were_agents_opens_with_none(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    assert Catalogue.open(blobs, blobs.put_json({"format": 1, "skills": []})).agents == {}


def test_a_live_edit_is_seen_at_the_next_look_and_leaves_the_pinned_agent(project: Path, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    write_files(project, {"agents/a.yaml": "name: a\nsystem_prompt_file: ../p.txt", "p.txt": "One."})
    library = Library(project, project / "none", blobs, builtin_agents=project / "none")
    first, sha, problems = library.current()
    assert (first.find_agent("a").system_prompt, problems) == ("One.", [])
    assert library.current()[0] is first
    (project / "p.txt").write_text("Two, longer.")
    assert library.current()[0].find_agent("a").system_prompt == "Two, longer."
    assert Catalogue.open(blobs, sha).find_agent("a").system_prompt == "One."
    (project / "p.txt").unlink()
    broken, _, problems = library.current()
    assert (dict(broken.agents), len(problems)) == ({}, 1)
    (project / "p.txt").write_text("Three.")
    assert library.current()[0].find_agent("a").system_prompt == "Three."
    write_files(project, {"config/agents/new.yml": README})
    assert list(library.current()[0].agents) == ["a", "my-assistant"]
    (project / "agents" / "a.yaml").unlink()
    assert list(library.current()[0].agents) == ["my-assistant"]


def test_twenty_five_agents_load_from_files_alone(project: Path) -> None:
    write_files(project, {f"agents/a{n:02}.yaml": README.replace("my-assistant", f"a{n:02}") for n in range(25)})
    assert len(loaded(project).catalogue.agents) == 25


# -- the schema for editors


def test_the_schema_takes_every_good_file_and_the_built_in_ones() -> None:
    checker = jsonschema.Draft202012Validator(agentkeys.schema())
    checker.check_schema(agentkeys.schema())
    texts = [case.text for case in GOOD]
    texts += [README, *(path.read_text() for path in BUILTIN_AGENTS.glob("*.yaml"))]
    for text in texts:
        assert list(checker.iter_errors(yaml.safe_load(text))) == [], text


def test_the_schema_refuses_a_misspelt_key_at_every_level() -> None:
    checker = jsonschema.Draft202012Validator(agentkeys.schema())
    for case in BAD:
        if "unknown" in case.id and isinstance(case.text, str):
            assert list(checker.iter_errors(yaml.safe_load(case.text))) != [], case.id


def test_every_key_of_the_schema_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    found = agentkeys.schema()
    parts = [found, *(found["$defs"][name] for name in ("LlmKeys", "LimitKeys", "RetryKeys"))]
    missing = [key for part in parts for key in part["properties"] if f"`{key}`" not in guide]
    assert missing == []


def test_the_schema_of_a_skills_file_takes_the_built_in_ones_and_those_of_the_older_system() -> None:
    checker = jsonschema.Draft202012Validator(skillfileschema.schema())
    checker.check_schema(skillfileschema.schema())
    files = [*BUILTIN.glob("*/skill.yaml"), *(Path(__file__).parent / "skill_corpus" / "shapes").glob("*/skill.yaml")]
    assert len(files) > 8
    for file in files:
        assert list(checker.iter_errors(yaml.safe_load(file.read_text("utf-8")))) == [], file
    assert list(checker.iter_errors({"name": "x", "efect": "pure"})) != []


def test_schemas_of_agents_tasks_and_files_are_printed() -> None:
    assert {"AgentFile", "AgentSpec", "SkillFile", "TaskSpec"} <= set(schemas())
