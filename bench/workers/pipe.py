"""The door of engines that are libraries: a task a line of JSON on stdin, an answer a line on stdout."""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from bench.task import Task

Run = Callable[[Task], Awaitable[str]]


async def serve(run: Run, resume: Run | None = None) -> None:
    """Serve until stdin ends. Without `resume` the engine kept nothing: a task begins again."""
    # Libraries print what they like; answers leave by a copy of stdout, and stdout itself becomes the log.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    answers.write("ready\n")
    running = set()
    while line := await reader.readline():
        asked = json.loads(line)
        work = resume if asked["resume"] and resume else run
        one = asyncio.create_task(_answer(work, asked, answers.write))
        running.add(one)
        one.add_done_callback(running.discard)


async def _answer(work: Run, asked: dict[str, Any], write: Callable[[str], object]) -> None:
    said: dict[str, Any] = {"run": asked["task"]["run"]}
    try:
        said["answer"] = await work(Task(**asked["task"]))
    except Exception:  # noqa: BLE001 (the edge of a process: the driver raises it)
        said["error"] = traceback.format_exc()
    write(json.dumps(said) + "\n")
