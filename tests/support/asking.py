"""A project whose skills and agents ask people, on a whole holdfast with its API."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.api import Api
from tests.support.skill_folders import write_files
from tests.support.stack import PROJECT, Stack
from tests.support.stub_llm import StubLlm

_NOTES = (PROJECT / "skills" / "echo" / "skill.py").read_text()
_ECHO = """\
name: {name}
version: 1.0.0
description: Returns its argument, and writes when it began and ended.
effect: {effect}
{approval}
input_schema:
  type: object
  properties: {{i: {{type: integer}}, ms: {{type: number, default: 0}}, size: {{type: integer, default: 0}}, tag: {{type: string}}}}
  required: [i]
"""
_BUYER = """\
from holdfast import Agent

class BuyerAgent(Agent):
    def __init__(self):
        super().__init__(agent_type="buyer", tools=["pay"])

    def execute(self, input_data, user_id_hash=None):
        return {"bought": self.call_tool("pay", i=500)["i"]}
"""
_AGENT = """\
name: {name}
description: {name}
strategy: {strategy}
llm_config: {{provider: openai-compatible, model: stub, api_base: "{url}/v1"}}
skills: [note, pay, wipe, ask]
{more}
"""
_RULES = "approvals: [{skill: no*, when: 'arguments.i == 7'}, {skill: wipe, policy: never}]"
_CHOICE = """approvals: [{skill: worker, when: "arguments.task.startsWith('Pay')"}]"""


def _skill(name: str, effect: str, approval: str = "") -> dict[str, str | bytes]:
    text = _ECHO.format(name=name, effect=effect, approval=f"approval: {approval}" if approval else "")
    return {f"skills/{name}/skill.yaml": text, f"skills/{name}/skill.py": _NOTES}


def files(url: str) -> dict[str, str | bytes]:
    """`note` needs nobody, `wipe` always somebody, `pay` from 100 on; `buyer`, in Python, pays in its code.

    `master` delegates to `worker`, and `patron` calls `clerk`, which calls `worker`: master and patron want a word for 7.
    """

    def agent(name: str, strategy: str = "ptc", more: str = "") -> dict[str, str | bytes]:
        return {f"agents/{name}.yaml": _AGENT.format(name=name, strategy=strategy, url=url, more=more)}

    return {
        "holdfast.yaml": "",
        **_skill("note", "keyed"),
        **_skill("wipe", "once", "always"),
        **_skill("pay", "keyed", '{when: "arguments.i >= 100"}'),
        **_skill("late", "keyed", '{when: "true", deadline_seconds: 0.5}'),
        "agents/buyer_agent.py": _BUYER,
        **agent("writer"),
        **agent("looper", "loop", "approvals: [{skill: note, when: 'arguments.i == 7'}, {skill: wip*, policy: never}]"),
        **agent("caller", "loop", "subagents: [plain]\napprovals: [{skill: plain}]"),
        **agent("plain", "direct"),
        **agent("master", "delegate", f"system_prompt: You are master.\nsubagents: [worker]\n{_RULES}"),
        **agent("chooser", "delegate", f"system_prompt: You are chooser.\nsubagents: [worker]\n{_CHOICE}"),
        **agent("patron", more=f"system_prompt: You are patron.\nsubagents: [clerk]\n{_RULES}"),
        **agent("clerk", "loop", "system_prompt: You are clerk.\nsubagents: [worker]"),
        **agent("worker", more="system_prompt: You are worker."),
        **agent("boss", "direct", "event_subscriptions: [question.escalated]"),
        **agent("silent", more="clarification: {allowed: false}"),
        **agent("hasty", more="clarification: {timeout_seconds: 0.5, on_timeout: default, default: blue}"),
        **agent("going", more="clarification: {timeout_seconds: 0.5, on_timeout: proceed}"),
        **agent("strict", more="collaborative_config: {clarification_timeout_seconds: 0.5}"),
        "flows/ask.yaml": _FLOW,
    }


_FLOW = """\
name: asking
coordination_type: dag
steps:
  - {name: first, skill: note, input: {i: 1}}
  - name: which
    depends_on: [first]
    ask: {text: "How many?", form: {type: object, properties: {copies: {type: integer}}, required: [copies]}}
  - {name: second, skill: wipe, input: {i: 2}, depends_on: [which]}
  - {name: unanswered, ask: "Anyone?", timeout_seconds: 0.5, on_failure: continue, depends_on: [second]}
"""


@dataclass
class House:
    """Everything that runs, and what it is asked."""

    stack: Stack
    api: Api
    stub: StubLlm

    @classmethod
    def built(cls, home: Path) -> "House":
        stub = StubLlm()
        stub.start()
        project = write_files(home / "project", files(stub.url))
        stack = Stack(home / "data", project=project)
        stack.start_server()
        stack.start_worker()
        api = Api(stack.home, project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}")
        return cls(stack, api, stub)

    def up(self) -> "House":
        self.api.start()
        self.stack.workers[-1].wait_up()
        return self

    def close(self) -> None:
        self.api.close()
        self.stack.close()
        self.stub.stop()

    def ask(self, kind: str, given: Any = None, **more: Any) -> str:
        """The id of a new task."""
        response = self.api.http.post("/tasks", json={"type": kind, "input": given, **more})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def program(self, source: str) -> str:
        return str(self.api.submit(source)["id"])

    def questions(self, task_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(f"/tasks/{task_id}/questions")
        return found

    def open(self, task_id: str, count: int = 1, kind: str | None = None) -> list[dict[str, Any]]:
        """Its open questions, once there are so many."""

        def found() -> Any:
            asked = [one for one in self.questions(task_id) if one["state"] == "open" and kind in (None, one["kind"])]
            return asked if len(asked) >= count else None

        asked: list[dict[str, Any]] = wait(found)
        return asked

    def answer(self, task_id: str, question_id: str, value: Any, **more: Any) -> Any:
        return self.api.http.post(f"/tasks/{task_id}/questions/{question_id}", json={"answer": value, **more})

    def ended(self, task_id: str) -> dict[str, Any]:
        def over() -> Any:
            task = self.api.get(f"/tasks/{task_id}")
            return task if task["state"] in ("DONE", "ERROR", "CANCELLED", "TIMED_OUT") else None

        task: dict[str, Any] = wait(over, 60)
        return task

    def made(self, task_id: str) -> int:
        """How often a skill that notes began, in a task and all below it."""
        return sum(line[0] == "begin" and line[1].startswith(task_id) for line in self.stack.effects())


def wait(condition: Any, seconds: float = 30) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(0.05)
    return found
