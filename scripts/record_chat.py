"""Record a `holdfast chat` whose worker is killed in the middle of a turn, as text: what its terminal shows, and when.

    .venv/bin/python -m scripts.record_chat docs/recordings/chat-worker-killed.txt

Everything is real but the model, which is a script: `holdfast up` in a folder of its own, a terminal, SIGKILL.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.support.chats import COUNTS, ChatProject, answers, chats, programs
from tests.support.terminal import Terminal

QUESTION = "How many words do the six chapters have?"
HEAD = """\
A `holdfast chat` at a terminal, recorded by scripts/record_chat.py. Before each line stands the second when it came.
Everything is real but the model, which is a script. The skill count-words takes a second for each chapter. While it
counts the third one, the only worker process is killed with SIGKILL; `holdfast up` starts another.
"""


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, chats(Path(folder) / "project") as (project, stub):
        answers(stub, "Hi", "Hello! What shall we look at?")
        programs(stub, QUESTION, ["count-words"], COUNTS)
        with Terminal(["chat"], project.folder, project.env) as terminal:
            text = recorded(project, terminal)
        text += f"\nchapters whose count was finished, in order: {', '.join(project.counted)}\n"
        text += f"requests to the model: {len(stub.requests)}\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def recorded(project: ChatProject, terminal: Terminal) -> str:
    frames = [HEAD]
    terminal.type("Hi")
    terminal.see("done in")
    terminal.type(QUESTION)
    terminal.until(lambda: len(project.counted) == 2)
    terminal.watch(0.5)
    (worker,) = project.processes("worker")
    os.kill(worker, signal.SIGKILL)
    frames.append(framed(terminal, f"{terminal.seconds:.1f} s: the worker was killed. The screen"))
    terminal.see("paused: ")
    terminal.watch(1)
    frames.append(framed(terminal, f"{terminal.seconds:.1f} s: the pause"))
    terminal.see("words.")
    terminal.type("/cost")
    terminal.see("session ")
    terminal.type("exit")
    assert terminal.end() == 0
    frames.append(framed(terminal, "The whole chat, at its end"))
    return "\n".join(frames)


def framed(terminal: Terminal, title: str) -> str:
    lines = [f"{row.at:7.1f}  {row.text}".rstrip() for row in terminal.screen.rows if row.text.strip()]
    return "\n".join([f"--- {title}", "", *lines]).rstrip() + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
