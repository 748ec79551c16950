"""A task in words: its facts, its steps, its row in a list, how it ended."""

import json

from cli import screen
from cli.budget import brief
from cli.flags import temporal_url
from cli.groups import gist, money
from holdfast.config import Settings
from holdfast.contracts.question import Question
from holdfast.contracts.task import Step, Task

_SHOWN_RESULT = 200


def headline(settings: Settings, task: Task) -> None:
    """Id and URL, first of all: whatever happens next, the task can be found again."""
    screen.say(f"task {task.id}", "bold")
    screen.say(url(settings, task))


def url(settings: Settings, task: Task) -> str:
    return task.url or temporal_url(settings, task.id, task.tenant_id)


def facts(settings: Settings, task: Task) -> list[tuple[str, ...]]:
    """Name and value of all that is known and worth a line."""
    lines = [
        ("task", task.id),
        ("url", url(settings, task)),
        ("type", task.type),
        ("state", task.state),
        ("created", f"{task.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("changed", f"{task.updated_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("now", task.phase if task.state in ("RUNNING", "WAITING") else ""),
        ("model", task.model_used or ""),
        ("LLM calls", _llm(task)),
        ("calls", f"{task.calls_done} done, {task.calls_open} open"),
        ("budget", brief(task.budget) if task.budget else ""),
        ("repairs", str(task.repairs or "")),
        ("pauses", str(task.suspensions or "")),
        ("trace id", task.trace_id),
        ("result", _result(task)),
        *(("waits for", text) for text in task.waiting),
        ("note", task.note),
        ("error", failure(task) if task.state in ("ERROR", "TIMED_OUT") else ""),
    ]
    return [line for line in lines if line[1]]


def step_row(step: Step) -> tuple[str, ...]:
    told = gist(step.error or step.detail)
    return (step.kind, step.name, step.state, length(step.started_at, step.ended_at), told)


def task_row(task: Task) -> tuple[str, ...]:
    told = task.error or (count(task.calls_done, "call") if task.calls_done else "")
    return (task.id, task.state, task.type, f"{task.created_at:%Y-%m-%d %H:%M:%S}", told.partition("\n")[0][:80])


def options(question: Question) -> str:
    return f"  [{' / '.join(question.options)}]" if question.options else ""


def closing(task: Task, retries: int = 0) -> str:
    """How long a task took and what it took: money and LLM calls where it asked a model."""
    took = (task.updated_at - task.created_at).total_seconds()
    asked = [money(task.total_cost), count(task.llm_calls, "LLM call")] if task.llm_calls else []
    called = [count(task.calls_done, "skill call" if task.llm_calls else "call")]
    happened = ((task.repairs, "repair"), (retries, "retry"), (task.suspensions, "pause"))
    extras = [count(number, word) for number, word in happened if number]
    return ", ".join([f"done in {screen.seconds(took)}", *asked, *called, *extras])


def printed(task: Task) -> None:
    """What the program printed, on stderr, unless that is its result anyway."""
    if task.stdout.strip() and task.stdout.strip() != str(task.output).strip():
        screen.say(task.stdout.rstrip("\n"), "dim")


def failure(task: Task) -> str:
    """Why a task is over without a result; of a program, the Python error and its lines."""
    if task.state == "CANCELLED":
        return f"task {task.id} was cancelled after {count(task.calls_done, 'call')}"
    if task.failure is None:
        return task.error or f"task {task.id} ended as {task.state}; see: holdfast show {task.id} --steps"
    kind, message = task.failure.type, task.failure.message
    return message if kind in message else f"{kind}: {message}"


def length(start: float | None, end: float | None) -> str:
    return screen.seconds(max(0.0, end - start)) if start is not None and end is not None else ""


def count(number: int, word: str) -> str:
    many = f"{word[:-1]}ies" if word.endswith("ry") else f"{word}s"
    return f"{number} {word if number == 1 else many}"


def _llm(task: Task) -> str:
    if not task.llm_calls:
        return ""
    tokens = f"{task.input_tokens:,} tokens in, {task.output_tokens:,} out"
    return f"{task.llm_calls}, {tokens}, {money(task.total_cost)}"


def _result(task: Task) -> str:
    text = json.dumps(task.output, ensure_ascii=False) if task.output is not None else ""
    if len(text) <= _SHOWN_RESULT:
        return text
    return f"{text[:_SHOWN_RESULT]}…  (all of it: holdfast show {task.id} --result)"
