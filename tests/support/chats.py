"""Chats with a scripted model: a project folder, everything that `holdfast up` starts, and what the model says."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cli import Project
from tests.support.skill_folders import write_files
from tests.support.stub_llm import Request, StubLlm

COUNT = '''"""Counts the words of a text, slowly enough to be watched."""
import json
import os
import time


def run(path, context=None):
    with open(context.workspace + "/" + path) as file:
        words = len(file.read().split())
    line = json.dumps([path, context.attempt])
    descriptor = os.open(context.workspace + "/counted.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    time.sleep(1)
    os.write(descriptor, line.encode() + b"\\n")
    os.close(descriptor)
    return words
'''
SKILL: dict[str, str | bytes] = {
    "SKILL.md": "---\nname: count-words\ndescription: Counts the words of a file.\n---\n",
    "skill.yaml": "name: count-words\ndescription: Counts the words of a file.\neffect: pure\n"
    "input_schema: {type: object, properties: {path: {type: string}}, required: [path]}\n",
    "skill.py": COUNT,
}
MAIL: dict[str, str | bytes] = {
    "SKILL.md": "---\nname: send-mail\ndescription: Sends a mail.\n---\n",
    "skill.yaml": "name: send-mail\ndescription: Sends a mail.\neffect: keyed\napproval: always\n"
    "input_schema: {type: object, properties: {to: {type: string}}, required: [to]}\n",
    "skill.py": "def run(to):\n    return f'sent to {to}'\n",
}
CHAPTERS = [f"chapter-{number}.txt" for number in range(1, 7)]
COUNTS = f"""
total = 0
for path in {CHAPTERS}:
    total += skills.count_words(path=path)
result = f"The six chapters have {{total}} words."
"""


@dataclass
class ChatProject(Project):
    """A project whose model is a stub."""

    model: str = ""

    @property
    def env(self) -> dict[str, str]:
        named = {"DEFAULT_LLM_PROVIDER": "openai-compatible", "DEFAULT_LLM_MODEL": "stub"}
        return super().env | named | {"LLM_BASE_URL": f"{self.model}/v1"}

    @property
    def workspace(self) -> Path:
        return self.folder / ".holdfast" / "workspaces" / "default" / "default"

    @property
    def counted(self) -> list[str]:
        """Files whose words were counted to the end, in order."""
        log = self.workspace / "counted.log"
        return [json.loads(line)[0] for line in log.read_text().splitlines()] if log.exists() else []


@contextmanager
def chats(folder: Path) -> Iterator[tuple[ChatProject, StubLlm]]:
    """A project that is up, and its model."""
    folder.mkdir(parents=True)
    (folder / "holdfast.yaml").touch()
    (folder / "README.md").write_text("# About holdfast\n")
    for skill, files in (("count-words", SKILL), ("send-mail", MAIL)):
        write_files(folder / "skills" / skill, files)
    with StubLlm() as stub:
        one = ChatProject(folder, model=stub.url)
        one.workspace.mkdir(parents=True)
        for number, name in enumerate(CHAPTERS, 1):
            (one.workspace / name).write_text("word " * 100 * number)
        try:
            one.start_up()
            yield one, stub
        finally:
            if one.up is not None and one.up.poll() is None:
                one.stop_up()


def answers(stub: StubLlm, said: str, answer: str, delay_s: float = 0) -> None:
    """Asked this last, the model answers at once, without a skill."""
    stub.rule(_planning(said), json.dumps({"answer": answer}), delay_s=delay_s)


def programs(stub: StubLlm, said: str, skills: list[str], source: str) -> None:
    """Asked this last, the model writes a program."""
    stub.rule(_planning(said), json.dumps({"selected_skills": skills, "reasoning": "It needs them."}))
    stub.rule(lambda request: not _is_plan(request), f"```python\n{source}\n```", times=1)


def _planning(said: str) -> Callable[[Request], bool]:
    return lambda request: _is_plan(request) and said in request.last


def _is_plan(request: Request) -> bool:
    return "Planning step" in request.last
