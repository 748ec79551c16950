import json
import random
import re
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli.schema import schemas
from holdfast import agentkeys, skillfileschema
from holdfast.agentfiles import MAX_PROMPT_BYTES, parse_agent, spec_of
from holdfast.agentforms import AgentFile, agent_drafts
from holdfast.blobs import BlobStore
from holdfast.catalogue import BUILTIN, BUILTIN_AGENTS, BUILTIN_FLOWS, Catalogue, Library, Loaded, load
from holdfast.contracts.agent import AgentLimits, AgentSpec, Retry
from holdfast.contracts.budget import Budget
from holdfast.contracts.model import ModelSettings
from holdfast.contracts.question import Clarification
from holdfast.contracts.timing import Scheduled
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
    return load(project, project / "no skills", builtin_agents=project / "no agents", builtin_flows=project / "none")


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
continuous_config: {max_conversation_history: 100, conversation_pruning_strategy: summary}
collaborative_config: {preferred_collaborators: [a_b], max_plan_steps: 3, planning_agent: p, allow_human_clarification: true, clarification_timeout_seconds: 30}
schedule_config: {type: cron, cron: "0 0 * * *", task_data: {prompt: Go}}
limits: {max_steps: 4, max_cost_usd: 0.5, max_tokens: 9000, max_calls: 7, max_repairs: 1, timeout_seconds: 9, run_seconds: 3, memory_bytes: 67108864}
"""
    spec = parsed(project, text)
    assert (spec.skills, spec.subagents) == (["web-search", "read-file"], ["a-b"])
    assert spec.retry == Retry(max_retries=1, delay_seconds=5, backoff=2)
    assert spec.limits == AgentLimits(
        max_repairs=1, timeout_seconds=9, run_seconds=3, memory_bytes=64 << 20, max_steps=4, max_plan_steps=3
    )
    assert spec.budget == Budget(tokens=9000, usd=Decimal("0.5"), calls=7)
    assert spec.extra["skills"][0]["url"] == "http://localhost:1"
    assert spec.schedule == Scheduled(cron="0 0 * * *", input={"prompt": "Go"}, file="agents/a.yaml")
    assert spec.extra["continuous_config"]["conversation_pruning_strategy"] == "summary"
    assert spec.extra["collaborative_config"] == {"planning_agent": "p"}
    assert spec.clarification == Clarification(allowed=True, timeout_seconds=30)
    assert set(spec.extra) == {"skills", "continuous_config", "collaborative_config"}


README_SCHEDULES = """\
# Cron schedule (daily at midnight)
schedule_config:
  type: cron
  cron: "0 0 * * *"  # minute hour day month day_of_week
  task_data:
    prompt: "Generate daily report"

# Interval schedule (every hour)
schedule_config:
  type: interval
  interval_seconds: 3600
  task_data:
    prompt: "Check system status"
"""


def test_the_two_schedules_of_the_readme_load(project: Path) -> None:
    found = [parsed(project, f"name: a\n{block}").schedule for block in README_SCHEDULES.split("\n\n")]
    assert found == [
        Scheduled(cron="0 0 * * *", input={"prompt": "Generate daily report"}, file="agents/a.yaml"),
        Scheduled(interval_seconds=3600, input={"prompt": "Check system status"}, file="agents/a.yaml"),
    ]


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
    Good("mode", "name: a\nexecution_mode: continuous", {"execution_mode": "continuous"}),
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
    Good(
        "class", "name: a\nclass: agents.mine:Sum", {"class_path": "agents.mine:Sum", "strategy": "class", "extra": {}}
    ),
    Good(
        "class-with-dots",
        "name: a\nclass: app.mine.Sum\nskills: []",
        {"class_path": "app.mine:Sum", "strategy": "class"},
    ),
    Good(
        "subagents", "name: a\nsubagents: [b_c]\nsandbox: {adapter: local}", {"sandbox": "local", "subagents": ["b-c"]}
    ),
    Good("nobody-to-delegate-to", "name: a\nsubagents: []", {"subagents": [], "strategy": "ptc"}),
    Good(
        "loop",
        "name: a\nstrategy: loop\nlimits: {max_steps: 3}",
        {"strategy": "loop", "limits": AgentLimits(max_steps=3)},
    ),
    Good("collaborative", "name: a\nexecution_mode: collaborative", {"strategy": "delegate", "subagents": None}),
    Good("collaborative-loop", "name: a\nexecution_mode: collaborative\nstrategy: loop", {"strategy": "loop"}),
    Good("aliases", "name: a\naliases: [Anna]", {"aliases": ["Anna"]}),
    Good(
        "budget",
        "name: a\nbudget: {tokens: 100, usd: 0.1, calls: 2, seconds: 60}",
        {"budget": Budget(tokens=100, usd=Decimal("0.1"), calls=2, seconds=60)},
    ),
    Good(
        "budget-in-two-places",
        "name: a\nbudget: {tokens: 1, usd: null}\nlimits: {max_cost_usd: 1}",
        {"budget": Budget(tokens=1, usd=Decimal(1))},
    ),
    Good("pauses", "name: a\nretry: {delay_seconds: 1, backoff: 1.5}", {"retry": Retry(delay_seconds=1, backoff=1.5)}),
    Good("even-pauses", "name: a\nretry_config: {exponential_backoff: false}", {"retry": Retry(backoff=1)}),
    Good(
        "backoff-goes-before-its-other-name",
        "name: a\nretry: {backoff: 3, exponential_backoff: true}",
        {"retry": Retry(backoff=3)},
    ),
    Good(
        "milliseconds",
        "name: a\nconstraints: {max_iterations: 3, timeout: 1500}",
        {"limits": AgentLimits(max_repairs=3, max_steps=3, timeout_seconds=1.5)},
    ),
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
    Bad("strategy", "name: a\nstrategy: swarm", "strategy", 2, ("'swarm'", "'delegate' or 'class'")),
    Bad("class-without-one", "name: a\nstrategy: class", "strategy", 2, ("module:Class",)),
    Bad("class-beside-loop", "name: a\nstrategy: loop\nclass: a.B", "class", 3, ("'loop'", "'class'")),
    Bad("class-alone", "name: a\nclass: Summarizer", "class", 2, ("'Summarizer'", "module:Class")),
    Bad("class-is-a-path", "name: a\nclass: ../a.py", "class", 2, ("'../a.py'",)),
    Bad("subagent-of-nothing", "name: a\nsubagents: ['-']", "subagents[0]", 2, ("name of an agent",)),
    Bad(
        "collaborators-twice",
        "name: a\nsubagents: [b]\ncollaborative_config:\n  preferred_collaborators: [c]",
        "collaborative_config.preferred_collaborators",
        4,
        ("beside 'subagents'",),
    ),
    Bad(
        "plan-steps-twice",
        "name: a\nlimits: {max_plan_steps: 2}\ncollaborative_config: {max_plan_steps: 3}",
        "collaborative_config.max_plan_steps",
        3,
        ("beside 'limits.max_plan_steps'",),
    ),
    Bad(
        "budget-twice",
        "name: a\nbudget: {usd: 1}\nlimits: {max_cost_usd: 2}",
        "limits.max_cost_usd",
        3,
        ("beside 'budget.usd'",),
    ),
    Bad("budget-unit", "name: a\nbudget: {eur: 1}", "budget.eur", 2, ("unknown", "'usd'")),
    Bad("budget-below-zero", "name: a\nbudget: {tokens: -1}", "budget.tokens", 2, ("found -1",)),
    Bad("steps", "name: a\nlimits: {max_steps: 0}", "limits.max_steps", 2, ("found 0",)),
    Bad("iterations", "name: a\nconstraints: {max_iterations: 0}", "constraints.max_iterations", 2, ("found 0",)),
    Bad(
        "collaboration",
        "name: a\ncollaborative_config: {friends: [b]}",
        "collaborative_config.friends",
        2,
        ("unknown",),
    ),
    Bad(
        "scheduled-without-a-schedule",
        "name: a\nexecution_mode: scheduled",
        "execution_mode",
        2,
        ("'scheduled'", "no key 'schedule_config'"),
    ),
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
    Bad("first-by-line", "name: a\nzzz: 1\nstrategy: swarm", "zzz", 2, ()),
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
    found = load(project, project / "none", builtin_flows=project / "none")
    assert (found.problems, found.catalogue.find_agent("assistant").description) == ([], "Ours")
    assert found.catalogue.find_agent("assistant").origin == "project"


def test_a_broken_file_of_its_own_does_not_bring_the_built_in_agent_back(project: Path) -> None:
    write_files(project, {"agents/assistant.yaml": "name: assistant\nskill: [x]"})
    found = load(project, project / "none", builtin_flows=project / "none")
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
    write_files(project, {"config/agents/m.yml": README, "agents/B.yaml": "name: B_b\nsession: {context_messages: 3}"})
    before = loaded(project).catalogue
    sha = before.save(blobs)
    opened = Catalogue.open(blobs, sha)
    assert opened == before
    assert opened.find_agent("b-b").extra == {"session": {"context_messages": 3}}
    assert opened.save(blobs) == sha


def test_a_snapshot_from_before_there_were_agents_opens_with_none(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    assert Catalogue.open(blobs, blobs.put_json({"format": 1, "skills": []})).agents == {}


def test_a_live_edit_is_seen_at_the_next_look_and_leaves_the_pinned_agent(project: Path, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    write_files(project, {"agents/a.yaml": "name: a\nsystem_prompt_file: ../p.txt", "p.txt": "One."})
    nothing = project / "none"
    library = Library(project, nothing, blobs, builtin_agents=nothing, builtin_flows=nothing)
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
    parts = [
        found,
        *(
            found["$defs"][name]
            for name in ("LlmKeys", "LimitKeys", "BudgetKeys", "ConstraintKeys", "RetryKeys", "CollaborationKeys")
        ),
    ]
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


# -- files of older systems, as the guide shows them

GUIDE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text("utf-8")


def shown_files(guide: str) -> dict[str, str | bytes]:
    """The files in a guide: blocks of YAML whose first line is a comment with a path."""
    blocks = re.findall(r"^```yaml\n(# (\S+\.ya?ml)\n.*?)^```", guide, re.MULTILINE | re.DOTALL)
    return {path: text for text, path in blocks}


def test_every_sample_of_the_guide_loads_to_the_letter(project: Path) -> None:
    files = shown_files(GUIDE)
    assert len(files) == 6
    assert files["config/agents/my-assistant.yml"] == README
    write_files(project, files)
    found = load(project, BUILTIN)
    assert (found.problems, found.warnings) == ([], [])
    own = {name for name, agent in found.catalogue.agents.items() if agent.origin == "project"}
    assert own == {"reviewer", "release-check", "my-assistant", "sql-reviewer", "minutes", "greeter"}


def test_a_subagents_file_of_the_master_agent_loads_and_both_of_its_names_find_it(project: Path) -> None:
    write_files(project, shown_files(GUIDE))
    found = load(project, BUILTIN).catalogue
    for name in ("sql-reviewer", "SqlReviewer", "sql_reviewer", "SQL Reviewer"):
        assert found.find_agent(name).name == "sql-reviewer"
    spec = found.find_agent("sql-reviewer")
    assert (spec.system_prompt, spec.skills) == ("You review SQL.", ["read-file", "find-in-files"])
    assert spec.limits == AgentLimits(max_repairs=3, max_steps=3, timeout_seconds=30)
    assert spec.models == [ModelSettings(model="claude-sonnet-5-5")]


def test_a_display_name_of_other_letters_finds_the_subagent_too(project: Path) -> None:
    write_files(project, {"subagents/db/agent.yml": "name: The Database Person\ndescription: x"})
    found = loaded(project).catalogue
    assert (found.find_agent("the-database-person").name, found.find_agent("DB").name) == ("db", "db")


def test_a_subagent_without_constraints_has_five_iterations_and_a_minute(project: Path) -> None:
    write_files(
        project, {"subagents/db/agent.yaml": "description: x", "subagents/db/prompts/system.txt": "Be\nbrief.\n"}
    )
    spec = loaded(project).catalogue.find_agent("db")
    assert spec.limits == AgentLimits(max_repairs=5, max_steps=5, timeout_seconds=60)
    assert (spec.name, spec.system_prompt, spec.skills) == ("db", "Be\nbrief.", None)


def test_a_subagents_project_takes_the_place_of_the_built_in_reviewer(project: Path) -> None:
    write_files(project, {"subagents/code_reviewer/agent.yaml": "name: CodeReviewer\nagent: {system_prompt: Mine.}"})
    found = load(project, BUILTIN)
    assert found.problems == []
    assert found.catalogue.find_agent("code-reviewer").system_prompt == "Mine."
    assert [name for name in found.catalogue.agents if "review" in name] == ["code-reviewer"]


@pytest.mark.parametrize(
    ("text", "key", "line", "names"),
    [
        ("agent: {skills: [a], available_skills: [b]}", "agent.available_skills", 1, ("beside 'agent.skills'",)),
        ("agent:\n  prompt: x", "agent.prompt", 2, ("unknown", "'system_prompt'")),
        ("agent:\n  constraints:\n    timeout: soon", "agent.constraints.timeout", 3, ("'soon'", "a number")),
        ("agent:\n  constraints: {max_iterations: 0}", "agent.constraints.max_iterations", 2, ("found 0",)),
        ("tags: [a]\nagent: {tags: [b]}", "agent.tags", 2, ("beside 'tags'",)),
        ("agent: reviewer", "agent", 1, ("'reviewer'", "a mapping")),
        ("agent: {model: 7}", "agent.model", 1, ("found 7",)),
    ],
)
def test_a_bad_subagent_is_refused_by_the_keys_that_its_file_has(
    text: str, key: str, line: int, names: tuple[str, ...], project: Path
) -> None:
    write_files(project, {"subagents/x/agent.yaml": text})
    [problem] = loaded(project).problems
    assert (problem.file, problem.line, problem.key) == ("subagents/x/agent.yaml", line, key)
    assert [name for name in names if name not in problem.message] == [], problem.message


def test_the_masters_prompt_comes_from_its_file_and_follows_an_edit(project: Path, tmp_path: Path) -> None:
    nothing = project / "none"
    library = Library(project, BUILTIN, BlobStore(tmp_path / "blobs"), builtin_flows=nothing)
    built_in = library.current()[0].find_agent("master").system_prompt
    write_files(project, {"prompts/master-system.txt": "Lead.\n"})
    assert library.current()[0].find_agent("master").system_prompt == "Lead."
    write_files(project, {"prompts/master-system.txt": "Lead well.\n"})
    assert library.current()[0].find_agent("master").system_prompt == "Lead well."
    write_files(project, {"agents/master.yaml": "name: master\nstrategy: delegate\nsystem_prompt: Mine."})
    assert library.current()[0].find_agent("master").system_prompt == "Mine."
    write_files(project, {"agents/master.yaml": "name: master\nstrategy: delegate"})
    assert library.current()[0].find_agent("master").system_prompt == "Lead well."
    (project / "agents" / "master.yaml").unlink()
    (project / "prompts" / "master-system.txt").unlink()
    assert library.current()[0].find_agent("master").system_prompt == built_in != ""


DEFAULTS = """\
llm_config: {provider: openai, model: gpt-4, temperature: 0.7}
constraints: {max_iterations: 2, timeout: 90000}
limits: {max_calls: 9}
budget: {tokens: 1000}
retry: {max_retries: 1, delay_seconds: 3}
"""


def test_an_agent_inherits_what_it_does_not_say(project: Path) -> None:
    write_files(
        project,
        {
            "config/agents.config.yaml": DEFAULTS,
            "agents/all.yaml": "name: all",
            "agents/some.yaml": "name: some\nllm_config: {temperature: 0}\nlimits: {timeout_seconds: 5}\nretry: {max_retries: 0}\nbudget: {tokens: 7}",
            "agents/other.yaml": "name: other\nllm_config: {model: llama3}",
        },
    )
    found = loaded(project)
    assert found.problems == []
    whole, some, other = (found.catalogue.find_agent(name) for name in ("all", "some", "other"))
    assert whole.models == [ModelSettings(provider="openai", model="gpt-4", temperature=0.7)]
    assert whole.limits == AgentLimits(max_repairs=2, max_steps=2, timeout_seconds=90)
    assert (whole.budget, whole.retry) == (Budget(tokens=1000, calls=9), Retry(max_retries=1, delay_seconds=3))
    assert some.models == [ModelSettings(provider="openai", model="gpt-4", temperature=0)]
    assert some.limits == AgentLimits(max_repairs=2, max_steps=2, timeout_seconds=5)
    assert (some.budget, some.retry) == (Budget(tokens=7, calls=9), Retry(max_retries=0, delay_seconds=3))
    assert other.models == [ModelSettings(model="llama3")]


def test_built_in_agents_inherit_too_and_an_edit_is_seen(project: Path, tmp_path: Path) -> None:
    library = Library(project, BUILTIN, BlobStore(tmp_path / "blobs"))
    assert library.current()[0].find_agent("assistant").models == []
    write_files(project, {"config/agents.config.yaml": "model: gpt-4"})
    assert library.current()[0].find_agent("assistant").models == [ModelSettings(model="gpt-4")]


def test_bad_defaults_are_named_and_agents_load_without_them(project: Path) -> None:
    write_files(project, {"config/agents.config.yaml": "constraints:\n  timeuot: 3", "agents/a.yaml": "name: a"})
    found = loaded(project)
    [problem] = found.problems
    assert (problem.file, problem.line, problem.key) == ("config/agents.config.yaml", 2, "constraints.timeuot")
    assert "did you mean 'timeout'?" in problem.message
    assert found.catalogue.find_agent("a").limits == AgentLimits()


LIST = """\
agents:
- name: summarizer
  class: app.agents.summarizer_agent.SummarizerAgent
  config: {max_words: 50}
  tools: [read_file]
  description: Summarizes
- name: broken
  klass: a.B
- name: plain
"""


def test_a_list_of_agents_loads_but_for_its_broken_entries(project: Path) -> None:
    write_files(project, {"config/agents.yaml": LIST})
    code = "class SummarizerAgent:\n    pass\n"
    write_files(project, {"app/agents/summarizer_agent.py": code})
    found = loaded(project)
    problem = next(one for one in found.problems if one.key == "agents[1].klass")
    assert (problem.file, problem.line) == ("config/agents.yaml", 8)
    assert "did you mean 'class'?" in problem.message
    assert found.catalogue.find_agent("plain").strategy == "direct"


def test_an_entry_of_a_list_says_its_class_its_config_and_its_tools(project: Path) -> None:
    write_files(project, {"config/agents.yaml": LIST})
    file = AgentFile(project / "config/agents.yaml", "config/agents.yaml", project, says_all=False, form="list")
    drafts = agent_drafts(file, Sources())
    spec = spec_of(drafts[0], file, Sources())
    assert (spec.strategy, spec.class_path) == ("class", "app.agents.summarizer_agent:SummarizerAgent")
    assert (spec.skills, spec.extra) == (["read-file"], {"config": {"max_words": 50}})


@pytest.mark.parametrize(
    ("text", "key", "names"),
    [
        ("agent: []", "agent", ("'agents'",)),
        ("agents: {a: b}", "agents", ("a list",)),
        ("agents: [a]", "agents[0]", ("'a'", "a mapping")),
    ],
)
def test_a_list_that_is_none_is_refused(text: str, key: str, names: tuple[str, ...], project: Path) -> None:
    write_files(project, {"config/agents.yaml": text})
    [problem] = loaded(project).problems
    assert (problem.key, [name for name in names if name not in problem.message]) == (key, [])


@pytest.mark.parametrize(
    "second",
    [
        {"config/agents.yaml": "agents: [{name: SqlReviewer}]"},
        {"subagents/sql-reviewer/agent.yaml": "name: X"},
        {"config/agents/b.yml": "name: sqlreviewer"},
    ],
    ids=["list", "subagent", "agentrunner"],
)
def test_one_agent_in_two_files_is_an_error_that_names_both(second: dict[str, str | bytes], project: Path) -> None:
    write_files(project, {"agents/a.yaml": "name: sql-reviewer", **second})
    found = loaded(project)
    [problem] = found.problems
    assert problem.file == next(iter(second)) and "agents/a.yaml" in problem.message
    assert [agent.name for agent in found.catalogue.agents.values()] == ["sql-reviewer"]


# -- those that are built in


def test_the_built_in_agents_and_flows_are_whole() -> None:
    found = load(Path("no project"), BUILTIN)
    assert (found.problems, found.warnings) == ([], [])
    assert list(found.catalogue.agents) == [
        *("assessor", "assistant", "code-reviewer", "data-analyst", "master", "researcher", "security-auditor"),
    ]
    master = found.catalogue.find_agent("master")
    assert master.strategy == "delegate" and set(master.subagents or []) <= set(found.catalogue.agents)
    for name in ("code-reviewer", "data-analyst", "security-auditor", "researcher"):
        assert found.catalogue.find_agent(name).skills
    assert found.catalogue.find_agent("research").name == "researcher"
    assert found.catalogue.find_agent("assessment").name == "assessor"


def test_an_agent_goes_before_another_ones_alias(project: Path) -> None:
    write_files(project, {"agents/r.yaml": "name: research"})
    assert load(project, BUILTIN).catalogue.find_agent("research").name == "research"


@pytest.mark.parametrize("path", sorted([*BUILTIN_AGENTS.glob("*.yaml"), *BUILTIN_FLOWS.glob("*.yaml")]), ids=str)
def test_the_first_line_of_each_built_in_file_helps_editors(path: Path) -> None:
    kind = "flow" if path.parent == BUILTIN_FLOWS else "agent"
    expected = f"# yaml-language-server: $schema=http://localhost:8000/schemas/{kind}.json"
    assert path.read_text().splitlines()[0] == expected


def test_twenty_five_agents_and_all_flows_are_read_in_well_under_five_seconds(project: Path, tmp_path: Path) -> None:
    write_files(project, {f"agents/a{n:02}.yaml": README.replace("my-assistant", f"a{n:02}") for n in range(25)})
    library = Library(project, BUILTIN, BlobStore(tmp_path / "blobs"))
    began = time.monotonic()
    assert len(library.current()[0].agents) == 32
    assert time.monotonic() - began < 5
