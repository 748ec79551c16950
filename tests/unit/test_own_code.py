"""What a project's own Python holds: agents and tools found, named, registered; and what is wrong with it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast import sdk
from holdfast.catalogue import BUILTIN, Loaded, load
from tests.support.own_project import SUMMARIZER
from tests.support.skill_folders import write_files

NAMED = "class: agents.summarizer_agent:SummarizerAgent\n"


def loaded(project: Path, files: dict[str, str | bytes]) -> Loaded:
    write_files(project, {"holdfast.yaml": "", **files})
    return load(project, BUILTIN)


def problems(found: Loaded) -> list[str]:
    return [problem.message for problem in found.problems]


def agent(name: str, body: str = "return 1") -> str:
    return f"from holdfast import Agent\nclass {name}(Agent):\n    def execute(self, input_data):\n        {body}\n"


@pytest.mark.slow
def test_an_agent_is_found_named_and_registered_as_one(tmp_path: Path) -> None:
    registers = "from holdfast import register\nfrom agents.summarizer_agent import SummarizerAgent as A\n"
    found = loaded(
        tmp_path,
        {
            "agents/summarizer_agent.py": SUMMARIZER,
            "agents/summarizer.yaml": f"name: summarizer\ndescription: from YAML\n{NAMED}",
            "holdfast_project.py": registers + "register('summarizer', A)\nregister('other', A, tools=['shout'])\n",
            "app/agents/clerk_agent.py": agent("ClerkAgent"),
        },
    )
    assert problems(found) == []
    agents = found.catalogue.agents
    assert {name: agents[name].strategy for name in ("summarizer", "other", "clerk")} == dict.fromkeys(
        ("summarizer", "other", "clerk"), "class"
    )
    assert (agents["summarizer"].description, agents["other"].skills) == ("from YAML", ["shout"])
    assert found.catalogue.runs.keys() == {"summarizer", "other", "clerk"}


@pytest.mark.slow
def test_two_classes_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        {
            "agents/clerk_agent.py": agent("ClerkAgent"),
            "app/agents/clerk_agent.py": agent("OtherClerkAgent"),
            "tools/a.py": "from holdfast import BaseTool\nclass A(BaseTool):\n    name = 'web-search'\n"
            "    def execute(self):\n        return 1\n",
        },
    )
    agents, tools = problems(found)
    assert "app/agents/clerk_agent.py: 'clerk'" in agents
    assert "another agent, agents/clerk_agent.py" in agents
    assert "tools/a.py: 'web-search'" in tools
    assert "another skill, builtin/web-search" in tools


@pytest.mark.slow
def test_a_registration_that_takes_another_classs_name_names_both(tmp_path: Path) -> None:
    code = "from holdfast import Agent, register\nclass A(Agent):\n    def execute(self, d):\n        return 1\n"
    found = loaded(
        tmp_path,
        {
            "holdfast_project.py": code + "class B(A):\n    pass\nregister('a', A)\nregister('a', B)\n",
            "tools/none.py": "",
        },
    )
    [message] = problems(found)
    assert "holdfast_project.py:8: cannot be imported: ValueError: register('a')" in message
    assert "belongs to A, registered in holdfast_project.py:7" in message


@pytest.mark.slow
def test_what_is_wrong_is_named_with_its_file_and_line_and_the_rest_works(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        {
            "agents/good_agent.py": agent("GoodAgent"),
            "agents/import_agent.py": "\nimport nothing_there\n",
            "agents/syntax_agent.py": "class\n",
            "agents/lazy_agent.py": "from holdfast import Agent\nclass LazyAgent(Agent):\n    pass\n",
            "agents/empty_agent.py": "x = 1\n",
            "agents/needy_agent.py": "from holdfast import Agent\nclass NeedyAgent(Agent):\n"
            "    def __init__(self, key):\n        pass\n    def execute(self, d):\n        return 1\n",
            "agents/named.yaml": "name: named\nclass: agents.nowhere:Nobody\n",
            "tools/odd_tool.py": "from holdfast import Tool\nclass OddTool(Tool):\n    effect = 'maybe'\n"
            "    def execute(self):\n        return 1\n",
        },
    )
    said = "\n".join(problems(found))
    assert "agents/import_agent.py:2: cannot be imported: ModuleNotFoundError: No module named 'nothing_there'" in said
    assert "agents/syntax_agent.py:1: cannot be imported: SyntaxError" in said
    assert "agents/lazy_agent.py:2: class LazyAgent has no execute()" in said
    assert "agents/empty_agent.py: found none; allowed: exactly one class" in said
    assert "NeedyAgent() raised TypeError" in said
    assert "agents/named.yaml: key 'class': found 'agents.nowhere:Nobody'" in said
    assert "the project has no module 'agents.nowhere'" in said
    assert "tools/odd_tool.py: effect: found 'maybe'" in said
    assert "good" in found.catalogue.agents
    assert "named" not in found.catalogue.agents


@pytest.mark.slow
def test_code_that_ends_the_process_is_named(tmp_path: Path) -> None:
    [message] = problems(loaded(tmp_path, {"agents/bad_agent.py": "import os\nos._exit(7)\n"}))
    assert message.startswith("agents/bad_agent.py: importing it ended the process (exit code 7)")


def test_a_tools_schema_is_made_from_the_hints_of_its_execute() -> None:
    class Adder(sdk.BaseTool):
        def execute(self, a: int, names: list[str], b: float | None = None, deep: bool = True) -> int:
            return a

    assert Adder().get_schema() == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "names": {"type": "array", "items": {"type": "string"}},
            "b": {"type": ["number", "null"]},
            "deep": {"type": "boolean", "default": True},
        },
        "required": ["a", "names"],
    }


def test_a_class_has_one_instance_unless_another_is_wanted() -> None:
    class One(sdk.Agent):
        pass

    registry = sdk.Registry()
    assert registry.get(One) is registry.get(One)
    assert registry.get(One, create_new=True) is not registry.get(One)


def test_an_agent_can_be_tested_with_functions_of_ones_own() -> None:
    class One(sdk.Agent):
        def execute(self, input_data: dict[str, Any], user_id_hash: str | None = None) -> Any:
            return [self._call_llm("a"), self.tools["t"].execute(x=1), self.call_tool("u")]

    def call(name: str, arguments: dict[str, object]) -> object:
        if name == "u":
            return arguments
        raise sdk.ToolError("no", "SkillFailed")

    sdk.connect(lambda prompt, system="": f"{prompt}!", call)
    try:
        text, tool, answer = One().execute({})
    finally:
        sdk.connect(None, None)
    assert (text, answer) == ("a!", {})
    assert (tool["success"], tool["error"], tool["metadata"]) == (False, "no", {"error_type": "SkillFailed"})


def test_the_base_classes_cost_an_import_nothing_until_they_are_named() -> None:
    code = "import sys, holdfast; print('holdfast.sdk' in sys.modules); from holdfast import Agent; print(Agent.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "holdfast.sdk"]
